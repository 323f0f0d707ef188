"""Dropout whose random numbers cost an eighth on a CPU."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Dropout(nn.Module):
    """``torch.nn.Dropout``, with one random byte per element instead of one generator call on a CPU.

    The generator is serial there and was a quarter of a small encoder's training step. The rate is rounded to
    1/256 and the kept elements are scaled by what was really kept, so the expected value is exact.
    """

    def __init__(self, rate: float):
        super().__init__()
        if not 0.0 <= rate < 1.0:
            raise ValueError(f"dropout rate must be in [0, 1), got {rate}")
        self.rate = rate
        self.dropped_bytes = round(rate * 256)

    def forward(self, x: Tensor) -> Tensor:
        if not self.training or self.dropped_bytes == 0:
            return x
        if x.device.type != "cpu":
            return F.dropout(x, self.rate)
        words = torch.empty((x.numel() + 7) // 8, dtype=torch.int64).random_(-(2**63), None)
        keep = words.view(torch.uint8)[: x.numel()].view(x.shape) >= self.dropped_bytes
        return x * keep.to(x.dtype).mul_(256 / (256 - self.dropped_bytes))

    def extra_repr(self) -> str:
        return f"rate={self.rate}"
