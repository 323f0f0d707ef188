"""Right and useless answers."""

import pytest

from speechllm.score.answers import find_fault, is_right, is_same


@pytest.mark.parametrize(
    "answer, right",
    [
        ("the baker", True),
        ("The Baker!", True),
        ("baker", True),
        ("the old baker", False),
        ("", False),
        ("bakers", False),
    ],
)
def test_an_answer_is_right_if_it_reads_as_one_of_the_aliases(answer, right):
    assert is_right(answer, "the baker", ["baker"]) is right


@pytest.mark.parametrize(
    "answer, lang, right",
    [
        ("I think that The Baker sells it.", "en", True),
        ("it is a baker", "en", True),
        ("the old baker, I think", "en", True),  # the alias
        ("the bakers", "en", False),
        ("a bakery sells it", "en", False),
        ("a well-baker", "en", False),
        ("", "en", False),
        ("\u662f\u9762\u5305\u5e08\u3002", "zh", True),  # without spaces every character is a word
        ("\u662f\u9762\u5e08\u3002", "zh", False),
    ],
)
def test_an_answer_in_a_sentence_is_right_if_asked_so(answer, lang, right):
    expected, aliases = "The baker.", ["baker", "\u9762\u5305\u5e08"]
    assert is_right(answer, expected, aliases, lang, "contains") is right
    assert not is_right(answer, expected, aliases, lang)


def test_same_answers_differ_in_case_and_punctuation_only():
    assert is_same("I see.", "i see") and not is_same("i see", "i saw")


@pytest.mark.parametrize(
    "answer, has_ended, fault",
    [
        ("the baker", True, ""),
        (" ... ", True, "empty"),
        ("the baker", False, "too_long"),
        ("I\u2019m sorry, but I can't", True, "refusal"),
        ("so i'm sorry", True, ""),
        ("the cat the cat the cat the cat", True, "loop"),
    ],
)
def test_faults_of_targets(answer, has_ended, fault):
    assert find_fault("who sells bread", answer, has_ended, ["I'm sorry"]) == fault
