"""The order of prompt, speech and target in the LLM's input, from real lengths."""

from dataclasses import dataclass, replace

import torch
from torch import Tensor

IGNORE_INDEX = -100


@dataclass
class Joined:
    """How to lay out a batch of B rows of L positions.

    index (B, L): position in the pool [all speech positions, all text ids, one zero vector]
    text_ids (M,): ids of every text position, row by row
    is_target (M,): True where the text id is part of a target
    labels (B, L): the id that must be predicted at a position, IGNORE_INDEX where none must
    lens (B,): real positions per row
    speech (B, L): 1, 2, ... over the positions of a row's first, second, ... audio part, 0 elsewhere
    padding: the zero vector's position in the pool
    segments (B, L): None, or in packed rows 1, 2, ... over a row's first, second, ... utterance, 0 where padded
    """

    index: Tensor
    text_ids: Tensor
    is_target: Tensor
    labels: Tensor
    lens: Tensor
    speech: Tensor
    padding: int
    segments: Tensor | None = None

    @property
    def positions(self) -> Tensor | None:
        """(B, L) places within the utterances, for the LLM's position embeddings, if the rows are packed."""
        if self.segments is None:
            return None
        at = torch.arange(self.segments.size(1))
        begins = self.segments.diff(dim=1, prepend=torch.zeros_like(self.segments[:, :1])) != 0
        return at - torch.where(begins, at, 0).cummax(1).values


def pack(joined: Joined) -> Joined:
    """Put short utterances one after the other into rows that are no longer than the longest.

    Each goes, longest first, into the first row that has room for it. What they attend to stays their own, see
    ``masks.packed_mask``. If no two fit into a row, all stays as it is.
    """
    lens = joined.lens.tolist()
    L = max(lens)
    rows: list[list[int]] = []
    room: list[int] = []
    for b in sorted(range(len(lens)), key=lambda b: -lens[b]):
        row = next((r for r, left in enumerate(room) if left >= lens[b]), len(rows))
        if row == len(rows):
            rows.append([])
            room.append(L)
        rows[row].append(b)
        room[row] -= lens[b]
    if len(rows) == len(lens):
        return joined  # there is no room to share

    def packed(values: Tensor, fill: int) -> Tensor:
        out = values.new_full((len(rows), L), fill)
        for row, members in enumerate(rows):
            whole = torch.cat([values[b, : lens[b]] for b in members])
            out[row, : len(whole)] = whole
        return out

    numbers = torch.zeros_like(joined.index)
    for members in rows:
        for number, b in enumerate(members, start=1):
            numbers[b, : lens[b]] = number
    # Audio parts of one row need different numbers; those of one utterance are fewer than its positions.
    speech = torch.where(joined.speech > 0, joined.speech + numbers * L, 0)
    return replace(
        joined,
        index=packed(joined.index, joined.padding),
        labels=packed(joined.labels, IGNORE_INDEX),
        lens=torch.tensor([sum(lens[b] for b in members) for members in rows]),
        speech=packed(speech, 0),
        segments=packed(numbers, 0),
    )


def join(
    prompts: list[list], targets: list[Tensor] | None, speech_lens: Tensor, speech_size: int
) -> Joined:
    """Lay out every row as prompt parts, then target; nothing is searched for and no place is reserved.

    The last prompt position predicts the first target id, and the last target id, which ends the answer, is
    only predicted, never read.

    Args:
        prompts: per row its parts: an int names an audio part, a LongTensor holds token ids.
        targets: per row the ids to predict, or None when decoding.
        speech_lens: (S,) positions of each audio part.
        speech_size: N, positions that each audio part has in the padded speech tensor.
    """
    pool = speech_lens.numel() * speech_size
    lens_list = speech_lens.tolist()
    rows, labels, spans, ids, num_ids = [], [], [], [], 0
    is_target = []

    def text_row(part, target):
        nonlocal num_ids
        ids.append(part)
        is_target.append(torch.full(part.shape, target))
        num_ids += len(part)
        return torch.arange(pool + num_ids - len(part), pool + num_ids)

    for b, prompt in enumerate(prompts):
        row, span, audio = [], [], 0
        for part in prompt:
            if isinstance(part, int):
                audio += 1
                positions = torch.arange(lens_list[part]) + part * speech_size
            else:
                positions = text_row(part, False)
            row.append(positions)
            span.append(torch.full(positions.shape, audio if isinstance(part, int) else 0))
        if targets is not None:
            prompt_len = sum(map(len, row))
            row.append(text_row(targets[b][:-1], True))
            span.append(torch.zeros_like(row[-1]))
            labels.append(torch.cat([torch.full((prompt_len - 1,), IGNORE_INDEX), targets[b]]))
        rows.append(torch.cat(row))
        spans.append(torch.cat(span))

    def pad(tensors, value):
        return torch.nn.utils.rnn.pad_sequence(tensors, batch_first=True, padding_value=value)

    index = pad(rows, pool + num_ids)
    return Joined(
        index=index,
        text_ids=torch.cat(ids) if ids else torch.zeros(0, dtype=torch.long),
        is_target=torch.cat(is_target) if is_target else torch.zeros(0, dtype=torch.bool),
        labels=pad(labels, IGNORE_INDEX) if labels else torch.full_like(index, IGNORE_INDEX),
        lens=torch.tensor([len(row) for row in rows]),
        speech=pad(spans, 0),
        padding=pool + num_ids,
    )
