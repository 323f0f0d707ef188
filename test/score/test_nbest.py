"""N-best lists: what is written comes back, errors of each, and the oracle."""

import itertools
from pathlib import Path

import pytest

from speechllm.errors import UserError
from speechllm.score.inputs import Reference
from speechllm.score.metrics import make_metric
from speechllm.score.nbest import Nbest, count_errors, mean_value, oracle, read_nbest, write_nbest
from speechllm.score.normalize import split_words

UTTS = ["de_01_a-1", "en_01_a"]
NBEST = Nbest(
    UTTS,
    [["ein Haus", "kein haus"], ["a b d", "", "a b c", *(f"x{i}" for i in range(9))]],
    {
        "llm": [[-1.25, -2.5], [-float(i) for i in range(12)]],
        "ctc": [[-3.0, -float("inf")], [0.0] * 12],
    },
)
REFERENCE = Reference(
    UTTS, ["ein haus", "a b c"], ["de", "en"], ["de_01", "en_01"], Path("data"), ["de", "en"]
)


WER = make_metric("wer")


def wer_of(counts, places) -> float:
    return mean_value(counts, places, REFERENCE, WER)


def test_lists_come_back(tmp_path):
    write_nbest(tmp_path / "nbest", NBEST)
    assert read_nbest(tmp_path / "nbest", UTTS) == NBEST
    keys = [line.split()[0] for line in (tmp_path / "nbest/text").read_text().splitlines()]
    assert keys == sorted(keys) and keys[:3] == ["de_01_a-1-1", "de_01_a-1-2", "en_01_a-1"]
    assert keys[3] == "en_01_a-10"


def test_oracle_is_the_best_of_all_choices():
    counts = count_errors(NBEST, REFERENCE, WER)
    best = oracle(counts)
    assert best == [0, 2]
    choices = itertools.product(*(range(len(texts)) for texts in NBEST.texts))
    assert wer_of(counts, best) == min(wer_of(counts, list(c)) for c in choices) == 0
    # two German and three English words: the plain mean of the languages, not of the words
    assert wer_of(counts, [0, 0]) == pytest.approx((0 + 100 / 3) / 2)
    assert wer_of(counts, [1, 1]) == pytest.approx((100 / 2 + 100) / 2)
    assert NBEST.chosen(best) == {"de_01_a-1": "ein Haus", "en_01_a": "a b c"}


def test_case_counts_in_the_raw_form():
    counts = count_errors(NBEST, REFERENCE, WER, normalised=False)
    assert wer_of(counts, [0, 2]) == pytest.approx((100 / 2 + 0) / 2)


@pytest.mark.parametrize("lang", ["zh", "ja", "th", "en", "ru", "ko"])
def test_words_are_counted_as_those_of_the_wer(lang):
    texts = {
        "zh": ["我用 python 写", "你好", ""],
        "ja": ["そうです ね", "東京タワー 2"],
        "th": ["สวัสดี"],
        "en": ["it's a wheel-chair", " two  words "],
        "ru": ["доброе утро"],
        "ko": ["안녕 하세요"],
    }[lang]
    nbest = Nbest(["u"], [texts], {})
    assert nbest.num_words() == [[len(split_words(text, lang)) for text in texts]]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "de_01_a-1-1 x\nen_01_a-1 y\nfr_01-1 z\n",
            "first: fr_01; is it the decoding of another set",
        ),
        ("de_01_a-1-1 x\n", "1 of 2 utterances have no n-best list, first: en_01_a"),
        ("de_01_a-1-1 x\nen_01_a-2 y\n", "places of en_01_a are not 1 to 1"),
        ("de_01_a-1-1 x\nen_01_a y\n", "'en_01_a' should be <utterance>-<place>"),
    ],
)
def test_wrong_lists_are_named(tmp_path, text, message):
    (tmp_path / "text").write_text(text)
    with pytest.raises(UserError, match=message):
        read_nbest(tmp_path, UTTS)


def test_scores_must_fit(tmp_path):
    write_nbest(tmp_path, Nbest(["u"], [["a", "b"]], {"llm": [[-1.0]]}))
    with pytest.raises(UserError, match="1 scores for the 2 hypotheses of u"):
        read_nbest(tmp_path, ["u"])
    (tmp_path / "llm_score").write_text("u-1 -1\nu-2 low\n")
    with pytest.raises(UserError, match="'low' is not a number"):
        read_nbest(tmp_path, ["u"])
    with pytest.raises(UserError, match="no such file"):
        read_nbest(tmp_path / "none", ["u"])
