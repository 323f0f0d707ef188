"""Learned queries that read the encoder's frames window by window (arXiv:2310.13289, section 3.1)."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from speechllm.errors import UserError
from speechllm.models.lengths import lens_to_mask


class QformerAdaptor(nn.Module):
    """Sum up each window of frames in ``num_queries`` positions, by self- and cross-attention of learned queries.

    Args:
        encoder_dim: D, width of the encoder's frames.
        llm_dim: H, width of the LLM's embeddings.
        window: frames per window; the last one may be shorter.
        num_queries: LLM positions per window.
        num_layers, num_heads, dim, ffn_dim, dropout: of the transformer layers.

    Raises:
        UserError: heads that do not divide the width.
    """

    def __init__(
        self,
        encoder_dim: int,
        llm_dim: int,
        window: int = 4,
        num_queries: int = 1,
        num_layers: int = 2,
        num_heads: int = 8,
        dim: int = 512,
        ffn_dim: int = 2048,
        dropout: float = 0.1,
    ):
        super().__init__()
        if dim % num_heads:
            raise UserError(
                f"adaptor.dim {dim} should be a multiple of adaptor.num_heads {num_heads}"
            )
        self.window, self.num_queries = window, num_queries
        self.frames_per_position = window / num_queries
        self.queries = nn.Parameter(torch.randn(num_queries, dim) * 0.02)
        self.frame_proj = nn.Linear(encoder_dim, dim)
        self.layers = nn.ModuleList(
            nn.TransformerDecoderLayer(
                dim, num_heads, ffn_dim, dropout, "gelu", batch_first=True, norm_first=True
            )
            for _ in range(num_layers)
        )
        self.norm = nn.LayerNorm(dim)
        self.proj = nn.Linear(dim, llm_dim)

    def forward(self, x: Tensor, lens: Tensor) -> tuple[Tensor, Tensor]:
        """Map (B, T, D), (B,) to (B, ceil(T / window) * num_queries, H), (B,)."""
        B, T, _ = x.shape
        num_windows = (T + self.window - 1) // self.window
        size = num_windows * self.window
        x = F.pad(self.frame_proj(x), (0, 0, 0, size - T)).reshape(B * num_windows, self.window, -1)
        padding = ~lens_to_mask(lens, size).reshape(B * num_windows, self.window)
        padding[:, 0] = False  # a window of padding alone must not be an empty softmax
        queries = self.queries.to(x.dtype).expand(B * num_windows, -1, -1)
        for layer in self.layers:
            queries = layer(queries, x, memory_key_padding_mask=padding)
        out = self.proj(self.norm(queries)).reshape(B, num_windows * self.num_queries, -1)
        return out, (lens + self.window - 1) // self.window * self.num_queries
