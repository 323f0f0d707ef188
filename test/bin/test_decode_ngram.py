"""Which n-gram model a language gets, and how the weights are found."""

from types import SimpleNamespace

import pytest

from speechllm.bin.decode_ngram import LM_WEIGHTS, WORD_SCORES, Weights, find_lm, make_lms, tune
from speechllm.data.data_dir import Utterance, write_data_dir
from speechllm.decode.arpa import read_words
from speechllm.errors import UserError


def touch(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("x")
    return path


def test_the_archives_largest_model_comes_first(tmp_path):
    own = touch(tmp_path / "en.arpa")
    assert find_lm(tmp_path, "en") == own and find_lm(tmp_path, "de") is None
    small = touch(tmp_path / "mls_lm_english/3-gram_lm.arpa")
    assert find_lm(tmp_path, "en") == small
    large = touch(tmp_path / "mls_lm_english/5-gram_lm.arpa")
    assert find_lm(tmp_path, "en") == large
    assert find_lm(large, "de") == large  # one file for all languages
    with pytest.raises(UserError, match="--lm .*/none: no such folder or file"):
        find_lm(tmp_path / "none", "en")


def test_languages_without_a_model_get_one_of_their_training_text(tmp_path, capsys):
    touch(tmp_path / "lms/mls_lm_english/3-gram_lm.arpa")
    texts = {"s-1": ("the cat", "en"), "s-2": ("die katze", "de"), "s-3": ("我用 ab", "zh")}
    utts = (Utterance(u, "s", text, "a.wav", lang) for u, (text, lang) in texts.items())
    write_data_dir(tmp_path / "train", utts)
    args = SimpleNamespace(
        lm=str(tmp_path / "lms"), train_dir=tmp_path / "train", out=tmp_path / "out", order=3
    )
    paths = make_lms(["de", "en", "zh"], args)
    assert paths["en"] == tmp_path / "lms/mls_lm_english/3-gram_lm.arpa"
    assert set(read_words(paths["de"])) == {"<s>", "</s>", "<unk>", "die", "katze"}
    assert set(read_words(paths["zh"])) == {"<s>", "</s>", "<unk>", "我", "用", "a", "b"}
    assert "1 training texts" in capsys.readouterr().out
    with pytest.raises(UserError, match="no n-gram model of 'pl', and no training text of it"):
        make_lms(["pl"], args)


def test_the_best_weights_are_found_one_after_the_other():
    def error_rate(weights):  # more LM goes with more reward per word
        return abs(weights.lm_weight - 0.5 - 0.3 * weights.word_score) + abs(weights.word_score - 2)

    best, tried = tune(error_rate)
    assert best == Weights(1.0, 2.0)
    assert len(tried) == len(LM_WEIGHTS) + len(WORD_SCORES) + len(LM_WEIGHTS) - 2
    best, _ = tune(lambda weights: 5.0)
    assert best == Weights(0.0, 0.0)  # what helps nothing is left out
