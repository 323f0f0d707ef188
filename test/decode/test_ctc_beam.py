"""CTC beam search with an n-gram LM: against the sum over every alignment of every output."""

import itertools
import math
import sys

import pytest
import torch

from speechllm.decode.arpa import ArpaModel, read_words
from speechllm.decode.ctc_beam import NgramDecoder
from speechllm.errors import UserError

PIECES = ["", "\u2581a", "b", "\u2581"]  # a, b, ab, b a and so on; the first is the blank
UNIGRAMS = {"<s>": -99.0, "</s>": -0.9, "<unk>": -2.0, "a": -0.5, "ab": -0.7, "b": -0.6}
BACKOFFS = {"<s>": -0.3, "a": -0.2}
BIGRAMS = {("<s>", "a"): -0.2, ("a", "b"): -1.1, ("a", "</s>"): -0.1, ("<s>", "ab"): -1.5}


@pytest.fixture
def arpa(tmp_path):
    lines = ["\\data\\", f"ngram 1={len(UNIGRAMS)}", f"ngram 2={len(BIGRAMS)}", "", "\\1-grams:"]
    lines += [f"{p}\t{word}\t{BACKOFFS.get(word, 0.0)}" for word, p in UNIGRAMS.items()]
    lines += ["", "\\2-grams:", *(f"{p}\t{a} {b}" for (a, b), p in BIGRAMS.items()), "", "\\end\\"]
    path = tmp_path / "lm.arpa"
    path.write_text("\n".join(lines) + "\n")
    return path


def lm_score(words):
    """log P(words </s>) by the rules of a back-off bigram."""
    total = 0.0
    known = [word if word in UNIGRAMS else "<unk>" for word in words]
    for pair in itertools.pairwise(["<s>", *known, "</s>"]):
        total += BIGRAMS.get(pair, BACKOFFS.get(pair[0], 0.0) + UNIGRAMS[pair[1]])
    return total * math.log(10)


def exhaustive(log_probs, lm_weight, word_score, unk_score):
    """Score of every output, a tuple of units: all labels are tried at all frames."""
    T, V = log_probs.shape
    ctc = {}
    for labels in itertools.product(range(V), repeat=T):
        score = sum(float(log_probs[t, label]) for t, label in enumerate(labels))
        units = tuple(unit for unit, _ in itertools.groupby(labels) if unit)
        ctc[units] = ctc.get(units, 0.0) + math.exp(score)
    scores = {}
    for units, p in ctc.items():
        words = "".join(PIECES[unit] for unit in units).replace("\u2581", " ").split()
        scores[units] = math.log(p) + lm_weight * lm_score(words) + word_score * len(words)
        scores[units] += unk_score * sum(word not in UNIGRAMS for word in words)
    return scores


@pytest.mark.parametrize("weights", [(0.0, 0.0, 0.0), (0.8, 0.3, -1.0), (2.0, -0.5, 1.0)])
def test_search_finds_what_trying_everything_finds(arpa, weights):
    pytest.importorskip("flashlight.lib.text")
    options = {"beam_size": 1000, "beam_threshold": 1e3, "nbest": 4}
    decoder = NgramDecoder(ArpaModel(arpa), PIECES, *weights, **options)
    generator = torch.Generator().manual_seed(0)
    log_probs = torch.randn(6, 5, 4, generator=generator).mul(2).log_softmax(-1)
    lens = torch.tensor([5, 4, 5, 3, 1, 5])
    for row, n, nbest in zip(log_probs, lens.tolist(), decoder(log_probs, lens), strict=True):
        want = exhaustive(row[:n], *weights)
        best = sorted(want.values(), reverse=True)[:4]
        assert [hyp.score for hyp in nbest] == pytest.approx(best, abs=1e-3)
        for hyp in nbest:
            assert hyp.score == pytest.approx(want[tuple(hyp.token_ids)], abs=1e-3)


def test_without_lm_every_alignment_counts():
    pytest.importorskip("flashlight.lib.text")
    log_probs = torch.tensor([[[0.4, 0.3, 0.0, 0.3], [0.4, 0.6, 0.0, 0.0]]]).clamp(min=1e-9).log()
    ((best,),) = NgramDecoder(None, PIECES)(log_probs, torch.tensor([2]))
    # a: 1 blank, blank 1, 1 1 = 0.12 + 0.24 + 0.18; nothing: 0.16
    assert best.token_ids == [1] and math.exp(best.score) == pytest.approx(0.54, abs=1e-4)


def test_characters_are_words_without_spaces(arpa):
    pytest.importorskip("flashlight.lib.text")
    pieces = ["", "\u2581ab", "a"]
    log_probs = torch.full((1, 2, 3), -1e3)
    log_probs[0, 0, 1] = log_probs[0, 1, 2] = 0.0
    decoder = NgramDecoder(ArpaModel(arpa), pieces, lm_weight=1.0, unspaced=True)
    ((hyp,),) = decoder(log_probs, torch.tensor([2]))
    assert hyp.token_ids == [1, 2]
    assert hyp.score == pytest.approx(lm_score(["a", "b", "a"]), abs=1e-4)


@pytest.mark.parametrize("text", ["", "a", "a b", "b a a ab", "x a x", "ab x"], ids=str)
def test_a_model_follows_the_rules_of_back_off(arpa, text):
    pytest.importorskip("flashlight.lib.text")
    lm = ArpaModel(arpa)
    state, total = lm.begin(), 0.0
    for word in text.split():
        score, state = lm.score(state, word)
        total += score
    assert total + lm.end(state) == pytest.approx(lm_score(text.split()), abs=1e-4)
    assert "ab" in lm and "x" not in lm


def test_lm_that_is_missing_or_none_is_named(arpa, tmp_path):
    with pytest.raises(UserError, match="none.arpa: no such n-gram model"):
        ArpaModel(tmp_path / "none.arpa")
    for name, text in (("text", b"no model\n"), ("binary", b"\xff\xfe\x00"), ("empty", b"")):
        (tmp_path / name).write_bytes(text)
        with pytest.raises(UserError, match="not an n-gram model in ARPA format") as error:
            ArpaModel(tmp_path / name)
        assert "\n" not in str(error.value)
    assert read_words(arpa) == list(UNIGRAMS)
    pytest.importorskip("flashlight.lib.text")
    (tmp_path / "cut").write_text(arpa.read_text().partition("\\2-grams")[0])
    with pytest.raises(UserError, match="not an n-gram model") as error:
        ArpaModel(tmp_path / "cut")
    assert "\n" not in str(error.value)


def test_missing_library_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "flashlight.lib.text", None)
    with pytest.raises(UserError, match=r"pip install -e '\.\[ngram\]'"):
        NgramDecoder(None, PIECES)
