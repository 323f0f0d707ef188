"""Global mean and variance normalisation as part of the model, so that a checkpoint carries it."""

import torch
from torch import Tensor, nn


class GlobalCmvn(nn.Module):
    """Subtract the training set's mean per mel bin, multiply by its inverse standard deviation.

    Args:
        mean, istd: (F,) each.
    """

    def __init__(self, mean: Tensor, istd: Tensor):
        super().__init__()
        self.register_buffer("mean", torch.as_tensor(mean, dtype=torch.float32))
        self.register_buffer("istd", torch.as_tensor(istd, dtype=torch.float32))

    def forward(self, feats: Tensor) -> Tensor:
        """Map (B, T, F) to the same shape."""
        return (feats - self.mean) * self.istd
