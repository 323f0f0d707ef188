"""Speech positions at the pace of text: one for each unit that CTC hears, as its greedy search merges frames."""

import torch
import torch.nn.functional as F
from torch import Tensor

from speechllm.models.alignment import BLANK_ID
from speechllm.models.lengths import lens_to_mask

SURE = 0.9  # probability from which on a blank is left out; before that something may have been said there


def merge_repeats(
    positions: Tensor, lens: Tensor, logits: Tensor, sure: float = SURE
) -> tuple[Tensor, Tensor]:
    """Average neighbouring positions in which CTC hears the same unit, and leave blanks out.

    (B, N, H), (B,) and CTC logits (B, N, V) to (B, M, H), (B,). Blanks that are not ``sure`` stay, a run of them as one
    position. Where there is nothing but sure blanks, the first position stays. The frames that belong together are
    found without gradients (after arXiv:2307.03917, which averages an encoder's frames so).
    """
    with torch.no_grad():
        prob, units = logits.float().softmax(-1).max(-1)
        kept = lens_to_mask(lens, units.size(1)) & ~((units == BLANK_ID) & (prob > sure))
        kept[:, 0] |= ~kept.any(1)
        before = F.pad(kept[:, :-1] & (units[:, :-1] == units[:, 1:]), (1, 0))
        starts = kept & ~before
        num_runs = starts.sum(1)
        runs = F.one_hot((starts.cumsum(1) - 1).clamp(min=0), int(num_runs.max()))
        runs = (runs * kept[..., None]).to(positions.dtype)  # (B, N, M)
        runs = runs / runs.sum(1, keepdim=True).clamp(min=1)
    return runs.transpose(1, 2) @ positions, num_runs
