"""How far speech positions are from the embeddings of the text that is spoken in them, by CTC's alignment."""

import torch
import torch.nn.functional as F
from torch import Tensor

from speechllm.models.ctc import BLANK_ID

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


def mean_of_frames(
    frames: Tensor, kept: Tensor, frames_per_position: float | Tensor, num_positions: int
) -> tuple[Tensor, Tensor]:
    """Bring frames (B, T, H) to the N positions that an adaptor makes of them; sums are float32.

    Frame t belongs to position t // frames_per_position, or to that which a tensor (B, T) says; a position is the mean
    of its frames that are kept (B, T), and zero if there is none.

    Returns:
        (B, N, H), and how many frames each is made of, (B, N).
    """
    B, T, H = frames.shape
    at = frames_per_position
    if not isinstance(at, Tensor):
        at = torch.arange(T, device=frames.device).div(at).long().expand(B, T)
    rows = torch.arange(B, device=frames.device)[:, None] * num_positions
    at = (at.clamp(0, num_positions - 1) + rows).flatten()
    kept = kept.float()
    count = kept.new_zeros(B * num_positions).index_add_(0, at, kept.flatten())
    total = kept.new_zeros(B * num_positions, H)
    total = total.index_add_(0, at, (frames.float() * kept[..., None]).flatten(0, 1))
    mean = (total / count[:, None].clamp(min=1)).to(frames.dtype)
    return mean.view(B, num_positions, H), count.view(B, num_positions)


@torch.no_grad()
def forced_units(log_probs: Tensor, lens: Tensor, units: Tensor, unit_lens: Tensor) -> Tensor:
    """The unit of each frame on the likeliest of all CTC alignments of what is said: (B, T), the blank between units.

    Of an utterance with too few frames for its units all are blanks, as where it is padded.

    Args:
        log_probs: (B, T, V) float32; lens: (B,); units: (B, U); unit_lens: (B,).
    """
    from torchaudio.functional import forced_align  # takes a second to import

    aligned = torch.full(log_probs.shape[:2], BLANK_ID, dtype=torch.long, device=log_probs.device)
    for b, (T, U) in enumerate(zip(lens.tolist(), unit_lens.tolist(), strict=True)):
        said = units[b : b + 1, :U]
        num_repeats = int((said[:, 1:] == said[:, :-1]).sum())  # each needs a blank between
        if 0 < U and U + num_repeats <= T:
            aligned[b, :T] = forced_align(log_probs[b : b + 1, :T], said, blank=BLANK_ID)[0][0]
    return aligned


def misalignment(
    positions: Tensor, units: Tensor, table: Tensor, frames_per_position: float | Tensor
) -> Tensor:
    """1 - cosine between each speech position and the embeddings of the units that stand there.

    Args:
        positions: (B, N, H).
        units: (B, T) CTC unit of each encoder frame, the blank (0) where padded; see ``forced_units``.
        table: (V, H), see ``unit_embeddings``.
        frames_per_position: see ``mean_of_frames``; frames that a tensor gives a negative position stand nowhere.

    Returns:
        (M,), of the M positions in which more than blanks stands; the others are free.
    """
    kept = units != BLANK_ID
    if isinstance(frames_per_position, Tensor):
        kept = kept & (frames_per_position >= 0)
    targets, count = mean_of_frames(table[units], kept, frames_per_position, positions.size(1))
    spoken = count > 0
    return 1 - F.cosine_similarity(positions[spoken].float(), targets[spoken], dim=-1)
