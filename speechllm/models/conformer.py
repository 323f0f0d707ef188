"""Conformer encoder (arXiv:2005.08100) on scaled_dot_product_attention."""

import math
from collections.abc import Collection

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from speechllm.errors import UserError
from speechllm.models.dropout import Dropout
from speechllm.models.lengths import lens_to_mask
from speechllm.models.subsampling import FRONT_ENDS

FFN_STYLES = ("macaron", "half_macaron", "single")


class FeedForward(nn.Module):
    """Pre-norm position-wise network with SiLU; maps (B, T, D) to (B, T, D)."""

    def __init__(self, dim: int, hidden_dim: int, dropout: float):
        super().__init__()
        self.norm = nn.LayerNorm(dim)
        self.up = nn.Linear(dim, hidden_dim)
        self.down = nn.Linear(hidden_dim, dim)
        self.dropout = Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        return self.dropout(self.down(F.silu(self.up(self.norm(x)))))


def rotary_table(num_frames: int, head_dim: int, device) -> tuple[Tensor, Tensor]:
    """Cosines and sines (T, head_dim) of rotary position embedding (arXiv:2104.09864)."""
    freqs = 10000.0 ** (-torch.arange(0, head_dim, 2, device=device).float() / head_dim)
    angles = torch.outer(torch.arange(num_frames, device=device).float(), freqs)
    return torch.cat([angles.cos()] * 2, -1), torch.cat([angles.sin()] * 2, -1)


def rotate(x: Tensor, table: tuple[Tensor, Tensor]) -> Tensor:
    """Turn (B, heads, T, head_dim) by position."""
    cos, sin = (t.to(x.dtype) for t in table)
    a, b = x.chunk(2, -1)
    return x * cos + torch.cat([-b, a], -1) * sin


def relative_table(num_frames: int, dim: int, device) -> Tensor:
    """Sinusoids (2T - 1, D) of the distances T - 1 ... -(T - 1) (arXiv:1901.02860)."""
    distance = torch.arange(num_frames - 1, -num_frames, -1, device=device).float()
    freqs = torch.exp(torch.arange(0, dim, 2, device=device).float() * (-math.log(10000.0) / dim))
    angles = torch.outer(distance, freqs)
    return torch.stack([angles.sin(), angles.cos()], -1).flatten(1)


class SelfAttention(nn.Module):
    """Pre-norm multi-head attention over the whole utterance, with rotary or relative positions.

    Relative positions follow Transformer-XL (arXiv:1901.02860, section 3.3): the position term is computed
    first and handed to the attention kernel as an additive mask, so both kinds share one kernel. Dropout
    stands after the output layer only: on the weights it would keep PyTorch from its fused kernels.
    """

    def __init__(self, dim: int, num_heads: int, dropout: float, positions: str):
        super().__init__()
        self.num_heads, self.head_dim, self.positions = num_heads, dim // num_heads, positions
        self.norm = nn.LayerNorm(dim)
        self.qkv = nn.Linear(dim, 3 * dim)
        self.out = nn.Linear(dim, dim)
        self.dropout = Dropout(dropout)
        if positions == "relative":
            self.pos = nn.Linear(dim, dim, bias=False)
            self.content_bias = nn.Parameter(torch.zeros(num_heads, 1, self.head_dim))
            self.position_bias = nn.Parameter(torch.zeros(num_heads, 1, self.head_dim))

    def position_scores(self, q: Tensor, table: Tensor) -> Tensor:
        """Map queries (B, heads, T, head_dim) and distances (2T - 1, D) to (B, heads, T, T)."""
        T = q.size(2)
        keys = self.pos(table.to(q.dtype)).view(-1, self.num_heads, self.head_dim).permute(1, 2, 0)
        scores = (
            q + self.position_bias
        ) @ keys  # (B, heads, T, 2T - 1), column k is distance T - 1 - k
        # Row i wants columns T - 1 - i ... 2T - 2 - i: pad one column and read the rows one step shorter.
        scores = F.pad(scores, (1, 0)).flatten(2)[..., T:]
        return scores.unflatten(2, (T, 2 * T - 1))[..., :T] / math.sqrt(self.head_dim)

    def forward(self, x: Tensor, mask: Tensor | None, table) -> Tensor:
        """Map (B, T, D) with mask (B, 1, 1, T) or None to (B, T, D)."""
        q, k, v = (
            self.qkv(self.norm(x))
            .unflatten(-1, (3, self.num_heads, self.head_dim))
            .permute(2, 0, 3, 1, 4)
        )
        if self.positions == "rotary":
            q, k = rotate(q, table), rotate(k, table)
        else:
            scores = self.position_scores(q, table)
            q = q + self.content_bias
            mask = scores if mask is None else scores.masked_fill(~mask, float("-inf"))
        out = F.scaled_dot_product_attention(q, k, v, attn_mask=mask)
        return self.dropout(self.out(out.transpose(1, 2).flatten(2)))


