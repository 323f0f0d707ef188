"""Questions with short answers: the answer follows from the question, in each kind."""

import pytest

from speechllm.errors import UserError
from speechllm.mini.asking import ask_about
from speechllm.mini.grammar import sentences
from speechllm.mini.questions import DRAW, NUMBERS, OPPOSITES, questions
from speechllm.mini.scene import NounPhrase, Scene

BAKER = Scene(
    "sell",
    (NounPhrase("baker"),),
    (NounPhrase("cake", "zero", plural=True, count=3, adjective="big"),),
    place="at_market",
    time="sunday",
)
CHILDREN = Scene("wait", (NounPhrase("child", plural=True),), (NounPhrase("teacher"),))
CAUGHT = Scene("catch", (NounPhrase("fisherman"),), (NounPhrase("fish", "a"),), past=True)
ABLE = Scene("swim", (NounPhrase("boy"), NounPhrase("girl")), place="in_sea", modal=True)
STATE = Scene("be", (NounPhrase("sea"),), predicate="cold")


def of_kind(kind, num=60):
    return questions(num, seed=4, kinds=(kind,))


@pytest.mark.parametrize(
    "scene, expected",
    [
        (
            BAKER,
            [
                ("who sells three big cakes", "the baker"),
                ("what does the baker sell", "three big cakes"),
                ("where does the baker sell three big cakes", "at the market"),
                ("when does the baker sell three big cakes", "on sunday"),
                ("how many cakes does the baker sell", "three"),
            ],
        ),
        (
            CHILDREN,
            [
                ("who waits for the teacher", "the children"),
                ("who do the children wait for", "the teacher"),
            ],
        ),
        (
            CAUGHT,
            [
                ("who caught a fish", "the fisherman"),
                ("what did the fisherman catch", "a fish"),
            ],
        ),
        (
            ABLE,
            [
                ("who can swim in the sea", "the boy and the girl"),
                ("where can the boy and the girl swim", "in the sea"),
            ],
        ),
        (STATE, [("what is cold", "the sea")]),
    ],
)
def test_scene_is_asked_about(scene, expected):
    assert [(asked.question, asked.answer) for asked in ask_about(scene)] == expected


def test_aliases_leave_out_what_need_not_be_said():
    aliases = {asked.word: asked.aliases for asked in ask_about(BAKER)}
    assert aliases["who"] == ("baker",)
    assert aliases["what"] == ("three cakes",)
    assert aliases["where"] == ("the market",)
    assert aliases["when"] == ("sunday",)
    assert aliases["how many"] == ("three big cakes",)


def test_nothing_is_asked_about_what_does_not_happen():
    assert not ask_about(Scene("swim", (NounPhrase("boy"),), place="in_sea", negated=True))


@pytest.mark.parametrize("kind", DRAW)
def test_turns_alternate_and_end_with_the_user(kind):
    for question in of_kind(kind):
        roles = [role for role, _ in question.turns]
        assert roles == (["user", "assistant"] * 2)[: len(roles)] and roles[-1] == "user"
        texts = [*(text for _, text in question.turns), question.answer, *question.aliases]
        assert all(text == text.strip().lower() and text for text in texts)
        assert "." not in "".join(texts) and "," not in "".join(texts)
        assert question.answer not in question.aliases
        assert question.kind == kind


def test_arithmetic_is_right():
    signs = {"plus": "+", "minus": "-", "times": "*"}
    for question in of_kind("arithmetic", 200):
        words = question.turns[0][1].split()[-3:]
        first, second = NUMBERS.index(words[0]), NUMBERS.index(words[2])
        assert NUMBERS[eval(f"{first} {signs[words[1]]} {second}")] == question.answer


def test_counting_is_right():
    for question in of_kind("count", 100):
        words = question.turns[0][1].split()
        numbers = [NUMBERS.index(word) for word in question.answer.split()]
        if "count" in words:
            assert NUMBERS[numbers[0]] == words[-3] and NUMBERS[numbers[-1]] == words[-1]
            step = -1 if "down" in words else 1
            assert all(b - a == step for a, b in zip(numbers, numbers[1:], strict=False))
        else:
            assert numbers[0] - NUMBERS.index(words[-1]) == (1 if "after" in words else -1)


def test_opposites_are_each_others():
    pairs = {frozenset(pair) for pair in OPPOSITES}
    for question in of_kind("opposite"):
        assert any(
            question.answer in pair
            and (set(question.turns[0][1].split()) & pair) - {question.answer}
            for pair in pairs
        )


def test_repetition_repeats():
    for question in of_kind("repeat"):
        assert question.turns[0][1].endswith(f" {question.answer}")


def test_answers_about_a_scene_are_said_before():
    for kind in ("scene", "follow_up"):
        for question in of_kind(kind, 200):
            words = " ".join(text for _, text in question.turns).split()
            assert set(question.answer.split()) <= set(words)


def test_follow_up_needs_the_turn_before():
    assert all(len(question.turns) == 3 for question in of_kind("follow_up"))
    short = [q for q in of_kind("follow_up", 100) if q.turns[-1][1].startswith("and ")]
    assert len(short) > 20


def test_splits_are_disjoint_and_follow_the_scenes():
    train = questions(1500, seed=1, split="train")
    test = questions(300, seed=1, split="test")
    assert not {q.turns for q in train} & {q.turns for q in test}
    unseen = {s.text for s in sentences("en", 400, seed=1, split="test")}
    repeated = {q.answer for q in train if q.kind == "repeat"}
    assert not repeated & unseen


def test_questions_are_distinct_and_repeatable():
    once, again = questions(300, seed=2), questions(300, seed=2)
    assert once == again and len({q.turns for q in once}) == 300
    assert once != questions(300, seed=3)
    assert {q.kind for q in once} == set(DRAW)


def test_too_many_questions_say_so():
    with pytest.raises(UserError, match="of 5,000 distinct questions"):
        questions(5000, seed=1, kinds=("opposite",))
