"""Does a model listen, or does it write what it expects: the same prompts with audio that is not the utterance's."""

import dataclasses
import math
from collections.abc import Callable

import torch

SILENCE = math.log(torch.finfo(torch.float32).eps)  # Kaldi's filterbank of digital silence


def with_other_audio(rows: list) -> list:
    """Every row of a manifest with the features of another: that which stands half of the list further on.

    Raises:
        ValueError: there is one row only.
    """
    if len(rows) < 2:
        raise ValueError("one utterance alone has no other's audio")
    shift = len(rows) // 2
    return [
        dataclasses.replace(row, ark=other.ark, offset=other.offset, num_frames=other.num_frames)
        for row, other in zip(rows, rows[shift:] + rows[:shift], strict=True)
    ]


def silenced(load: Callable) -> Callable:
    """A loader, rows and device to features (B, T, F), (B,), that gives silence of the same lengths."""

    def load_silence(rows: list, device):
        feats, lens = load(rows, device)
        return feats.fill_(SILENCE), lens

    return load_silence
