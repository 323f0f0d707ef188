"""Convolutional front ends: fewer frames in time, all mel bins folded into the encoder's width.

Neither pads in time: an output frame sees real frames only, so padding cannot leak into it.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from speechllm.models.lengths import lens_to_mask

KERNEL = 3
FACTORS = (2, 4, 8)


class Subsampling(nn.Module):
    """Lengths and short inputs, the same for every front end of kernel 3 and stride 2.

    Args:
        factor: 2, 4 or 8.
    """

    def __init__(self, factor: int):
        super().__init__()
        if factor not in FACTORS:
            raise ValueError(f"subsampling factor must be 2, 4 or 8, got {factor}")
        self.num_halvings = int(math.log2(factor))
        self.min_frames = (
            2 ** (self.num_halvings + 1) - 1
        )  # the shortest input that gives one frame

    def subsample_lens(self, lens: Tensor) -> Tensor:
        """Frames left: each halving maps T to (T - 3) // 2 + 1; at least one frame always comes out."""
        lens = lens.clamp(min=self.min_frames)
        for _ in range(self.num_halvings):
            lens = (lens - KERNEL) // 2 + 1
        return lens

    def forward(self, feats: Tensor, lens: Tensor) -> tuple[Tensor, Tensor]:
        """Map (B, T, F), (B,) to (B, T / factor, D), (B,); zeros fill an input shorter than min_frames."""
        feats = F.pad(feats, (0, 0, 0, max(0, self.min_frames - feats.size(1))))
        if (
            int(lens.min()) < self.min_frames
        ):  # only then can an output frame reach past the real ones
            feats = feats.masked_fill(~lens_to_mask(lens, feats.size(1))[..., None], 0.0)
        return self.convolve(feats), self.subsample_lens(lens)


class Conv1dSubsampling(Subsampling):
    """Strided 1-D convolutions over time with the mel bins as channels, each one matrix product.

    On a CPU this takes a fifth of the time of 2-D convolutions, whose high resolution in frequency makes
    large activations. Every convolution is followed by a LayerNorm without gain and bias.

    Args:
        input_dim: F, mel bins.
        output_dim: D.
        factor: 2, 4 or 8.
        channels: width between the convolutions.
    """

    def __init__(self, input_dim: int, output_dim: int, factor: int = 8, channels: int = 256):
        super().__init__(factor)
        dims = [input_dim] + [channels] * (self.num_halvings - 1) + [output_dim]
        self.convs = nn.ModuleList(
            nn.Linear(KERNEL * a, b) for a, b in zip(dims, dims[1:], strict=False)
        )

    def convolve(self, x: Tensor) -> Tensor:
        for i, conv in enumerate(self.convs):
            if i:
                x = F.relu(x)
            even, odd = x[:, 0::2], x[:, 1::2]
            num_out = (x.size(1) - KERNEL) // 2 + 1
            x = conv(torch.cat([even[:, :num_out], odd[:, :num_out], even[:, 1 : num_out + 1]], -1))
            x = F.layer_norm(x, (conv.out_features,))
        return x


class DepthwiseSubsampling(Subsampling):
    """3x3 convolutions over time and frequency, depthwise from the second on (arXiv:2305.05084).

    Args:
        input_dim: F, mel bins.
        output_dim: D.
        factor: 2, 4 or 8.
        channels: filters of every convolution.
    """

    def __init__(self, input_dim: int, output_dim: int, factor: int = 8, channels: int = 256):
        super().__init__(factor)
        layers = [nn.Conv2d(1, channels, KERNEL, stride=2, padding=(0, 1)), nn.ReLU()]
        for _ in range(self.num_halvings - 1):
            layers += [
                nn.Conv2d(channels, channels, KERNEL, stride=2, padding=(0, 1), groups=channels),
                nn.Conv2d(channels, channels, 1),
                nn.ReLU(),
            ]
        self.convs = nn.Sequential(*layers).to(memory_format=torch.channels_last)
        bins = input_dim
        for _ in range(self.num_halvings):
            bins = (bins - 1) // 2 + 1
        self.proj = nn.Linear(channels * bins, output_dim)

    def convolve(self, x: Tensor) -> Tensor:
        x = self.convs(x[:, None].to(memory_format=torch.channels_last))  # (B, C, T', F')
        return self.proj(x.transpose(1, 2).flatten(2))


FRONT_ENDS = {"conv1d": Conv1dSubsampling, "depthwise2d": DepthwiseSubsampling}
