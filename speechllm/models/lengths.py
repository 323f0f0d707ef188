"""Integer lengths to boolean masks."""

import torch
from torch import Tensor


def lens_to_mask(lens: Tensor, max_len: int) -> Tensor:
    """Map (B,) to (B, max_len), True where real."""
    return torch.arange(max_len, device=lens.device) < lens[:, None]
