"""Frame stacking and one linear layer (arXiv:2307.11795)."""

import torch.nn.functional as F
from torch import Tensor, nn

from speechllm.models.lengths import lens_to_mask


class StackAdaptor(nn.Module):
    """Put n neighbouring frames side by side, then one linear layer.

    Args:
        encoder_dim: D, width of the encoder's frames.
        llm_dim: H, width of the LLM's embeddings.
        stack_factor: n; zeros fill a tail shorter than n frames, so that no speech is lost.
    """

    def __init__(self, encoder_dim: int, llm_dim: int, stack_factor: int = 1):
        super().__init__()
        self.stack_factor = self.frames_per_position = stack_factor
        self.proj = nn.Linear(encoder_dim * stack_factor, llm_dim)

    def forward(self, x: Tensor, lens: Tensor) -> tuple[Tensor, Tensor]:
        """Map (B, T, D), (B,) to (B, ceil(T / n), H), (B,)."""
        n = self.stack_factor
        if n > 1:
            x = x.masked_fill(
                ~lens_to_mask(lens, x.size(1))[..., None], 0.0
            )  # padding must not enter a tail
            x = F.pad(x, (0, 0, 0, -x.size(1) % n))
        B, T, D = x.shape
        return self.proj(x.reshape(B, T // n, n * D)), (lens + n - 1) // n
