"""CTC compressor and audio encoder (arXiv:2307.03917): as many positions as there is text, not as there is time."""

import torch
from torch import Tensor, nn

from speechllm.errors import UserError
from speechllm.models.alignment import mean_of_frames
from speechllm.models.conformer import FeedForward, SelfAttention, rotary_table
from speechllm.models.ctc import BLANK_ID
from speechllm.models.lengths import lens_to_mask

MODES = ("average", "average_noblank", "remove", "stride", "none")


def find_positions(
    labels: Tensor, lens: Tensor, mode: str, stride: int = 1
) -> tuple[Tensor, Tensor]:
    """Which position each frame becomes a part of.

    Args:
        labels: (B, T), the most likely CTC unit of each frame.
        lens: (B,).
        mode: "average": every run of one label is a position, runs of blanks too; "average_noblank": the frames of
            blanks are left out; "remove": every frame but those of blanks is a position; "stride": every
            ``stride`` frames are; "none": every frame is.
        stride: see there.

    Returns:
        (B, T) numbers from 0, -1 where a frame is left out or is padding; and (B,) how many positions there are. Where
        nothing but blanks is heard, all frames together are one position.
    """
    T = labels.size(1)
    kept = lens_to_mask(lens, T)
    if mode in ("stride", "none"):
        at = torch.arange(T, device=labels.device) // (stride if mode == "stride" else 1)
        at = at.expand_as(labels)
    else:
        begins = torch.ones_like(kept)
        begins[:, 1:] = labels[:, 1:] != labels[:, :-1]
        if mode != "average":
            spoken = kept & (labels != BLANK_ID)
            kept = kept & (spoken | ~spoken.any(1, keepdim=True))
            begins = begins | spoken if mode == "remove" else begins
        at = (kept & begins).cumsum(1) - 1
    at = at.masked_fill(~kept, -1)
    return at, at.amax(1) + 1


class TransformerLayer(nn.Module):
    """Pre-norm self-attention over all positions, then feed-forward; maps (B, N, D) to (B, N, D)."""

    def __init__(self, dim: int, num_heads: int, ffn_dim: int, dropout: float):
        super().__init__()
        self.attention = SelfAttention(dim, num_heads, dropout, "rotary")
        self.ffn = FeedForward(dim, ffn_dim, dropout)

    def forward(self, x: Tensor, mask: Tensor | None, table) -> Tensor:
        x = x + self.attention(x, mask, table)
        return x + self.ffn(x)


class CtcCompressorAdaptor(nn.Module):
    """Join the frames in which CTC hears the same, then let the positions see each other.

    Args:
        encoder_dim: D, width of the encoder's frames.
        llm_dim: H, width of the LLM's embeddings.
        mode, stride: how frames become positions, see ``find_positions``.
        num_layers, num_heads, dim, ffn_dim, dropout: of the audio encoder, a bidirectional transformer; without layers
            positions go straight to the last linear layer.
        output_dim: width before that layer; 0 is ``dim``.

    Raises:
        UserError: a stride below one, or heads that do not divide the width.
    """

    needs_ctc = True

    def __init__(
        self,
        encoder_dim: int,
        llm_dim: int,
        mode: str = "average",
        stride: int = 4,
        num_layers: int = 4,
        dim: int = 1024,
        num_heads: int = 16,
        ffn_dim: int = 4096,
        output_dim: int = 0,
        dropout: float = 0.1,
    ):
        super().__init__()
        if mode not in MODES:
            raise ValueError(f"mode must be one of {', '.join(MODES)}, got {mode!r}")
        if stride < 1:
            raise UserError(f"adaptor.stride is {stride}; it should be 1 or more")
        if dim % (2 * num_heads):
            raise UserError(
                f"adaptor.dim {dim} should be a multiple of twice adaptor.num_heads {num_heads}"
            )
        self.mode, self.stride, self.head_dim = mode, stride, dim // num_heads
        self.layers = nn.ModuleList(
            TransformerLayer(dim, num_heads, ffn_dim, dropout) for _ in range(num_layers)
        )
        if num_layers:
            output_dim = output_dim or dim
            self.input = nn.Linear(encoder_dim, dim)
            self.norm = nn.LayerNorm(dim)
            self.output = nn.Linear(dim, output_dim) if output_dim != dim else nn.Identity()
        self.proj = nn.Linear(output_dim if num_layers else encoder_dim, llm_dim)

    def find_positions(self, logits: Tensor, lens: Tensor) -> tuple[Tensor, Tensor]:
        """Map CTC logits (B, T, V), (B,) to the position of each frame (B, T) and their number (B,)."""
        return find_positions(logits.argmax(-1), lens, self.mode, self.stride)

    def forward(self, x: Tensor, at: Tensor, lens: Tensor) -> Tensor:
        """Map frames (B, T, D) with their positions (B, T), of which there are (B,), to (B, N, H)."""
        N = max(1, int(lens.max()))
        x, _ = mean_of_frames(x, at >= 0, at, N)
        if not self.layers:
            return self.proj(x)
        x = self.input(x)
        mask = None
        if int(lens.min()) < N:
            mask = lens_to_mask(lens.clamp(min=1), N)[:, None, None]
        table = rotary_table(N, self.head_dim, x.device)
        for layer in self.layers:
            x = layer(x, mask, table)
        return self.proj(self.output(self.norm(x)))
