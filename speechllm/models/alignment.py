"""A loss that pulls speech positions to the embeddings of the text that CTC hears in them."""

import torch
import torch.nn.functional as F
from torch import Tensor

BLANK_ID = 0
NOTHING = "\u2581"  # a bare space: how a frame without a unit should read


def unit_embeddings(pieces: list[str], ids_of_piece, embed) -> Tensor:
    """The LLM's embedding of each CTC unit, the mean where a unit is several tokens: (V, H); a space for the blank.

    Args:
        pieces: text of units 1 to V - 1, as SentencePiece writes them.
        ids_of_piece: piece to token ids.
        embed: ids (L,) to embeddings (L, H).
    """
    tokens = [torch.tensor(ids_of_piece(piece)) for piece in (NOTHING, *pieces)]
    return torch.stack([embed(ids).float().mean(0) for ids in tokens])


def alignment_loss(positions: Tensor, lens: Tensor, units: Tensor, table: Tensor) -> Tensor:
    """Mean of 1 - cosine between speech positions and the embeddings of the units that stand there.

    A position stands for the encoder frames t with t * N // T = its number; their targets are averaged. Positions
    in which CTC hears blanks only are free.

    Args:
        positions: (B, N, H); lens: (B,) real positions.
        units: (B, T) most likely CTC unit of each encoder frame, the blank (0) where padded.
        table: (V, H), see ``unit_embeddings``.
    """
    B, N, H = positions.shape
    T = units.size(1)
    at = (torch.arange(T, device=units.device) * N) // T
    heard = units != BLANK_ID
    targets = table.new_zeros(B, N, H).index_add_(1, at, table[units] * heard[..., None])
    spoken = units.new_zeros(B, N).index_add_(1, at, heard.long()) > 0
    spoken &= torch.arange(N, device=lens.device) < lens[:, None]
    if not spoken.any():
        return positions.sum() * 0.0
    return (1 - F.cosine_similarity(positions[spoken].float(), targets[spoken], dim=-1)).mean()
