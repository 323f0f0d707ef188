"""Scores of conversations against figures worked out by hand."""

import dataclasses
import math

import pytest

from speechllm.bin import score_chat
from speechllm.errors import UserError
from speechllm.score.chat import (
    Answer,
    Question,
    chat_rows,
    count_rows,
    kind_rows,
    read_answers,
    write_answers,
)
from speechllm.score.perplexity import perplexity
from speechllm.score.results import read_results
from speechllm.score.table import render_set

QUESTIONS = [
    Question("a", "one", ("1",), "count"),
    Question("b", "two", (), "count"),
    Question("c", "the cat", ("cat",), "scene"),
]


def answers(texts, nll=1.0, heard=("x", "x", "x")):
    return [
        Answer(text, "ok", q.answer, (nll, 3 * nll), (0.5, 0.0), ("x",), (word,))
        for text, q, word in zip(texts, QUESTIONS, heard, strict=True)
    ]


@pytest.fixture(scope="module")
def values():
    found = {
        ("text", "en"): answers(["one", "two", "cat"]),
        ("cascade", "en"): answers(["1", "three", "dog"], 2.0, ("x", "y", "x z")),
        ("audio", "en"): answers(["one", "two", "dog"]),
    }
    rows = chat_rows(QUESTIONS, found, "en", num_samples=50)
    return {(r["system"], r["metric"], r["lang"]): r for r in rows}


def test_values_are_those_worked_out_by_hand(values):
    for lang in ("en", "avg"):
        assert values["text", "accuracy", lang]["value"] == 100
        assert values["cascade", "accuracy", lang]["value"] == pytest.approx(33.3333)
        assert values["audio", "accuracy", lang]["value"] == pytest.approx(66.6667)
        assert values["audio", "accuracy_vs_cascade", lang]["value"] == pytest.approx(33.3333)
    assert values["audio", "perplexity", "en"]["value"] == pytest.approx(math.exp(2), rel=1e-4)
    assert values["cascade", "perplexity", "en"]["value"] == pytest.approx(math.exp(4), rel=1e-4)
    assert values["audio", "agreement", "en"]["value"] == pytest.approx(66.6667)
    assert values["cascade", "agreement", "en"]["value"] == 0  # "1" is right and reads otherwise
    assert values["audio", "kl", "en"]["value"] == 0.25
    assert values["cascade", "wer", "en"]["value"] == pytest.approx(66.6667)
    assert 0 < values["audio", "chrf", "en"]["value"] < 100
    low, high = (values["audio", "accuracy", "en"][k] for k in ("low", "high"))
    assert 0 <= low < 66.6667 < high <= 100


def test_perplexity_is_that_of_the_definition_for_all():
    nlls = [(0.1, 2.5, 0.3), (1.7,), (0.2, 0.4)]
    found = [dataclasses.replace(a, nll=n) for a, n in zip(answers("abc"), nlls, strict=True)]
    rows = chat_rows(QUESTIONS, {("audio", "en"): found}, "en", num_samples=50)
    (value,) = {row["value"] for row in rows if row["metric"] == "perplexity"}
    assert value == round(perplexity(nlls), 4) == round(math.exp(5.2 / 6), 4)


def test_without_text_prompts_only_right_answers_are_counted():
    alone = [
        dataclasses.replace(a, reference=None, nll=(), kl=(), spoken=("",))
        for a in answers(["1", "three", "dog dog dog dog dog dog"])
    ]
    found = {("cascade", "en"): alone, ("audio", "en"): alone}
    rows = chat_rows(QUESTIONS, found, "en", num_samples=50)
    assert {r["metric"] for r in rows} == {"accuracy", "accuracy_vs_cascade"}
    assert {r["value"] for r in rows if r["metric"] == "accuracy"} == {33.3333}
    counts = {r["metric"]: r["value"] for r in count_rows({"audio": alone}, "en")}
    assert counts == {"empty": 0, "looping": 1, "truncated": 0}


def test_columns_are_averaged(values):
    found = {
        ("audio", "20dB"): answers(["one", "two", "cat"]),
        ("audio", "0dB"): answers(["", "two", ""]),
    }
    rows = chat_rows(QUESTIONS, found, "en", num_samples=50)
    accuracy = {r["lang"]: r["value"] for r in rows if r["metric"] == "accuracy"}
    assert accuracy == pytest.approx({"20dB": 100, "0dB": 33.3333, "avg": 66.66665})


def test_kinds_and_useless_answers_are_counted():
    found = {"audio": answers(["one", "", "dog dog dog dog dog dog"])}
    kinds = {r["lang"]: r["value"] for r in kind_rows(QUESTIONS, found, "en")}
    assert kinds == {"count": 50, "scene": 0}
    counts = {r["metric"]: r["value"] for r in count_rows(found, "en")}
    assert counts == {"empty": 1, "looping": 1, "truncated": 0}


def test_answers_in_sentences_are_right_where_that_is_asked_for_and_noted(tmp_path, capsys):
    (tmp_path / "d.jsonl").write_text(
        '{"id": "a", "turns": [{"role": "user", "text": "who"}], "answer": "the cat", "kind": "x"}\n'
        '{"id": "b", "turns": [{"role": "user", "text": "when"}], "answer": "today", "kind": "y"}\n'
    )
    given = [Answer(text, "ok", None, (), (), (), ()) for text in ("It was the cat.", "On Sunday.")]
    write_answers(tmp_path / "decode/text/test", ["a", "b"], given)
    options = ["--decode", tmp_path / "decode", "--set", "test", "--out", tmp_path]
    found = []
    for match in ([], ["--match", "contains"], ["--match", "exact"]):
        score_chat.main([str(word) for word in (*options, *match, tmp_path / "d.jsonl")])
        rows = read_results(tmp_path / "results.json")
        right = [row for row in rows if row["metric"] == "accuracy"]
        of_set = {row["set"]: row["value"] for row in right if row["lang"] in ("en", "x")}
        noted = {row.get("match") for row in right}
        told = "Right answers of text: what is expected stands in them as whole words"
        assert (told in (tmp_path / "RESULTS.md").read_text()) == ("contains" in noted)
        assert (told in capsys.readouterr().out) == ("contains" in noted)
        found.append((of_set, noted))
    exact = {"test": 0, "test by kind": 0}, {None}
    assert found == [exact, ({"test": 50, "test by kind": 100}, {"contains"}), exact]
    with pytest.raises(SystemExit):
        score_chat.main([str(word) for word in (*options, "--match", "near", tmp_path / "d")])


def test_answers_are_read_as_they_were_written(tmp_path):
    written = answers(["one", "", "the  cat"], heard=("x", "a\u2028b", "x"))
    write_answers(tmp_path, ["b", "a", "c"], written)
    found = read_answers(tmp_path, ["b", "a", "c"])
    assert found == [*written[:2], dataclasses.replace(written[2], text="the cat")]
    assert (tmp_path / "text").read_text() == "a\nb one\nc the cat\n"
    with pytest.raises(UserError, match="no answer to dialogue d"):
        read_answers(tmp_path, ["a", "d"])


def test_the_table_says_how_dialogues_are_compared(values):
    rows = [row | {"set": "test"} for row in values.values()]
    text = "\n".join(render_set(rows, "test", []))
    assert "interval, by dialogue" in text and "plain mean over the columns" in text
    assert "speaker" not in text and "languages" not in text
