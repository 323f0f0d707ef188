"""CTC's guess as text that an LLM can read at once (LegoSLM, arXiv:2505.11352)."""

import torch
from torch import Tensor, nn

from speechllm.models.alignment import mean_of_frames


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

    def forward(
        self,
        logits: Tensor,
        kept: Tensor,
        frames_per_position: float | Tensor,
        num_positions: int,
    ) -> Tensor:
        """Map CTC logits (B, T, V) to (B, N, H), means of the frames that are kept (B, T); see ``mean_of_frames``."""
        text = logits.softmax(-1) @ self.embeddings
        return mean_of_frames(text, kept, frames_per_position, num_positions)[0]
