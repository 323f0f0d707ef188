"""Dialogues in files: what is read, what is refused, and how they become prompts."""

import json

import pytest

from speechllm.data.dialogue import (
    Part,
    Turn,
    as_json,
    as_text,
    check_context,
    prompt_parts,
    read_dialogues,
    with_spoken,
    without_history,
)
from speechllm.errors import UserError

USER = {"role": "user", "text": "hello"}


@pytest.fixture
def write(tmp_path):
    (tmp_path / "a.flac").write_bytes(b"sound")

    def run(*lines):
        text = "".join(
            (line if isinstance(line, str) else json.dumps(line)) + "\n" for line in lines
        )
        (tmp_path / "d.jsonl").write_text(text, encoding="utf-8")
        return tmp_path / "d.jsonl"

    return run


def spoken(transcript=""):
    return {"role": "user", "audio": "a.flac", "transcript": transcript}


def line(*turns, **more):
    return {"id": "d1", "turns": list(turns)} | more


def test_turns_are_text_or_audio_in_any_order(write, tmp_path):
    answer = {"role": "assistant", "text": "i  see"}
    parts = {"role": "user", "parts": [{"text": "sum up"}, {"audio": "a.flac"}]}
    (dialogue,) = read_dialogues(write(line(spoken("one"), answer, parts, answer="x", kind="k")))
    audio = str(tmp_path / "a.flac")
    assert dialogue.turns == (
        Turn("user", (Part(audio=audio, transcript="one"),)),
        Turn("assistant", (Part(text="i see"),)),
        Turn("user", (Part(text="sum up"), Part(audio=audio))),
    )
    assert (dialogue.answer, dialogue.kind, dialogue.aliases) == ("x", "k", ())
    again = write(as_json(dialogue).strip())
    assert read_dialogues(again) == [dialogue]


def test_only_ends_of_lines_end_a_dialogue(write):
    whole = json.dumps(line({"role": "user", "text": "a\u2028b\x85c"}), ensure_ascii=False)
    (dialogue,) = read_dialogues(write(whole))
    assert dialogue.turns[0].parts[0].text.split() == ["a", "b", "c"]


def test_empty_lines_between_dialogues_are_passed_over(write):
    found = read_dialogues(write("", line(USER), " ", line(USER) | {"id": "d2"}, ""))
    assert [d.dialogue_id for d in found] == ["d1", "d2"] and found[1].where.endswith(":4")
    with pytest.raises(UserError, match="no dialogue in it"):
        read_dialogues(write("", " "))


@pytest.mark.parametrize(
    "lines, message",
    [
        (["{"], r"d.jsonl:1: not JSON \(Expecting .* at column 2\)"),
        ([line(USER), "[]"], r"d.jsonl:2: a dialogue should be an object"),
        ([line(USER), line(USER)], r"d.jsonl:2: id d1 a second time"),
        ([line({"role": "bot", "text": "x"})], r"d.jsonl:1: turn 1: role 'bot' is none of system"),
        ([line(USER, {"role": "user", "text": " "})], r"d.jsonl:1: turn 2: empty turn"),
        ([line({"role": "user"})], r"d.jsonl:1: turn 1: empty turn"),
        ([line({"role": "user", "parts": []})], r"d.jsonl:1: turn 1: empty turn"),
        ([line({"role": "user", "audio": "b.flac"})], r"d.jsonl:1: turn 1: no audio file .*b.flac"),
        ([line(spoken() | {"role": "assistant"})], r"turn 1: audio in a turn of the assistant"),
        ([line(spoken() | {"text": "x"})], r"turn 1: text and audio in one"),
        ([line(USER | {"transcript": "x"})], r"turn 1: a transcript without audio; name the aud"),
        ([line({"role": "user", "parts": [{"text": "x"}, {"transcript": "y"}]})], r"without aud"),
        ([line(USER), 99_999 * "["], r"d.jsonl:2: brackets in brackets without end"),
        ([line(USER, {"role": "assistant", "text": "x"})], r"turn 2 is the assistant's"),
        ([line()], r"d.jsonl:1: turns should be a list of turns"),
        ([line(USER, anser="x")], r"d.jsonl:1: unknown key 'anser'; did you mean 'answer'\?"),
        ([line(USER, aliases="x")], r"d.jsonl:1: aliases should be a list"),
        ([line(USER) | {"id": "a b"}], r"d.jsonl:1: id should be a word"),
        ([], r"d.jsonl: no dialogue in it"),
    ],
)
def test_a_wrong_line_is_named_with_its_number(write, lines, message):
    with pytest.raises(UserError, match=message) as error:
        read_dialogues(write(*lines))
    assert "\n" not in str(error.value)


