"""What is said of dialogues without a right answer, and of answers to what was asked before."""

import json
import shutil

import pytest

from speechllm.analysis import curves
from speechllm.bin import score_chat
from speechllm.errors import UserError
from speechllm.score.chat import Answer, write_answers


@pytest.fixture
def score(tmp_path):
    """A function that scores given answers to dialogues; rows of results.json."""
    (tmp_path / "a.flac").write_bytes(b"sound")
    path = tmp_path / "d.jsonl"

    def run(dialogues, answers):
        path.write_text("".join(json.dumps(dialogue) + "\n" for dialogue in dialogues))
        ids = [dialogue["id"] for dialogue in dialogues]
        write_answers(tmp_path / "decode/audio/test", ids, answers)
        options = ["--decode", tmp_path / "decode", "--set", "test", "--out", tmp_path]
        score_chat.main([str(word) for word in (*options, path)])
        return json.loads((tmp_path / "results.json").read_text())

    return run


def dialogue(name, *spoken, **more):
    turns = [{"role": "user", "audio": "a.flac", "transcript": words} for words in spoken]
    return {"id": name, "turns": turns} | more


def answered(text, *spoken):
    return Answer(text, "ok", None, (), (), spoken, ())


def test_some_dialogues_without_an_answer_leave_accuracy_by_kind(score, capsys):
    dialogues = [
        dialogue("a", "how many", answer="two", kind="count"),
        dialogue("b", "who", answer="the cat", kind="scene"),
        dialogue("c", "where", kind="scene"),
    ]
    given = [answered("two", "how many"), answered("the dog", "who"), answered("here", "where")]
    rows = score(dialogues, given)
    told = "d.jsonl: 1 of 3 dialogues have no answer (c); no accuracy over all of them; give an"
    assert told in capsys.readouterr().out
    right = {(r["set"], r["lang"]): r["value"] for r in rows if r["metric"] == "accuracy"}
    assert right == {("test by kind", "count"): 100}


@pytest.mark.parametrize(
    ("first", "others"),
    [({"answer": "two", "kind": "count"}, {"answer": "the cat"}), ({}, {})],
    ids=["all", "none"],
)
def test_all_or_no_dialogues_with_an_answer_are_no_matter(score, capsys, first, others):
    rows = score(
        [dialogue("a", "how many", **first), dialogue("b", "who", **others)],
        [answered("two", "how many"), answered("the dog", "who")],
    )
    assert "give an `answer`" not in capsys.readouterr().out
    right = [r["value"] for r in rows if r["metric"] == "accuracy" and r["lang"] == "en"]
    assert right == ([50] if first else [])


def test_no_row_of_other_dialogues_stays_beside_the_new_ones(score, tmp_path):
    asked = [dialogue(name, "who", answer="cat", kind="scene") for name in "abc"]
    given = [answered("cat", "who")] * 3
    heard = [Answer("cat", "ok", None, (), (), ("who",), ("hoo",))] * 3
    write_answers(tmp_path / "decode/cascade/test", list("abc"), heard)
    rows = score(asked, given)
    assert {r["system"] for r in rows} == {"cascade", "audio"}
    shutil.rmtree(tmp_path / "decode/cascade")
    assert {r["system"] for r in score(asked[:2], given[:2])} == {"audio"}


def test_corrected_transcripts_are_named(score):
    dialogues = [dialogue("a", "who"), dialogue("b", "the cat sleeps", "who sleeps")]
    asked = [answered("x", "who"), answered("y", "the cat sleeps", "who sleep")]
    with pytest.raises(UserError) as error:
        score(dialogues, asked)
    message = str(error.value)
    assert "d.jsonl:2: audio (en) was asked with other transcripts, first: 'who sleep' " in message
    assert message.endswith("; run converse again") and "\n" not in message
    score(dialogues, [asked[0], answered("y", "who sleeps")])  # of which a turn was spoken


def test_systems_are_drawn_over_what_the_cascade_mishears(tmp_path, monkeypatch):
    def row(system, metric, lang, value):
        return {"system": system, "metric": metric, "lang": lang, "value": value} | {
            "low": value - 1,
            "high": value + 1,
        }

    rows = [row("cascade", "wer", "20dB", 12.0), row("cascade", "wer", "0dB", 80.0)]
    rows += [row("cascade", "wer", "avg", 46.0), row("audio", "accuracy", "20dB", 70.0)]
    rows += [row("audio", "accuracy", "0dB", 9.0), row("audio", "perplexity", "0dB", 3.0)]
    drawn = []
    monkeypatch.setattr(curves, "plot_table", lambda points, *more: drawn.append((points, more)))
    path = tmp_path / "analysis/noise.png"
    score_chat.plot(rows, ["20dB", "0dB"], "noise", path)
    ((points, more),) = drawn
    assert [(p["label"], p["x"], p["value"], p["low"]) for p in points] == [
        ("audio", 12.0, 70.0, 69.0),
        ("audio", 80.0, 9.0, 8.0),
    ]
    assert more[2:] == (path, "right answers (%)") and path.parent.is_dir()
    score_chat.plot(rows[-1:], ["20dB", "0dB"], "noise", path)  # no cascade to go by
    assert len(drawn) == 1
