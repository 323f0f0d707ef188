"""Adaptors: lengths, padding, and what each position is made of."""

import pytest
import torch

from speechllm.build import ADAPTORS
from speechllm.errors import UserError
from speechllm.models.adaptors.conv import ConvAdaptor
from speechllm.models.adaptors.qformer import QformerAdaptor

SMALL = {"dim": 16, "num_heads": 2, "ffn_dim": 24}
CASES = [
    ("stack", {"stack_factor": 1}, lambda n: n),
    ("stack", {"stack_factor": 4}, lambda n: -(-n // 4)),
    ("conv", {"stride": 1, "kernel": 3, "dim": 10}, lambda n: n),
    ("conv", {"stride": 2, "kernel": 3, "dim": 10}, lambda n: -(-n // 2)),
    ("conv", {"stride": 4, "kernel": 4, "dim": 10}, lambda n: -(-n // 4)),
    ("conv", {"stride": 3, "kernel": 7, "dim": 10}, lambda n: -(-n // 3)),
    ("qformer", {"window": 4, "num_queries": 1, **SMALL}, lambda n: -(-n // 4)),
    ("qformer", {"window": 5, "num_queries": 3, **SMALL}, lambda n: -(-n // 5) * 3),
]


@pytest.mark.parametrize(
    "kind, settings, num_out", CASES, ids=[f"{k}{i}" for i, (k, *_) in enumerate(CASES)]
)
@pytest.mark.parametrize("num_frames", [1, 3, 4, 5, 7, 8, 9, 23])
def test_adaptor_ignores_padding_and_neighbours(kind, settings, num_out, num_frames):
    torch.manual_seed(0)
    adaptor = ADAPTORS[kind](6, 8, **settings).eval()
    frames = torch.randn(1, num_frames, 6)
    padded = torch.cat([frames, torch.full((1, 11, 6), 99.0)], 1)
    batch = torch.cat([padded, torch.randn(1, num_frames + 11, 6)])

    alone, alone_lens = adaptor(frames, torch.tensor([num_frames]))
    batched, batched_lens = adaptor(batch, torch.tensor([num_frames, num_frames + 11]))

    assert alone_lens[0] == batched_lens[0] == alone.size(1) == num_out(num_frames)
    assert batched_lens[1] == batched.size(1) == num_out(num_frames + 11)
    assert alone.size(2) == 8 and batched.isfinite().all()
    torch.testing.assert_close(batched[0, : alone.size(1)], alone[0], atol=1e-5, rtol=1e-4)


def test_conv_positions_are_products_with_the_frames_around_them():
    torch.manual_seed(0)
    adaptor = ConvAdaptor(6, 8, stride=2, kernel=3, dim=10)
    x = torch.randn(7, 6)
    out, _ = adaptor(x[None], torch.tensor([7]))
    around = torch.cat([torch.zeros(1, 6), x, torch.zeros(1, 6)])
    for i in range(4):
        window = around[2 * i : 2 * i + 3].T  # (D, kernel)
        inner = (adaptor.conv.weight * window).sum((1, 2)) + adaptor.conv.bias
        torch.testing.assert_close(out[0, i], adaptor.proj(torch.nn.functional.gelu(inner)))


def test_conv_refuses_to_skip_frames():
    with pytest.raises(UserError, match="adaptor.kernel 2 is below adaptor.stride 3"):
        ConvAdaptor(6, 8, stride=3, kernel=2)


def test_qformer_windows_are_read_apart():
    torch.manual_seed(0)
    adaptor = QformerAdaptor(6, 8, window=4, num_queries=2, **SMALL).eval()
    x = torch.randn(1, 12, 6)
    changed = x.clone()
    changed[:, 5] += 1.0  # in the second window
    lens = torch.tensor([12])
    moved = (adaptor(x, lens)[0] - adaptor(changed, lens)[0]).abs().amax((0, 2)) > 1e-6
    assert moved.tolist() == [False, False, True, True, False, False]


@pytest.mark.parametrize("kind", sorted(set(ADAPTORS) - {"ctc_compressor"}))
def test_every_adaptor_passes_gradients_to_all_its_weights(kind):
    adaptor = ADAPTORS[kind](6, 8)
    adaptor(torch.randn(2, 9, 6), torch.tensor([9, 5]))[0].square().sum().backward()
    assert all(p.grad is not None and p.grad.any() for p in adaptor.parameters())
