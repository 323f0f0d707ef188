import random

import numpy as np
import pytest

from speechllm.score import wer
from speechllm.score.normalize import split_chars

TABLE = [  # reference, hypothesis, hits, substitutions, deletions, insertions
    ("a b c", "a b c", 3, 0, 0, 0),
    ("a b c", "a x c", 2, 1, 0, 0),
    ("a b c", "a c", 2, 0, 1, 0),
    ("a b c", "a b x c", 3, 0, 0, 1),
    ("a b c", "", 0, 0, 3, 0),
    ("", "a b", 0, 0, 0, 2),
    ("", "", 0, 0, 0, 0),
    ("a b c d", "b c d a", 3, 0, 1, 1),
]


def edit_distance(ref, hyp):
    """The textbook recursion over prefixes, row by row."""
    row = list(range(len(hyp) + 1))
    for i, r in enumerate(ref, 1):
        before, row[0] = row[0], i
        for j, h in enumerate(hyp, 1):
            before, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, before + (r != h))
    return row[-1]


def align_texts(pairs):
    return wer.align([ref.split() for ref, *_ in pairs], [hyp.split() for _, hyp, *_ in pairs])


def test_counts_agree_with_a_table_by_hand():
    counts = align_texts(TABLE).counts
    assert counts.tolist() == [list(row[2:]) for row in TABLE]
    # 10 errors over 19 reference words; the insertions into the empty reference are among them
    assert wer.error_rate(counts.sum(axis=0)) == pytest.approx(100 * 10 / 19)


def test_counts_agree_with_a_second_implementation():
    rng = random.Random(0)
    pairs = [
        [" ".join(rng.choices("abcde", k=rng.randint(0, 12))) for _ in range(2)] for _ in range(400)
    ]
    alignment = align_texts(pairs)
    for i, (ref, hyp) in enumerate(pairs):
        hits, substitutions, deletions, insertions = alignment.counts[i]
        assert wer.num_errors(alignment.counts[i]) == edit_distance(ref.split(), hyp.split())
        assert hits + substitutions + deletions == len(ref.split())
        assert hits + substitutions + insertions == len(hyp.split())


def test_spaces_count_as_characters():
    counts = wer.align([split_chars("ab cd")], [split_chars("abcd")]).counts
    assert counts.tolist() == [[4, 0, 1, 0]]
    assert wer.error_rate(counts[0]) == 20.0


def test_insertions_without_any_reference_count_100_each():
    assert wer.error_rate(np.array([0, 0, 0, 3])) == 300.0
    assert wer.error_rate(np.zeros(4)) == 0.0


def test_pairs_and_slots_tell_where_the_errors_are():
    alignment = wer.align(["a b c d".split(), []], ["z a x c".split(), ["y"]])
    assert alignment.pairs(0) == [("", "z"), ("a", "a"), ("b", "x"), ("c", "c"), ("d", "")]
    assert alignment.slots(0).tolist() == [1, 0, 0, 1, 0, 0, 0, 1, 0]
    assert alignment.slots(1).tolist() == [1]


def test_lists_of_different_length_are_refused():
    with pytest.raises(ValueError, match="1 references but 2"):
        wer.align([["a"]], [["a"], ["b"]])
