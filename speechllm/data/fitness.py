"""Which utterances a CTC model can learn from: long enough for their units, in known characters."""

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from speechllm.data.manifest import Manifest
from speechllm.data.tokenizer import CtcTokenizer


def frames_needed(units: list[int]) -> int:
    """Encoder frames that CTC needs: one per unit, and a blank between equal neighbours.

    >>> frames_needed([4, 5, 5, 6])
    5
    """
    return len(units) + sum(a == b for a, b in zip(units, units[1:], strict=False))


def find_too_short(
    manifest: Manifest,
    tokenizer: CtcTokenizer,
    output_lens: Callable[[Tensor], Tensor],
    chosen: np.ndarray | None = None,
) -> list[tuple[int, str]]:
    """Those of the chosen utterances that are too short for their units: (index, message).

    Only texts that might be too long are cut into units: there are never more units than
    characters and the beginning of the first word, and never more blanks than units.

    Args:
        output_lens: the encoder's, feature frames (N,) to encoder frames (N,).
    """
    chosen = np.arange(len(manifest)) if chosen is None else chosen
    frames = output_lens(torch.from_numpy(manifest.num_frames[chosen].astype(np.int64))).numpy()
    at_most = 2 * (manifest.transcript_lens()[chosen].astype(np.int64) + 1)
    found = []
    for i in np.flatnonzero(at_most > frames).tolist():
        row = manifest.row(chosen[i])
        units = tokenizer.encode(row.transcript)
        if frames_needed(units) > frames[i]:
            message = f"{row.utt_id}: {len(units)} units do not fit into {frames[i]} encoder frames"
            found.append((int(chosen[i]), message))
    return found


def find_unknown(manifest: Manifest, tokenizer: CtcTokenizer) -> dict[str, int]:
    """Characters that the tokenizer has no piece for, each with the number of utterances."""
    unknown = tokenizer.unknown_characters("".join(sorted(manifest.characters())))
    return {character: len(manifest.containing(character)) for character in unknown}