def test_a_missing_file_and_a_folder_are_named(tmp_path):
    with pytest.raises(UserError, match="none.jsonl: no such file"):
        read_dialogues(tmp_path / "none.jsonl")
    with pytest.raises(UserError, match=f"{tmp_path}: is a folder; name the JSON lines file in"):
        read_dialogues(tmp_path)


def test_a_file_is_no_folder_of_dialogues(write):
    path = write(line(USER)) / "d.jsonl"
    with pytest.raises(UserError, match="d.jsonl/d.jsonl: no such file; a part of this path"):
        read_dialogues(path)


def test_audio_can_be_replaced_by_text(write):
    answer = {"role": "assistant", "text": "b"}
    (dialogue,) = read_dialogues(write(line(spoken("a"), answer, spoken("c"))))

    def shown(dialogue):
        return [
            "".join(p.text or f"<{p.transcript}>" for p in turn.parts) for turn in dialogue.turns
        ]

    assert shown(dialogue) == ["<a>", "b", "<c>"]
    assert shown(as_text(dialogue)) == ["a", "b", "c"]
    assert shown(as_text(dialogue, ["x", ""])) == ["x", "b", "<>"]
    assert shown(with_spoken(dialogue, "first")) == ["<a>", "b", "c"]
    assert shown(with_spoken(dialogue, "last")) == ["a", "b", "<c>"]
    assert with_spoken(dialogue, "all") is dialogue
    assert shown(without_history(dialogue)) == ["<c>"]
    (dialogue,) = read_dialogues(write(line(spoken())))
    with pytest.raises(UserError, match="d.jsonl:1: .*a.flac has no transcript"):
        as_text(dialogue)


def encode(text):
    return [ord(c) for c in text]


def encode_after(text):
    return [1000 + ord(c) for c in text]


def parts_of(*turns):
    turns = tuple(Turn(role, parts) for role, parts in turns)

    def render(messages):
        return "".join(f"[{m['role'][0]} {m['content']}]" for m in messages) + "["

    return [
        part if isinstance(part, int) else part.tolist()
        for part in prompt_parts(turns, render, encode, encode_after)
    ]


def test_prompts_are_text_around_numbered_audio():
    text, audio = (Part(text="hi"),), (Part(audio="x"),)
    assert parts_of(("user", text)) == [encode("[u hi][")]
    assert parts_of(("user", audio), ("assistant", text), ("user", (*text, *audio))) == [
        encode("[u"),
        0,
        encode_after("][a hi][u hi"),
        1,
        encode_after("]["),
    ]


def test_a_template_that_loses_audio_is_refused():
    turns = (Turn("user", (Part(audio="x"),)),)
    with pytest.raises(UserError, match="leaves 0 of 1 audio parts"):
        prompt_parts(turns, lambda messages: "nothing", encode, encode_after)


def test_a_history_longer_than_the_context_is_refused():
    check_context(7, 3, 10, "d.jsonl:1")
    check_context(10**9, 3, None, "d.jsonl:1")
    with pytest.raises(UserError) as error:
        check_context(8, 3, 10, "d.jsonl:1")
    assert str(error.value) == (
        "d.jsonl:1: the prompt takes 8 positions and the answer up to 3, the LLM's context has 10; "
        "shorten the history, or lower --max_tokens"
    )
