"""Does a model listen, or does it write what it expects: the same prompts with audio that is not the utterance's."""

import dataclasses
import math
from collections import Counter
from collections.abc import Callable

import torch

SILENCE = math.log(torch.finfo(torch.float32).eps)  # Kaldi's filterbank of digital silence


def with_other_audio(rows: list) -> list:
    """Every row of a manifest with the features of another in its language, which by itself would tell a lot.

    It is that which stands half of the language's rows further on. Rows that are alone in their language share their
    audio out among themselves; where one is left over, it hears the first row of all.

    Raises:
        ValueError: there is one row only.
    """
    if len(rows) < 2:
        raise ValueError("one utterance alone has no other's audio")
    langs = Counter(row.lang for row in rows)
    groups = {}
    for i, row in enumerate(rows):
        groups.setdefault(row.lang if langs[row.lang] > 1 else None, []).append(i)
    heard = list(rows)
    for group in groups.values():
        shift = len(group) // 2
        for i, other in zip(group, group[shift:] + group[:shift], strict=True):
            heard[i] = rows[other if other != i else int(i == 0)]
    return [
        dataclasses.replace(row, ark=other.ark, offset=other.offset, num_frames=other.num_frames)
        for row, other in zip(rows, heard, strict=True)
    ]


def silenced(load: Callable) -> Callable:
    """A loader, rows and device to features (B, T, F), (B,), that gives silence of the same lengths."""

    def load_silence(rows: list, device):
        feats, lens = load(rows, device)
        return feats.fill_(SILENCE), lens

    return load_silence
