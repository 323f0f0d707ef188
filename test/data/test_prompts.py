"""Prompt templates filled from utterances."""

import pytest

from speechllm.data.prompts import PromptTemplate, split_chain, templates, wanted_text
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


def test_a_text_can_stand_in_the_place_of_the_audio():
    template = PromptTemplate("into {prompt}:{audio}{bos}", encode, 1, 2)
    (ids,) = template.parts(row(prompt="English"), "guten tag")
    assert ids.tolist() == [*encode("into English:"), *encode("guten tag"), 1]
    (empty,) = template.parts(row(prompt="English"), "")
    assert empty.tolist() == [*encode("into English:"), 1]


def test_tasks_say_what_is_to_be_written():
    said = Row("de_1_a", "de_1", "Good day.", "guten tag", None, "de", "feats.ark", 0, 100)
    assert wanted_text(said, "text") == "Good day."
    assert wanted_text(said, "transcript") == "guten tag"
    assert split_chain(wanted_text(said, "chain")) == ("guten tag", "Good day.")
    assert split_chain("guten tag") == ("guten tag", "")


def test_every_task_has_its_template():
    made = templates("{audio}{bos}", {"chain": "both:{audio}{bos}"}, encode, 1, 2)
    assert {task: t.template for task, t in made.items()} == {
        "text": "{audio}{bos}",
        "chain": "both:{audio}{bos}",
    }
    with pytest.raises(
        UserError, match="other_tasks: there is no task 'sing'; there are transcript"
    ):
        templates("{audio}", {"sing": "{audio}"}, encode, 1, 2)
