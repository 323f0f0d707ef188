"""Answers to questions: whether they are right, whether two are the same, and which are of no use as targets."""

from collections.abc import Sequence

from speechllm.score.degenerate import is_looping
from speechllm.score.normalize import normalize, split_words

MATCHES = ("exact", "contains")


def is_right(
    answer: str,
    expected: str,
    aliases: Sequence[str] = (),
    lang: str = "",
    match: str = "exact",
) -> bool:
    """Whether an answer is the expected one or an alias of it, in lower case and without punctuation.

    Args:
        match: of MATCHES; "contains": the expected one may stand anywhere in the answer, as whole words.

    >>> is_right("The baker.", "the baker", ["baker"]), is_right("the old baker", "the baker", ["baker"])
    (True, False)
    >>> is_right("It is the old baker.", "the baker", ["baker"], match="contains")
    True
    """
    said = normalize(answer, lang)
    rights = [normalize(right, lang) for right in (expected, *aliases)]
    if match == "contains":
        said = between_spaces(said, lang)
        return any(between_spaces(right, lang) in said for right in rights)
    return said in rights


def between_spaces(text: str, lang: str) -> str:
    """Each word between spaces, so that words are found as a whole."""
    return f" {' '.join(split_words(text, lang))} "


def is_same(answer: str, other: str, lang: str = "") -> bool:
    """Whether two answers read alike in lower case and without punctuation."""
    return normalize(answer, lang) == normalize(other, lang)


def find_fault(prompt: str, answer: str, has_ended: bool, refusals: Sequence[str]) -> str:
    """Why an answer is no target to learn from: "empty", "too_long", "refusal", "loop", or "".

    Args:
        has_ended: whether the LLM ended it, or a limit did.
        refusals: how answers begin that decline to answer.

    >>> find_fault("who sells bread", "I'm sorry, I cannot say.", True, ["i'm sorry"])
    'refusal'
    """
    said = normalize(answer)
    if not said:
        return "empty"
    if not has_ended:
        return "too_long"
    if any(said.startswith(normalize(refusal)) for refusal in refusals):
        return "refusal"
    return "loop" if is_looping(prompt, answer) else ""
