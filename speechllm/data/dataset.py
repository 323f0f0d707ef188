"""Utterances of a manifest as tensors, for CTC and for the LLM."""

from collections.abc import Callable

import numpy as np
import torch
from torch.utils.data import Dataset

from speechllm.data.ark import read_ark
from speechllm.data.manifest import Manifest, Row
from speechllm.data.tokenizer import CtcTokenizer


class CtcDataset(Dataset):
    """Features and CTC units of each utterance: ``{"utt_id", "feats" (T, F), "units" (U,)}``."""

    def __init__(self, manifest: Manifest, tokenizer: CtcTokenizer):
        self.manifest, self.tokenizer = manifest, tokenizer

    def __len__(self) -> int:
        return len(self.manifest)

    def __getitem__(self, index: int) -> dict:
        row = self.manifest.row(index)
        units = torch.tensor(self.tokenizer.encode(row.text), dtype=torch.long)
        return {"utt_id": row.utt_id, "feats": read_ark(row.ark, row.offset), "units": units}


class LlmDataset(Dataset):
    """Features, prompt and target of each utterance.

    An utterance is ``{"utt_id", "feats" [(T, F), ...], "prompt", "target" (L,)}``; the prompt's parts are LongTensors
    of token ids, or indices into ``feats``.

    Args:
        make_prompt: parts of the prompt from a row.
        encode_target: token ids of a row's target, its end included.
    """

    def __init__(
        self,
        manifest: Manifest,
        make_prompt: Callable[[Row], list],
        encode_target: Callable[[Row], list[int]],
    ):
        self.manifest, self.make_prompt, self.encode_target = manifest, make_prompt, encode_target

    def __len__(self) -> int:
        return len(self.manifest)

    def __getitem__(self, index: int) -> dict:
        row = self.manifest.row(index)
        return {
            "utt_id": row.utt_id,
            "feats": [read_ark(row.ark, row.offset)],
            "prompt": self.make_prompt(row),
            "target": torch.tensor(self.encode_target(row), dtype=torch.long),
        }


def encoder_frames(num_frames: int, subsampling_factor: int) -> int:
    """Frames out of an encoder whose front end halves with kernel 3 and no padding; at least one."""
    for _ in range(subsampling_factor.bit_length() - 1):
        num_frames = (num_frames - 3) // 2 + 1
    return max(1, num_frames)


def ctc_too_short(num_frames: int, units: list[int], subsampling_factor: int) -> bool:
    """Whether CTC cannot place these units: one encoder frame each, and a blank between equal neighbours.

    >>> ctc_too_short(63, [4, 5, 5, 6], 8), ctc_too_short(47, [4, 5, 5, 6], 8)
    (False, True)
    """
    repeats = sum(a == b for a, b in zip(units, units[1:], strict=False))
    return len(units) + repeats > encoder_frames(num_frames, subsampling_factor)


def find_too_short(
    manifest: Manifest, tokenizer: CtcTokenizer, subsampling_factor: int, chosen: np.ndarray
) -> list[tuple[int, str]]:
    """Those of the chosen utterances that are too short for their units, each with the message to show.

    Only texts that could be too long are cut into units: never more units than characters and one, each at most
    doubled by blanks.
    """
    frames = manifest.num_frames[chosen].astype(np.int64)
    for _ in range(subsampling_factor.bit_length() - 1):
        frames = (frames - 3) // 2 + 1
    suspects = chosen[2 * (manifest.text_lens()[chosen] + 1) > frames]
    found = []
    for index in suspects.tolist():
        row = manifest.row(index)
        units = tokenizer.encode_quietly(row.text)
        if ctc_too_short(row.num_frames, units, subsampling_factor):
            have = encoder_frames(row.num_frames, subsampling_factor)
            found.append(
                (index, f"{row.utt_id}: {len(units)} units do not fit into {have} encoder frames")
            )
    return found
