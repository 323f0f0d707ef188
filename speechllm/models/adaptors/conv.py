"""One strided convolution over encoder frames and a linear layer."""

import torch.nn.functional as F
from torch import Tensor, nn

from speechllm.errors import UserError
from speechllm.models.lengths import lens_to_mask


class ConvAdaptor(nn.Module):
    """Convolution over time, GELU, linear; position i is made of the frames around i times ``stride``.

    Args:
        encoder_dim: D, width of the encoder's frames.
        llm_dim: H, width of the LLM's embeddings.
        stride: encoder frames per LLM position.
        kernel: encoder frames under the convolution; at least ``stride``, so that no speech is lost.
        dim: width between the two layers.
    """

    def __init__(
        self, encoder_dim: int, llm_dim: int, stride: int = 2, kernel: int = 3, dim: int = 512
    ):
        super().__init__()
        if kernel < stride:
            raise UserError(
                f"adaptor.kernel {kernel} is below adaptor.stride {stride}: frames between would be lost"
            )
        self.frames_per_position = stride
        self.conv = nn.Conv1d(encoder_dim, dim, kernel, stride)
        self.proj = nn.Linear(dim, llm_dim)

    def forward(self, x: Tensor, lens: Tensor) -> tuple[Tensor, Tensor]:
        """Map (B, T, D), (B,) to (B, ceil(T / stride), H), (B,); zeros stand before the first and after the last."""
        (kernel,), (stride,) = self.conv.kernel_size, self.conv.stride
        num_out = (x.size(1) + stride - 1) // stride
        x = x.masked_fill(~lens_to_mask(lens, x.size(1))[..., None], 0.0)
        before = (kernel - 1) // 2
        x = F.pad(x, (0, 0, before, (num_out - 1) * stride + kernel - before - x.size(1)))
        x = self.conv(x.transpose(1, 2)).transpose(1, 2)
        return self.proj(F.gelu(x)), (lens + stride - 1) // stride
