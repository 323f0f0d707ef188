"""Which utterances a CTC model can learn from: long enough for their units, in known characters."""

import numpy as np

from speechllm.data.manifest import Manifest
from speechllm.data.tokenizer import CtcTokenizer


def encoder_frames(num_frames, subsampling_factor: int):
    """Frames (integer or array) after halvings with kernel 3 and no padding; at least 1."""
    for _ in range(subsampling_factor.bit_length() - 1):
        num_frames = (num_frames - 3) // 2 + 1
    return np.maximum(num_frames, 1)


def frames_needed(units: list[int]) -> int:
    """Encoder frames that CTC needs: one per unit, and a blank between equal neighbours.

    >>> frames_needed([4, 5, 5, 6])
    5
    """
    return len(units) + sum(a == b for a, b in zip(units, units[1:], strict=False))


def ctc_too_short(num_frames: int, units: list[int], subsampling_factor: int) -> bool:
    """Whether an audio of so many feature frames is too short for its units."""
    return frames_needed(units) > encoder_frames(num_frames, subsampling_factor)


def find_too_short(
    manifest: Manifest,
    tokenizer: CtcTokenizer,
    subsampling_factor: int,
    chosen: np.ndarray | None = None,
) -> list[tuple[int, str]]:
    """Those of the chosen utterances that are too short for their units: (index, message).

    Only texts that might be too long are cut into units: there are never more units than
    characters and the beginning of the first word, and never more blanks than units.
    """
    chosen = np.arange(len(manifest)) if chosen is None else chosen
    frames = encoder_frames(manifest.num_frames[chosen].astype(np.int64), subsampling_factor)
    at_most = 2 * (manifest.transcript_lens()[chosen].astype(np.int64) + 1)
    found = []
    for index in chosen[at_most > frames].tolist():
        row = manifest.row(index)
        units = tokenizer.encode(row.transcript)
        if ctc_too_short(row.num_frames, units, subsampling_factor):
            have = encoder_frames(row.num_frames, subsampling_factor)
            message = f"{row.utt_id}: {len(units)} units do not fit into {have} encoder frames"
            found.append((index, message))
    return found


def find_unknown(manifest: Manifest, tokenizer: CtcTokenizer) -> dict[str, int]:
    """Characters that the tokenizer has no piece for, each with the number of utterances."""
    unknown = tokenizer.unknown_characters("".join(sorted(manifest.characters())))
    return {character: len(manifest.containing(character)) for character in unknown}
