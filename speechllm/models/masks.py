"""Rows of different lengths as one tensor, and who may attend to whom in it."""

import torch
from torch import Tensor

from speechllm.models.lengths import lens_to_mask


def span_mask(real: Tensor, speech: Tensor) -> Tensor:
    """Causal attention, but every position of an audio part sees all of that part (arXiv:2307.03917).

    Args:
        real: (B, L), False where padded.
        speech: (B, L) number of the audio part at a position, 0 for text.

    Returns:
        (B, 1, L, L), True where row position i may attend to j; a padded position sees itself, so that no
        softmax is empty.
    """
    L = speech.size(1)
    same_part = (speech[:, :, None] == speech[:, None, :]) & (speech[:, :, None] > 0)
    causal = torch.ones(L, L, dtype=torch.bool, device=speech.device).tril()
    allowed = (causal | same_part) & real[:, None, :]
    return (allowed | torch.eye(L, dtype=torch.bool, device=speech.device))[:, None]


def prefix_mask(lens: Tensor, speech: Tensor) -> Tensor:
    """The ``span_mask`` of rows that are padded on the right: (B,), (B, L) to (B, 1, L, L)."""
    return span_mask(lens_to_mask(lens, speech.size(1)), speech)


def packed_mask(segments: Tensor, speech: Tensor) -> Tensor:
    """The ``span_mask`` of rows that hold several utterances: none of them sees another.

    Args:
        segments: (B, L) number of the utterance at a position, 0 where padded.
        speech: (B, L) as there; zeros give causal attention.
    """
    own = segments[:, :, None] == segments[:, None, :]
    return span_mask(segments > 0, speech) & own[:, None]


def read_mask(real: Tensor, num_new: int) -> Tensor:
    """Causal attention of the last ``num_new`` of P positions, of which those before are in a cache.

    Args:
        real: (B, P), False where padded.

    Returns:
        (B, 1, D, P), True where the new position i may attend to j.
    """
    mask = real[:, None, None]
    if num_new == 1:
        return mask
    P = real.size(1)
    return mask & mask.new_ones(num_new, P).tril(P - num_new)


def pad_tokens(rows: list[list[int]], device=None) -> tuple[Tensor, Tensor]:
    """Pad B lists of token ids on the right, with 0, to (B, L), (B,)."""
    lens = torch.tensor([len(row) for row in rows], device=device)
    L = max(map(len, rows))
    return torch.tensor([row + [0] * (L - len(row)) for row in rows], device=device), lens
