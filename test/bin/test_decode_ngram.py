"""Which n-gram model a language gets, and how the weights are found."""

import random
from types import SimpleNamespace

import pytest
import torch

from helpers import make_number_set
from speechllm.bin import decode_ngram
from speechllm.bin.decode_ngram import LM_WEIGHTS, WORD_SCORES, Weights, find_lm, make_lms, tune
from speechllm.data.data_dir import Utterance, write_data_dir
from speechllm.data.tables import read_table
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
    assert "n-grams of 1 lines of" in capsys.readouterr().out
    with pytest.raises(UserError, match="no n-gram model of 'pl', and no training text of it"):
        make_lms(["pl"], args)


def test_the_archives_text_comes_before_the_training_text(tmp_path, capsys, monkeypatch):
    utt = Utterance("s-1", "s", "the training text", "a.wav", "en")
    write_data_dir(tmp_path / "train", [utt])
    text = tmp_path / "lms/mls_lm_english/data.txt"
    touch(text).write_text("one two\n\none two three\u2028four\n", encoding="utf-8")
    args = {"train_dir": tmp_path / "train", "out": tmp_path / "out", "order": 2}
    args = SimpleNamespace(lm=str(tmp_path / "lms"), **args)
    words = read_words(make_lms(["en"], args)["en"])
    assert set(words) == {"<s>", "</s>", "<unk>", "one", "two", "three", "four"}
    assert f"n-grams of 2 lines of {text}" in capsys.readouterr().out
    args.lm = "train"
    assert "training" in read_words(make_lms(["en"], args)["en"])
    args.lm = str(tmp_path / "lms")
    monkeypatch.setattr("speechllm.decode.kneser_ney.MAX_WORDS", 5)
    with pytest.raises(UserError, match="mls_lm_english/data.txt: more than 5 words, .*ARPA file"):
        make_lms(["en"], args)
    text.write_bytes(b"caf\xe9\n")
    with pytest.raises(UserError, match="data.txt: not UTF-8"):
        make_lms(["en"], args)
    own = touch(tmp_path / "lms/en.arpa")
    assert make_lms(["en"], args) == {"en": own}


def test_the_best_weights_are_found_one_after_the_other():
    def error_rate(weights):  # more LM goes with more reward per word
        return abs(weights.lm_weight - 0.5 - 0.3 * weights.word_score) + abs(weights.word_score - 2)

    best, tried = tune(error_rate)
    assert best == Weights(1.0, 2.0)
    assert len(tried) == len(LM_WEIGHTS) + len(WORD_SCORES) + len(LM_WEIGHTS) - 2
    best, _ = tune(lambda weights: 5.0)
    assert best == Weights(0.0, 0.0)  # what helps nothing is left out


class Numbers:
    """A CTC model that hears the numbers that last for at least half a word, and their tokenizer."""

    def __init__(self):
        self.longest = 0

    def to(self, device):
        return self

    def log_probs(self, feats, lens):
        self.longest = max(self.longest, feats.shape[1])
        units = torch.zeros(len(feats), feats.shape[1] // 4, dtype=torch.long)
        for row, n, own in zip(feats, lens.tolist(), units, strict=True):
            numbers, counts = torch.unique_consecutive(row[:n, 0].long(), return_counts=True)
            for number, count, end in zip(numbers, counts, counts.cumsum(0), strict=True):
                if count >= 20:
                    own[(end - count // 2) // 4] = number + 1
        log_probs = torch.full((*units.shape, 101), -20.0).scatter(2, units[..., None], 0.0)
        return log_probs, lens // 4

    def unit_texts(self):
        return [f"\u2581{number}" for number in range(100)]

    def decode(self, units):
        return " ".join(str(unit - 1) for unit in units)


def test_long_utterances_are_searched_in_windows(tmp_path, monkeypatch):
    pytest.importorskip("flashlight.lib.text")
    rng = random.Random(0)
    quiet = 1  # and as long as a word: a pause
    words = [word for _ in range(60) for word in (*rng.sample(range(50, 100), 4), quiet)]
    texts = {"s-a": "60 70 80", "s-long": " ".join(map(str, words)), "s-z": "90 99 60"}
    for name in ("dev", "test"):
        make_number_set(tmp_path / name, texts)
    model = Numbers()
    monkeypatch.setattr("speechllm.load.load_ctc_model", lambda folder: (model, tmp_path))
    monkeypatch.setattr("speechllm.data.tokenizer.CtcTokenizer", lambda path: model)
    monkeypatch.setattr(decode_ngram, "writes_transcripts", lambda folder, task: True)
    options = ["--model", "x", "--train_dir", tmp_path / "dev", "--dev_dir", tmp_path / "dev"]
    options += ["--out", tmp_path / "out", "--window", 5, "--overlap", 1, "--order", 2]
    options += ["--beam_size", 4, "--beam_units", 2, tmp_path / "test"]
    decode_ngram.main([str(word) for word in options])

    def spoken(table):
        return {u: [word for word in text.split() if word != "1"] for u, text in table.items()}

    assert 300 < model.longest <= 500  # nothing longer than a window was ever heard
    assert spoken(read_table(tmp_path / "out/test/text")) == spoken(texts)
    assert set(read_table(tmp_path / "out/test/utt2status").values()) == {"ok"}


@pytest.mark.parametrize(
    ("option", "message"),
    [
        (["--window", "-1"], "window: -1.0 should be at least 0"),
        (["--overlap", "20"], "between 0 and half of window 30.0"),
    ],
)
def test_wrong_windows_are_named(option, message):
    with pytest.raises(UserError, match=message):
        decode_ngram.main(["--model", "x", "--dev_dir", "x", "--out", "x", *option, "x"])
