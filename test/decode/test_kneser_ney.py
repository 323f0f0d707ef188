"""Kneser-Ney: probabilities that sum to one, and the formula worked out another way."""

import math
from collections import Counter

import pytest

from speechllm.decode.arpa import ArpaModel
from speechllm.decode.kneser_ney import FALLBACK, discounts, train_ngram
from speechllm.errors import UserError

TEXT = "a b a c|a b d|b a b a|c|d d a b c|a c b|e a b c d".split("|")
SENTENCES = [line.split() for line in TEXT]


def model_of(sentences, tmp_path, order) -> ArpaModel:
    train_ngram(sentences, tmp_path / "lm.arpa", order)
    return ArpaModel(tmp_path / "lm.arpa")


@pytest.mark.parametrize("order", [1, 2, 3, 5])
def test_after_any_words_the_next_ones_sum_to_one(tmp_path, order):
    lm = model_of(SENTENCES, tmp_path, order)
    for history in ([], ["a"], ["a", "b"], ["c", "c"], ["e", "d", "a"], ["x"]):
        state = lm.begin()
        for word in history:
            _, state = lm.score(state, word)
        words = ["a", "b", "c", "d", "e", "</s>", "<unk>"]
        assert sum(math.exp(lm.score(state, w)[0]) for w in words) == pytest.approx(1, abs=1e-4)


def test_bigrams_follow_the_formula(tmp_path):
    """P(w | v) = max(c(vw) - D, 0) / c(v) + g(v) P(w), P(w) from the number of different words before w."""
    lm = model_of(SENTENCES, tmp_path, 2)
    pairs = Counter()
    for words in SENTENCES:
        pairs.update(zip(["<s>", *words], [*words, "</s>"], strict=True))
    before = Counter(w for _, w in pairs)

    def taken(count, discount):
        return discount[min(count, 3) - 1]

    d1, d2 = discounts(before), discounts(pairs)

    def unigram(w):
        free = sum(taken(c, d1) for c in before.values()) / sum(before.values())
        seen = (before[w] - taken(before[w], d1)) / sum(before.values()) if w in before else 0
        return seen + free / (len(before) + 1)

    def bigram(v, w):
        after = {b: c for (a, b), c in pairs.items() if a == v}
        free = sum(taken(c, d2) for c in after.values()) / sum(after.values())
        seen = (after[w] - taken(after[w], d2)) / sum(after.values()) if w in after else 0
        return seen + free * unigram(w)

    for v in ("a", "b", "d"):
        for w in ("a", "b", "e", "</s>", "x"):
            score, _ = lm.score((v,), w)
            assert math.exp(score) == pytest.approx(bigram(v, w), rel=1e-4)


def test_discounts_of_known_counts_and_of_too_little_text():
    counts = Counter({i: c for i, c in enumerate([1] * 10 + [2] * 4 + [3] * 2 + [4] * 1)})
    y = 10 / 18
    expected = (1 - 2 * y * 4 / 10, 2 - 3 * y * 2 / 4, 3 - 4 * y * 1 / 2)
    assert discounts(counts) == pytest.approx(expected)
    assert discounts(Counter("aab")) == FALLBACK


def test_a_model_of_language_prefers_its_own_sentences(tmp_path):
    lm = model_of(SENTENCES * 3, tmp_path, 3)

    def score(text):
        state, total = lm.begin(), 0.0
        for word in [*text.split(), "</s>"]:
            one, state = lm.score(state, word)
            total += one
        return total

    assert score("a b d") > score("d b a") > score("x y z")


def test_no_text_is_named(tmp_path):
    with pytest.raises(UserError, match="not one sentence"):
        train_ngram([], tmp_path / "lm.arpa", 3)
