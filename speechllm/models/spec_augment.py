"""SpecAugment (arXiv:1904.08779), and vocal tract length perturbation of the same features."""

import math

import torch
from torch import Tensor, nn

LOW_HZ, HIGH_HZ, BREAK_HZ = 20.0, 8000.0, 700.0  # the band of Kaldi's mel scale, and its bend


class SpecAugment(nn.Module):
    """Stretch the frequency axis, then zero random mel bands and stretches of frames; in training only.

    The first is vocal tract length perturbation (Jaitly and Hinton, 2013): every utterance gets a vocal tract that
    is up to ``max_warp`` longer or shorter. The voices of a small corpus are soon known by heart without it.

    Args:
        num_freq_masks, max_freq_width: bands per utterance, and their greatest width in mel bins.
        num_time_masks, max_time_width: stretches per utterance, and their greatest width in frames.
        max_time_share: a stretch covers at most this share of its utterance.
        max_warp: greatest relative change of all frequencies, e.g. 0.1; 0 leaves them.
    """

    def __init__(
        self,
        num_freq_masks: int = 2,
        max_freq_width: int = 27,
        num_time_masks: int = 2,
        max_time_width: int = 100,
        max_time_share: float = 0.1,
        max_warp: float = 0.0,
    ):
        super().__init__()
        self.num_freq_masks, self.max_freq_width = num_freq_masks, max_freq_width
        self.num_time_masks, self.max_time_width = num_time_masks, max_time_width
        self.max_time_share, self.max_warp = max_time_share, max_warp

    @staticmethod
    def stretches(extents: Tensor, max_widths: Tensor, num: int, size: int) -> Tensor:
        """Draw ``num`` random intervals inside 0..extents[b]; returns (B, size), True where one lies."""
        shape, device = (len(extents), num), extents.device
        widths = (torch.rand(shape, device=device) * (max_widths[:, None] + 1)).long()
        starts = (torch.rand(shape, device=device) * (extents[:, None] - widths + 1)).long()
        at = torch.arange(size, device=device)
        hit = (at >= starts[..., None]) & (at < (starts + widths)[..., None])  # (B, num, size)
        return hit.any(1)

    def forward(self, feats: Tensor, lens: Tensor) -> Tensor:
        """Map (B, T, F), (B,) to (B, T, F)."""
        if not self.training:
            return feats
        if self.max_warp:
            factors = 1 + self.max_warp * (2 * torch.rand(len(feats), device=feats.device) - 1)
            feats = warp_frequencies(feats, factors)
        bins = torch.full_like(lens, feats.size(2))
        freq = self.stretches(
            bins, bins.clamp(max=self.max_freq_width), self.num_freq_masks, feats.size(2)
        )
        widths = (lens * self.max_time_share).long().clamp(max=self.max_time_width)
        time = self.stretches(lens, widths, self.num_time_masks, feats.size(1))
        return feats.masked_fill(freq[:, None, :] | time[:, :, None], 0.0)


def warp_frequencies(feats: Tensor, factors: Tensor) -> Tensor:
    """Read every mel bin of (B, T, F) at ``factors[b]`` times its frequency, between bins by a straight line."""
    num_bins = feats.size(2)
    low, high = (math.log1p(hz / BREAK_HZ) for hz in (LOW_HZ, HIGH_HZ))
    step = (high - low) / (num_bins + 1)
    bins = torch.arange(num_bins, device=feats.device)
    hz = torch.expm1(low + step * (bins + 1)) * BREAK_HZ  # the bins' centres
    source = (torch.log1p(factors[:, None] * hz / BREAK_HZ) - low) / step - 1
    distance = source.clamp(0, num_bins - 1)[:, None, :] - bins[:, None]
    weights = (1 - distance.abs()).clamp(min=0)  # (B, F from, F to)
    return feats @ weights.to(feats.dtype)
