"""Whether a speech LLM listens, and writes as before, on made-up recognizers and tiny LLMs."""

import pytest
import torch

from helpers import tiny_llama
from speechllm.bin.abilities import (
    describe_listening,
    describe_writing,
    listening,
    next_tokens,
    writing,
)
from speechllm.bin.recognize import Output, load_feats
from speechllm.data.rows import Row
from speechllm.models.adapters import add_lora


def test_words_are_compared_with_the_utterances_own_text():
    """A recognizer that reads the name of the archive and writes the text that belongs to it."""
    rows = [
        Row(f"u{i}", "s", f"text {i}", None, None, "en", f"{i}.ark", 0, 100 + i) for i in range(4)
    ]

    def make_recognizer(load):
        silent = load is not load_feats
        texts = ["" if silent else f"text {i}" for i in range(4)]
        return lambda batch: [Output(texts[int(row.ark[0])], "ok") for row in batch]

    report = listening(make_recognizer, rows, batch_frames=150)
    assert report == {
        "num_utts": 4,
        "metric": "wer",
        "own": 0.0,
        "shuffled": 50.0,
        "silent": 100.0,
        "own_against_shuffled": {"value": -100.0, "low": -100.0, "high": -100.0},
    }
    report = listening(make_recognizer, rows, batch_frames=150, metric="chrf")
    assert report["own"] == pytest.approx(100) and report["silent"] == 0
    assert 0 < report["shuffled"] < 100
    gain = report["own_against_shuffled"]  # in points
    assert gain["value"] == pytest.approx(100 - report["shuffled"], abs=1e-3)
    assert 0 < gain["low"] <= gain["value"] <= gain["high"]


def test_an_interval_says_how_sure_it_is_that_the_audio_is_heard():
    """One that hears 6 of 8 utterances, and one that always writes what one of them says."""
    rows = [Row(f"u{i}", "s", f"w{i}", None, None, "en", f"{i}.ark", 0, 100) for i in range(8)]

    def report(texts):
        def make_recognizer(load):
            return lambda batch: [Output(texts[int(row.ark[0])], "ok") for row in batch]

        return listening(make_recognizer, rows, batch_frames=1000)["own_against_shuffled"]

    heard = report([f"w{i}" if i < 6 else "w" for i in range(8)])
    assert heard["value"] == -75.0 and heard["low"] < -75 < heard["high"] < 0
    deaf = report(["w0"] * 8)  # right once, whatever it hears
    assert deaf == {"value": 0.0, "low": 0.0, "high": 0.0}


@pytest.mark.parametrize(
    ("metric", "gain", "told"),
    [
        ("wer", None, "WER with audio own 4.0, shuffled 101.2, silent 99.0"),
        (
            "wer",
            {"value": -96.04, "low": -97.0, "high": -95.0},
            "WER with audio own 4.0, shuffled 101.2, silent 99.0; own against shuffled -96.0 % [-97.0, -95.0]",
        ),
        (
            "bleu",
            {"value": 76.0, "low": 70.0, "high": 81.0},
            "BLEU with audio own 4.0, shuffled 101.2, silent 99.0; own against shuffled +76.0 [+70.0, +81.0]",
        ),
    ],
)
def test_what_is_known_of_listening_is_told(metric, gain, told):
    report = {"metric": metric, "own": 4.0, "shuffled": 101.23, "silent": 99.0}
    assert describe_listening(report | {"own_against_shuffled": gain}) == told


def test_writing_sees_what_the_adapters_change():
    llm, base = tiny_llama(), tiny_llama()
    add_lora(llm.model, 4, 8.0, 0.0, ())
    rows = [[1, 5, 6, 7], [1, 9, 3]]
    same = writing(llm, base, rows, "cpu")
    assert same["agreement"] == 1 and same["equal_without_adapters"]
    assert same["perplexity"] == same["perplexity_without_adapters"]
    for name, p in llm.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(p, generator=torch.Generator().manual_seed(0))
    other = writing(llm, base, rows, "cpu")
    assert other["agreement"] < 1 and other["perplexity"] != same["perplexity"]
    assert other["equal_without_adapters"]
    assert other["perplexity_without_adapters"] == same["perplexity"]
    log_probs = base.model(torch.tensor([[1, 5, 6, 7]])).logits[0].log_softmax(-1)
    nlls, _ = next_tokens(base, rows[:1], "cpu")
    expected = [-float(log_probs[i, token]) for i, token in enumerate([5, 6, 7])]
    assert nlls[0].tolist() == pytest.approx(expected, rel=1e-4)


def test_an_llm_that_is_not_the_one_before_is_told_loudly():
    llm, base = tiny_llama(), tiny_llama()
    rows = [[1, 5, 6, 7], [1, 9, 3]]
    same = writing(llm, base, rows, "cpu")
    assert "bit by bit that of the LLM before" in describe_writing(same, finetuned=False)
    with torch.no_grad():
        next(llm.parameters()).add_(0.1)
    report = writing(llm, base, rows, "cpu")
    assert not report["equal_without_adapters"]
    told = describe_writing(report, finetuned=False).splitlines()
    assert told[0].startswith(f"perplexity of text {report['perplexity']:.2f}, without")
    assert told[1].startswith("WARNING: without the adapters it is NOT the LLM before")
    told = describe_writing(report, finetuned=True)
    assert "expected: llm.finetune is true" in told and "WARNING" not in told
