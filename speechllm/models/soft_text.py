"""CTC's guess as text that an LLM can read at once (LegoSLM, arXiv:2505.11352)."""

import torch
from torch import Tensor, nn

from speechllm.models.alignment import mean_of_frames
from speechllm.models.lengths import lens_to_mask


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
        self, logits: Tensor, lens: Tensor, frames_per_position: float, num_positions: int
    ) -> Tensor:
        """Map CTC logits (B, T, V), (B,) to (B, N, H), the positions being means of their real frames."""
        text = logits.softmax(-1) @ self.embeddings
        real = lens_to_mask(lens, text.size(1))
        return mean_of_frames(text, real, frames_per_position, num_positions)[0]
