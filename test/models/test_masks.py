"""Who may attend to whom, against masks made by hand and by loops."""

import pytest
import torch

from speechllm.models.masks import prefix_mask, read_mask


def test_prefix_mask_by_hand():
    mask = prefix_mask(torch.tensor([4, 3]), torch.tensor([[0, 1, 1, 0], [1, 1, 0, 0]]))[:, 0].int()
    assert mask[0].tolist() == [[1, 0, 0, 0], [1, 1, 1, 0], [1, 1, 1, 0], [1, 1, 1, 1]]
    assert mask[1].tolist() == [[1, 1, 0, 0], [1, 1, 0, 0], [1, 1, 1, 0], [1, 1, 1, 1]]


@pytest.mark.parametrize("num_new", [1, 2, 5])
def test_read_mask_by_loops(num_new):
    real = torch.tensor([[0, 1, 1, 1, 1, 0], [1, 1, 1, 1, 1, 1], [0, 0, 1, 1, 0, 0]]).bool()
    B, P = real.shape
    expected = torch.zeros(B, 1, num_new, P, dtype=torch.bool)
    for b in range(B):
        for i in range(num_new):
            for j in range(P):
                expected[b, 0, i, j] = bool(real[b, j]) and j <= P - num_new + i
    assert torch.equal(read_mask(real, num_new), expected)
