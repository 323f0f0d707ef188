"""Does a model listen, or does it write what it expects: the same prompts with audio that is not the utterance's."""

import dataclasses
import math
from collections.abc import Callable

from torch import Tensor

from speechllm.data.rows import Row

AUDIO = ("own", "shuffled", "silent")
SILENCE = math.log(1.1920929e-07)  # what Kaldi's filterbank makes of digital silence


def with_other_audio(rows: list[Row]) -> list[Row]:
    """Every row with the features of another: that which stands half of the list further on."""
    shift = len(rows) // 2
    return [
        dataclasses.replace(row, ark=other.ark, offset=other.offset, num_frames=other.num_frames)
        for row, other in zip(rows, rows[shift:] + rows[:shift], strict=True)
    ]


def silenced(load: Callable) -> Callable:
    """A loader of features (B, T, F), (B,) that gives silence of the same lengths."""

    def load_silence(rows: list[Row], device) -> tuple[Tensor, Tensor]:
        feats, lens = load(rows, device)
        return feats.fill_(SILENCE), lens

    return load_silence
