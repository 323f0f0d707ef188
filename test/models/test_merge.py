"""Merging of speech positions against a walk over the frames one by one."""

from itertools import groupby

import pytest
import torch

from speechllm.models.ctc import BLANK_ID
from speechllm.models.merge import merge_repeats


def logits_of(units: list[int], doubtful: set[int] = frozenset(), num_units: int = 6):
    """Logits (N, V) of which each frame's unit is the likeliest, with less probability where it is doubtful."""
    logits = torch.zeros(len(units), num_units)
    for frame, unit in enumerate(units):
        logits[frame, unit] = 1.5 if frame in doubtful else 8.0
    return logits


def walk(positions, units, doubtful):
    keys = [
        None if unit == BLANK_ID and frame not in doubtful else unit
        for frame, unit in enumerate(units)
    ]
    runs, at = [], 0
    for key, run in groupby(keys):
        length = len(list(run))
        if key is not None:
            runs.append(positions[at : at + length].mean(0))
        at += length
    return torch.stack(runs or [positions[0]])


@pytest.mark.parametrize(
    "units, doubtful",
    [
        ([0, 3, 3, 0, 3, 2, 2, 0], set()),
        ([0, 0, 0], set()),
        ([1], set()),
        ([4, 0, 0, 4], {1}),
        ([0, 0, 5, 5], {0, 1, 2}),
        ([1, 2, 3, 4, 5], set()),
    ],
)
def test_runs_are_averaged_and_sure_blanks_left_out(units, doubtful):
    torch.manual_seed(0)
    positions = torch.randn(len(units), 7)
    expected = walk(positions, units, doubtful)
    logits = logits_of(units, doubtful)
    merged, lens = merge_repeats(positions[None], torch.tensor([len(units)]), logits[None])
    assert lens.tolist() == [len(expected)]
    torch.testing.assert_close(merged[0], expected)


def test_padding_makes_no_difference_and_gradients_flow():
    torch.manual_seed(1)
    rows = [[0, 1, 1, 0, 2], [3, 3, 0]]
    positions = torch.randn(2, 5, 4, requires_grad=True)
    logits = torch.randn(2, 5, 6)
    for b, units in enumerate(rows):
        logits[b, : len(units)] = logits_of(units)
    merged, lens = merge_repeats(positions, torch.tensor([5, 3]), logits)
    assert lens.tolist() == [2, 1]
    for b, units in enumerate(rows):
        n = len(units)
        alone, _ = merge_repeats(positions[b : b + 1, :n], torch.tensor([n]), logits[b : b + 1, :n])
        torch.testing.assert_close(merged[b, : lens[b]], alone[0])
    merged[0, 0].sum().backward()
    assert positions.grad[0, 1:3].eq(0.5).all() and positions.grad[0, 0].eq(0).all()
