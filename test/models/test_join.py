"""The join of prompt, speech and target, against tables written by hand."""

import torch

from speechllm.models.join import IGNORE_INDEX, join, pack

NONE = IGNORE_INDEX


def ids(*values):
    return torch.tensor(values, dtype=torch.long)


def test_audio_bos_target():
    # Two utterances with 2 and 3 speech positions (padded to 3); targets 7 8 EOS and 9 EOS with EOS = 2, BOS = 1.
    joined = join([[0, ids(1)], [1, ids(1)]], [ids(7, 8, 2), ids(9, 2)], torch.tensor([2, 3]), 3)
    assert joined.text_ids.tolist() == [1, 7, 8, 1, 9]
    assert joined.is_target.tolist() == [False, True, True, False, True]
    # The pool is: speech 0 1 2 | 3 4 5, then text ids at 6 7 8 9 10, then zeros at 11.
    assert joined.index.tolist() == [[0, 1, 6, 7, 8], [3, 4, 5, 9, 10]]
    assert joined.labels.tolist() == [[NONE, NONE, 7, 8, 2], [NONE, NONE, NONE, 9, 2]]
    assert joined.speech.tolist() == [[1, 1, 0, 0, 0], [1, 1, 1, 0, 0]]
    assert joined.lens.tolist() == [5, 5]


def test_text_around_the_audio_and_padding_on_the_right():
    joined = join(
        [[ids(1, 5), 0, ids(6)], [1, ids(1)]], [ids(7, 2), ids(2)], torch.tensor([1, 1]), 1
    )
    assert joined.index.tolist() == [[2, 3, 0, 4, 5], [1, 6, 7, 7, 7]]
    assert joined.labels.tolist() == [[NONE, NONE, NONE, 7, 2], [NONE, 2, NONE, NONE, NONE]]
    assert joined.lens.tolist() == [5, 2]


def test_pad_that_is_eos_keeps_its_label():
    # With a tokenizer whose pad is its EOS (2), the end must still be learnt: labels follow from position, not value.
    joined = join([[0, ids(1)]], [ids(2, 2)], torch.tensor([1]), 1)
    assert joined.labels.tolist() == [[NONE, 2, 2]]


def test_dialogue_of_text_and_audio_turns():
    joined = join([[ids(1), 1, ids(5), 0]], [ids(9, 2)], torch.tensor([2, 1]), 2)
    assert joined.index.tolist() == [[4, 2, 5, 0, 1, 6]]
    assert joined.speech.tolist() == [[0, 1, 0, 2, 2, 0]]
    assert joined.labels.tolist() == [[NONE, NONE, NONE, NONE, 9, 2]]


def test_without_targets_nothing_is_labelled():
    joined = join([[0, ids(1)]], None, torch.tensor([2]), 2)
    assert joined.index.tolist() == [[0, 1, 2]]
    assert (joined.labels == NONE).all()


def test_packed_rows_by_hand():
    # 5, 3 and 2 positions: the last two share a row.
    prompts = [[0, ids(1)], [1, ids(1)], [2, ids(1)]]
    targets = [ids(7, 8, 2), ids(9, 2), ids(2)]
    joined = pack(join(prompts, targets, torch.tensor([2, 1, 1]), 2))
    # The pool is: speech 0 to 5, then text ids 1 7 8 | 1 9 | 1 at 6 to 11, then zeros at 12.
    assert joined.index.tolist() == [[0, 1, 6, 7, 8], [2, 9, 10, 4, 11]]
    assert joined.labels.tolist() == [[NONE, NONE, 7, 8, 2], [NONE, 9, 2, NONE, 2]]
    assert joined.segments.tolist() == [[1] * 5, [1, 1, 1, 2, 2]]
    assert joined.positions.tolist() == [[0, 1, 2, 3, 4], [0, 1, 2, 0, 1]]
    assert (joined.speech > 0).tolist() == [
        [True, True, False, False, False],
        [True, False, False, True, False],
    ]
    assert joined.speech[1, 0] != joined.speech[1, 3]
    assert joined.lens.tolist() == [5, 5]


def test_room_that_nobody_takes_is_padding():
    joined = pack(join([[0], [1], [2]], [ids(7, 8, 2), ids(2), ids(2)], torch.tensor([3, 2, 2]), 3))
    assert joined.index.tolist() == [[0, 1, 2, 9, 10], [3, 4, 6, 7, 11]]
    assert joined.segments.tolist() == [[1] * 5, [1, 1, 2, 2, 0]]
    assert joined.labels[1].tolist() == [NONE, 2, NONE, 2, NONE]
    assert joined.lens.tolist() == [5, 4]


def test_where_no_two_fit_into_a_row_nothing_changes():
    plain = join([[0], [1]], [ids(7, 8, 2), ids(2)], torch.tensor([3, 4]), 4)
    assert pack(plain) is plain
