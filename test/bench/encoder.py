"""Conformer encoder, forward and backward: with the weights of three other libraries, and how fast."""

from pathlib import Path

import common
import conformers
import numpy as np
import torch

from speechllm.models.conformer import ConformerEncoder

TOLERANCE = 1e-4
MAX_APART = 2  # frames: ESPnet counts those that reach into padding, at every halving
SIZES = {  # width: conformer settings; the first is that of the mini preset
    144: {"num_layers": 6, "num_heads": 4, "ffn_dim": 576, "conv_kernel": 15},
    512: {"num_layers": 4, "num_heads": 8, "ffn_dim": 2048, "conv_kernel": 15},
}
TINY = {16: {"num_layers": 2, "num_heads": 2, "ffn_dim": 32, "conv_kernel": 5}}
RELATIVE = "ours with relative positions"
PEERS = {  # name in the table: (distribution, its encoder, what it is timed with)
    "ESPnet ConformerEncoder": (
        "espnet",
        conformers.Espnet,
        "its own front end (conv2d8), relative positions and BatchNorm",
    ),
    "torchaudio Conformer": (
        "torchaudio",
        conformers.Torchaudio,
        "our front end, no positions, and BatchNorm",
    ),
    "transformers Wav2Vec2Conformer": (
        "transformers",
        conformers.Wav2Vec2,
        "our front end, relative positions, BatchNorm, and sdpa",
    ),
}


def make_batch(num_frames: int, longest: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Random features (B, T, 80) and lengths from half of the longest up, about num_frames in all."""
    generator = torch.Generator().manual_seed(1)
    lens = torch.linspace(longest, longest // 2, max(2, round(num_frames / longest / 0.75))).long()
    return torch.randn(len(lens), longest, 80, generator=generator), lens


def step(encoder, feats, lens):
    """A function that runs forward and backward once."""

    def run():
        out, _ = encoder(feats, lens)
        out.square().mean().backward()
        encoder.zero_grad(set_to_none=True)

    return run


def num_params(module) -> float:
    return sum(p.numel() for p in module.parameters()) / 1e6


def compare(dim: int, settings: dict, small: bool) -> list[common.Row]:
    feats, lens = make_batch(300 if small else 6000, 100 if small else 1000)
    make = {name: make for name, (p, make, _) in PEERS.items() if common.is_installed("encoder", p)}
    differences = {name: cls.difference(dim, settings) for name, cls in make.items()}
    torch.manual_seed(0)
    encoders = {common.OURS: ConformerEncoder(80, dim, **settings)}
    encoders[RELATIVE] = ConformerEncoder(80, dim, positions="relative", **settings)
    encoders |= {name: cls(80, dim, settings) for name, cls in make.items()}
    out_lens = {name: e.train()(feats, lens)[1] for name, e in encoders.items()}
    runs = {name: step(encoder, feats, lens) for name, encoder in encoders.items()}
    took = common.in_turns(runs, 1 if small else 5)
    seconds = float(lens.sum()) / 100
    speed = {name: seconds / np.median(values) for name, values in took.items()}
    size = ", ".join(f"{key} {value}" for key, value in settings.items())
    rows = []
    for name, cls in make.items():
        package, _, remark = PEERS[name]
        shared = "relative" if cls.relative else "no"
        # The peers that know relative positions stand beside both of ours.
        for ours in (common.OURS, RELATIVE) if cls.relative else (common.OURS,):
            positions = "relative" if ours == RELATIVE else "rotary"
            apart = common.largest_difference(out_lens[name], out_lens[ours])
            rows.append(
                common.make_row(
                    "encoder",
                    f"{name}, width {dim}" + ", relative positions in both" * (ours == RELATIVE),
                    took[ours],
                    took[name],
                    differences[name] < TOLERANCE and apart <= MAX_APART,
                    (package, "torch"),
                    f"shown equal: the blocks alone, with {shared} positions and LayerNorm "
                    f"in both, the peer's weights in ours, no dropout, differ by at most "
                    f"{differences[name]:.0e} in output and gradient; timed: all of the encoder on "
                    f"{len(lens)} utterances of {lens.min() / 100:.0f} to {lens.max() / 100:.0f} s, "
                    f"dropout 0.1, {size}, stride 8, output lengths at most {apart:.0f} apart; ours "
                    f"with its front end (conv1d), {positions} positions and LayerNorm, "
                    f"{num_params(encoders[ours]):.1f}M parameters, {speed[ours]:.0f} times real "
                    f"time; the peer with {remark}, {num_params(encoders[name]):.1f}M, "
                    f"{speed[name]:.0f}",
                )
            )
    return rows


def bench(corpus: Path, small: bool) -> list[common.Row]:
    sizes = TINY if small else SIZES
    return [row for dim, settings in sizes.items() for row in compare(dim, settings, small)]


if __name__ == "__main__":
    common.main(bench, {"encoder"})
