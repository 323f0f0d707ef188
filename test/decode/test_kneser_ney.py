"""Kneser-Ney: probabilities that sum to one, and the formula worked out another way."""

import math
from collections import Counter

import pytest

from speechllm.decode.arpa import ArpaModel
from speechllm.decode.kneser_ney import FALLBACK, discounts, train_ngram
from speechllm.errors import UserError

TEXT = "a b a c|a b d|b a b a|c|d d a b c|a c b|e a b c d".split("|")
SENTENCES = [line.split() for line in TEXT]


class Reader:
    """An ARPA file by the rule that a missing n-gram costs its context's back-off weight."""

    def __init__(self, path):
        self.rows = {}
        for line in path.read_text().splitlines():
            if "\t" in line:
                log_prob, words, *backoff = line.split("\t")
                self.rows[tuple(words.split())] = float(log_prob), float(*backoff or [0.0])

    def log10(self, context, word):
        if (*context, word) in self.rows:
            return self.rows[(*context, word)][0]
        if not context:
            return self.log10((), "<unk>")
        return self.rows.get(context, (0, 0.0))[1] + self.log10(context[1:], word)

    def prob(self, context, word) -> float:
        return 10 ** self.log10(tuple(context), word)


def model_of(sentences, tmp_path, order) -> Reader:
    train_ngram(sentences, tmp_path / "lm.arpa", order)
    return Reader(tmp_path / "lm.arpa")


@pytest.mark.parametrize("order", [1, 2, 3, 5])
def test_after_any_words_the_next_ones_sum_to_one(tmp_path, order):
    lm = model_of(SENTENCES, tmp_path, order)
    words = ["a", "b", "c", "d", "e", "</s>", "<unk>"]
    for history in (["<s>"], ["<s>", "a"], ["a", "b"], ["c", "c"], ["<s>", "e", "d", "a"], ["x"]):
        context = history[max(0, len(history) - order + 1) :]
        assert sum(lm.prob(context, word) for word in words) == pytest.approx(1, abs=1e-4)


def test_kenlm_reads_the_same_probabilities(tmp_path):
    pytest.importorskip("flashlight.lib.text")
    lm = model_of(SENTENCES, tmp_path, 3)
    kenlm = ArpaModel(tmp_path / "lm.arpa")
    for text in (*TEXT, "d b a", "x a", "a x b"):
        state, context = kenlm.begin(), ["<s>"]
        for word in text.split():
            score, state = kenlm.score(state, word)
            known = word if word in kenlm else "<unk>"
            assert math.exp(score) == pytest.approx(lm.prob(context[-2:], known), rel=1e-4)
            context.append(known)
        assert math.exp(kenlm.end(state)) == pytest.approx(lm.prob(context[-2:], "</s>"), rel=1e-4)


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
            assert lm.prob([v], w) == pytest.approx(bigram(v, w), rel=1e-4)


def test_discounts_of_known_counts_and_of_too_little_text():
    counts = Counter({i: c for i, c in enumerate([1] * 10 + [2] * 4 + [3] * 2 + [4] * 1)})
    y = 10 / 18
    expected = (1 - 2 * y * 4 / 10, 2 - 3 * y * 2 / 4, 3 - 4 * y * 1 / 2)
    assert discounts(counts) == pytest.approx(expected)
    assert discounts(Counter("aab")) == FALLBACK


def test_a_model_of_language_prefers_its_own_sentences(tmp_path):
    lm = model_of(SENTENCES * 3, tmp_path, 3)

    def score(text):
        words = ["<s>", *text.split(), "</s>"]
        return sum(
            lm.log10(tuple(words[max(0, i - 2) : i]), words[i]) for i in range(1, len(words))
        )

    assert score("a b d") > score("d b a") > score("x y z")


def test_no_text_is_named(tmp_path):
    with pytest.raises(UserError, match="not one sentence"):
        train_ngram([], tmp_path / "lm.arpa", 3)