class ConvModule(nn.Module):
    """Gated pointwise, depthwise over time, pointwise.

    LayerNorm stands where the paper has BatchNorm: its result does not depend on what else is in the batch.
    """

    def __init__(self, dim: int, kernel: int, dropout: float):
        super().__init__()
        if kernel % 2 == 0:
            raise UserError(f"encoder.conv_kernel {kernel} should be odd")
        self.norm = nn.LayerNorm(dim)
        self.gate = nn.Linear(dim, 2 * dim)
        self.depthwise = nn.Conv1d(dim, dim, kernel, padding=kernel // 2, groups=dim)
        self.inner_norm = nn.LayerNorm(dim)
        self.out = nn.Linear(dim, dim)
        self.dropout = Dropout(dropout)

    def forward(self, x: Tensor, padding: Tensor | None) -> Tensor:
        """Map (B, T, D) to (B, T, D); padding (B, T, 1) is True where not real, None if nothing is padded."""
        x = F.glu(self.gate(self.norm(x)), dim=-1)
        if padding is not None:
            x = x.masked_fill(padding, 0.0)
        return self.dropout(self.out(F.silu(self.inner_norm(self.convolve(x)))))

    def convolve(self, x: Tensor) -> Tensor:
        """The depthwise convolution of (B, T, D).

        On a CPU as an image T high and one wide with the channels last, which is how x lies in memory, and for which
        oneDNN has faster code than for a 1-D convolution.
        """
        conv = self.depthwise
        if x.device.type != "cpu":
            return conv(x.transpose(1, 2)).transpose(1, 2)
        weight = conv.weight[..., None].to(memory_format=torch.channels_last)
        padding = (conv.padding[0], 0)
        image = x.transpose(1, 2)[..., None]
        image = F.conv2d(image, weight, conv.bias, padding=padding, groups=conv.groups)
        return image[..., 0].transpose(1, 2)


class ConformerLayer(nn.Module):
    """Half feed-forward, attention, convolution, half feed-forward (arXiv:2005.08100, equation 1).

    ``ffn_style``: "macaron" has two networks of ffn_dim; "half_macaron" two of ffn_dim / 2, which is what the
    parameter counts remembered of arXiv:2307.11795 fit; "single" one of ffn_dim, after the convolution.
    """

    def __init__(self, dim, num_heads, ffn_dim, conv_kernel, dropout, positions, ffn_style):
        super().__init__()
        hidden = ffn_dim // 2 if ffn_style == "half_macaron" else ffn_dim
        self.ffn_in = FeedForward(dim, hidden, dropout) if ffn_style != "single" else None
        self.attention = SelfAttention(dim, num_heads, dropout, positions)
        self.conv = ConvModule(dim, conv_kernel, dropout)
        self.ffn_out = FeedForward(dim, hidden, dropout)
        self.ffn_scale = 1.0 if ffn_style == "single" else 0.5
        self.norm = nn.LayerNorm(dim)

    def forward(self, x: Tensor, mask: Tensor | None, padding: Tensor | None, table) -> Tensor:
        if self.ffn_in is not None:
            x = torch.add(x, self.ffn_in(x), alpha=self.ffn_scale)
        x = x + self.attention(x, mask, table)
        x = x + self.conv(x, padding)
        return self.norm(torch.add(x, self.ffn_out(x), alpha=self.ffn_scale))


class ConformerEncoder(nn.Module):
    """Full-context conformer over filterbank frames.

    Args:
        input_dim: F, mel bins.
        dim: D, width.
        num_layers: conformer layers.
        num_heads: attention heads; D must be a multiple.
        ffn_dim: width inside the feed-forward networks, see ConformerLayer for ``ffn_style``.
        conv_kernel: frames under the depthwise convolution, odd.
        subsampling_factor: feature frames per encoder frame: 2, 4 or 8.
        subsampling: front end, "conv1d" or "depthwise2d".
        subsampling_channels: its inner width.
        positions: "rotary" or "relative".
        dropout: everywhere.

    Raises:
        UserError: heads that do not divide the width into even parts, an even kernel.
    """

    def __init__(
        self,
        input_dim: int = 80,
        dim: int = 512,
        num_layers: int = 18,
        num_heads: int = 8,
        ffn_dim: int = 2048,
        conv_kernel: int = 11,
        subsampling_factor: int = 8,
        subsampling: str = "conv1d",
        subsampling_channels: int = 256,
        positions: str = "rotary",
        ffn_style: str = "macaron",
        dropout: float = 0.1,
    ):
        super().__init__()
        if positions not in ("rotary", "relative"):
            raise ValueError(f"positions must be rotary or relative, got {positions!r}")
        if subsampling not in FRONT_ENDS:
            raise ValueError(
                f"subsampling must be one of {', '.join(FRONT_ENDS)}, got {subsampling!r}"
            )
        if ffn_style not in FFN_STYLES:
            raise ValueError(f"ffn_style must be one of {', '.join(FFN_STYLES)}, got {ffn_style!r}")
        if dim % num_heads:
            raise UserError(
                f"encoder.dim {dim} should be a multiple of encoder.num_heads {num_heads}"
            )
        if (dim // num_heads if positions == "rotary" else dim) % 2:
            halved = "divided by encoder.num_heads " if positions == "rotary" else ""
            raise UserError(
                f"encoder.dim {dim} {halved}should be even, for encoder.positions: {positions}"
            )
        self.output_dim = dim
        self.positions, self.head_dim = positions, dim // num_heads
        self.subsampling = FRONT_ENDS[subsampling](
            input_dim, dim, subsampling_factor, subsampling_channels
        )
        self.dropout = Dropout(dropout)
        self.layers = nn.ModuleList(
            ConformerLayer(dim, num_heads, ffn_dim, conv_kernel, dropout, positions, ffn_style)
            for _ in range(num_layers)
        )
        self.activation_checkpointing = False

    def output_lens(self, lens: Tensor) -> Tensor:
        """Encoder frames for so many feature frames, (B,) to (B,)."""
        return self.subsampling.subsample_lens(lens)

    def forward(self, feats: Tensor, lens: Tensor, after: Collection[int] = ()):
        """Map (B, T, F), (B,) to (B, T', D), (B,); with ``after``, also to the outputs of the layers of these numbers.

        Layers count from 1.
        """
        x, lens = self.subsampling(feats, lens)
        x = self.dropout(x)
        T = x.size(1)
        mask = padding = None
        if int(lens.min()) < T:
            real = lens_to_mask(lens, T)
            mask, padding = real[:, None, None, :], ~real[..., None]
        if self.positions == "rotary":
            table = rotary_table(T, self.head_dim, x.device)
        else:
            table = relative_table(T, self.output_dim, x.device)
        kept = []
        for number, layer in enumerate(self.layers, start=1):
            if self.activation_checkpointing and self.training:
                x = checkpoint(layer, x, mask, padding, table, use_reentrant=False)
            else:
                x = layer(x, mask, padding, table)
            if number in after:
                kept.append(x)
        return (x, lens, kept) if after else (x, lens)
