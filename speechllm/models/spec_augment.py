"""SpecAugment (arXiv:1904.08779): hide random bands of frequency and stretches of time."""

import torch
from torch import Tensor, nn


class SpecAugment(nn.Module):
    """Zero random mel bands and frame stretches of normalised features, in training only.

    Args:
        num_freq_masks, max_freq_width: bands per utterance, and their greatest width in mel bins.
        num_time_masks, max_time_width: stretches per utterance, and their greatest width in frames.
        max_time_share: a stretch covers at most this share of its utterance.
    """

    def __init__(
        self,
        num_freq_masks: int = 2,
        max_freq_width: int = 27,
        num_time_masks: int = 2,
        max_time_width: int = 100,
        max_time_share: float = 0.1,
    ):
        super().__init__()
        self.num_freq_masks, self.max_freq_width = num_freq_masks, max_freq_width
        self.num_time_masks, self.max_time_width = num_time_masks, max_time_width
        self.max_time_share = max_time_share

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
        bins = torch.full_like(lens, feats.size(2))
        freq = self.stretches(
            bins, bins.clamp(max=self.max_freq_width), self.num_freq_masks, feats.size(2)
        )
        widths = (lens * self.max_time_share).long().clamp(max=self.max_time_width)
        time = self.stretches(lens, widths, self.num_time_masks, feats.size(1))
        return feats.masked_fill(freq[:, None, :] | time[:, :, None], 0.0)
