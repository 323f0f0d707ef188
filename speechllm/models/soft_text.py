"""CTC's guess as text that an LLM can read at once (LegoSLM, arXiv:2505.11352)."""

import torch
from torch import Tensor, nn


class SoftText(nn.Module):
    """The LLM's embeddings of the CTC units, weighted with their probabilities in each encoder frame.

    An adaptor from random weights gives an LLM noise to begin with, and from little data or in few steps it learns
    to listen only slowly. Soft text says from the first step on what CTC hears, and between what it wavers.

    Args:
        num_units: V, units with the blank.
        llm_dim: H, width of the LLM's embeddings.
    """

    def __init__(self, num_units: int, llm_dim: int):
        super().__init__()
        self.embeddings = nn.Parameter(torch.zeros(num_units, llm_dim))

    def start_from(self, unit_embeddings: Tensor):
        """Begin with these embeddings (V, H)."""
        with torch.no_grad():
            self.embeddings.copy_(unit_embeddings)

    def forward(self, logits: Tensor, num_positions: int) -> Tensor:
        """Map CTC logits (B, T, V) to (B, N, H); position n is the mean of the frames t with t * N // T = n."""
        text = logits.softmax(-1) @ self.embeddings
        B, T, H = text.shape
        if num_positions == T:
            return text
        at = (torch.arange(T, device=text.device) * num_positions) // T
        total = text.new_zeros(B, num_positions, H).index_add_(1, at, text)
        count = torch.bincount(at, minlength=num_positions).clamp(min=1)
        return total / count[:, None].to(text.dtype)
