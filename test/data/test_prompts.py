"""Prompt templates filled from utterances."""

import pytest

from speechllm.data.prompts import ChatTemplate, PromptTemplate, split_chain, wanted_text
from speechllm.data.rows import Row
from speechllm.errors import UserError


def row(lang="de", prompt=None) -> Row:
    return Row("de_1_a", "de_1", "text", None, prompt, lang, "feats.ark", 0, 100)


def encode(text: str) -> list[int]:
    return [ord(c) for c in text]


def shown(template: str, row: Row) -> list:
    """Parts with readable text: special tokens by name, other ids as the characters they stand for."""
    names = {1: "<s>", 2: "</s>"}
    parts = PromptTemplate(template, encode, bos_id=1, eos_id=2).parts(row)
    return [
        part if isinstance(part, int) else "".join(names.get(i, chr(i)) for i in part.tolist())
        for part in parts
    ]


@pytest.mark.parametrize(
    "template, expected",
    [
        ("{audio}{bos}", [0, "<s>"]),
        (
            "{bos}Write the {language} speech: {audio}{eos}",
            ["<s>Write the German speech: ", 0, "</s>"],
        ),
        ("<{lang}>{audio}", ["<de>", 0]),
        ("{bos}{prompt} {audio}", ["<s>What {audio} says? ", 0]),
    ],
)
def test_marks_are_filled_from_the_utterance(template, expected):
    assert shown(template, row(prompt="What {audio} says?")) == expected


def test_text_around_a_value_is_tokenised_with_it():
    texts = []
    PromptTemplate("a {lang} b{audio}c{eos}", lambda t: texts.append(t) or [5], 1, 2).parts(row())
    assert texts == ["a de b", "c"]


def test_an_unknown_language_keeps_its_code():
    assert shown("{language}{audio}", row(lang="xx")) == ["xx", 0]


@pytest.mark.parametrize(
    "template, message",
    [
        ("{bos}", "must have {audio} exactly once"),
        (
            "{audio}{lnag}",
            "de_1_a has nothing for {lnag}, only {audio}, {bos}, {eos}, {lang}, {language}",
        ),
        ("{audio}{prompt}", "nothing for {prompt}, only .*; write utt2prompt"),
    ],
)
def test_what_cannot_be_filled_is_named(template, message):
    with pytest.raises(UserError, match=message):
        shown(template, row())


def render(messages: list[dict]) -> str:
    return "".join(f"<{m['role'][0]}>{m['content']}" for m in messages) + "<a>"


@pytest.mark.parametrize(
    "template, prompt, system, expected",
    [
        ("{audio}", None, "", ["<u>", 0, "<a>"]),
        ("{prompt} {audio}", None, "", ["<u>", 0, "<a>"]),
        ("{prompt} {audio}", "sum up", "", ["<u>sum up", 0, "<a>"]),
        (
            "what is said in {language}: {audio} ?",
            None,
            "",
            ["<u>what is said in German:", 0, " ?<a>"],
        ),
        ("{audio}", None, "be kind", ["<s>be kind<u>", 0, "<a>"]),
    ],
)
def test_a_chat_has_audio_or_its_transcript_in_the_users_turn(template, prompt, system, expected):
    chat = ChatTemplate(template, render, encode, encode, system)

    def shown(parts):
        return [p if isinstance(p, int) else "".join(map(chr, p.tolist())) for p in parts]

    one = row(prompt=prompt)
    assert shown(chat.parts(one)) == expected
    (whole,) = shown(chat.text_parts(one))
    before, _, after = expected
    space = " " if before.rpartition(">")[2] else ""
    assert whole == f"{before}{space}text{after}"


def test_marks_of_a_chat_that_nothing_is_known_for_are_refused():
    with pytest.raises(UserError, match="has nothing for {bos}, only {audio}, {prompt}"):
        ChatTemplate("{bos}{audio}", render, encode, encode).parts(row())
    with pytest.raises(UserError, match="exactly once"):
        ChatTemplate("hello", render, encode, encode)


def test_a_chat_can_be_tried_before_there_is_any():
    ChatTemplate("{audio}", render, encode, encode).check_takes_audio()
    loses = ChatTemplate("{audio}", lambda messages: "<u><a>", encode, encode)
    with pytest.raises(UserError, match="leaves 0 of 1 audio parts"):
        loses.check_takes_audio()

    def without_system(messages):
        if messages[0]["role"] == "system":
            raise UserError("the chat template does not take this dialogue")
        return render(messages)

    ChatTemplate("{audio}", without_system, encode, encode).check_takes_audio()
    with pytest.raises(UserError, match="does not take this dialogue"):
        ChatTemplate("{audio}", without_system, encode, encode, "be kind").check_takes_audio()


def test_a_text_can_stand_in_the_place_of_the_audio():
    template = PromptTemplate("into {prompt}:{audio}{bos}", encode, 1, 2)
    (ids,) = template.text_parts(row(prompt="English"), "guten tag")
    assert ids.tolist() == [*encode("into English:"), *encode("guten tag"), 1]
    (empty,) = template.text_parts(row(prompt="English"), "")
    assert empty.tolist() == [*encode("into English:"), 1]
    (own,) = template.text_parts(row(prompt="English"))
    assert own.tolist() == [*encode("into English:"), *encode("text"), 1]
    chat = ChatTemplate("into {prompt}: {audio}", render, encode, encode)
    (ids,) = chat.text_parts(row(prompt="English"), "guten tag")
    assert ids.tolist() == encode("<u>into English: guten tag<a>")


def test_tasks_say_what_is_to_be_written():
    said = Row("de_1_a", "de_1", "Good day.", "guten tag", None, "de", "feats.ark", 0, 100)
    assert wanted_text(said, "text") == "Good day."
    assert wanted_text(said, "transcript") == "guten tag"
    assert split_chain(wanted_text(said, "chain")) == ("guten tag", "Good day.")
    assert split_chain("guten tag") == ("guten tag", "")
