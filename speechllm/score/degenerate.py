"""Hypotheses that are no transcript at all: empty, looping, in another script or language."""

import unicodedata
from collections import Counter

from speechllm.score.normalize import normalize, split_words

MAX_NGRAM = 16
MIN_EXTRA_WORDS = 4
MIN_EXTRA_CHARS = 16
MIN_WORDS = 3  # fewer words do not tell a language


def is_looping(ref: str, hyp: str, lang: str = "") -> bool:
    """Whether ``hyp`` says some n-gram three times or more in a row, well beyond what ``ref`` does.

    Well beyond: 4 words (inside words 16 characters) more that only repeat what stood before.

    >>> is_looping("the cat sat", "the cat the cat the cat")
    True
    >>> is_looping("one one one one one", "one one one one one one")
    False
    """
    ref, hyp = normalize(ref, lang), normalize(hyp, lang)
    return _repeats_more(
        split_words(ref, lang), split_words(hyp, lang), MIN_EXTRA_WORDS
    ) or _repeats_more(ref, hyp, MIN_EXTRA_CHARS)


def _repeats_more(ref, hyp, min_extra: int) -> bool:
    for n in range(1, MAX_NGRAM + 1):
        run = _longest_run(hyp, n)
        if run >= 2 * n and run - _longest_run(ref, n) >= min_extra:
            return True
    return False


def _longest_run(sequence, lag: int) -> int:
    """Most neighbouring entries that equal the one ``lag`` before: (copies in a row - 1) * lag."""
    longest = run = 0
    for this, before in zip(sequence[lag:], sequence, strict=False):
        run = run + 1 if this == before else 0
        longest = max(longest, run)
    return longest


def script(text: str) -> str:
    """The script of most letters ("LATIN", "CYRILLIC", "CJK" for Chinese and Japanese), or ""."""
    names = Counter(unicodedata.name(char, "").partition(" ")[0] for char in text if char.isalpha())
    for name in ("HIRAGANA", "KATAKANA", "KATAKANA-HIRAGANA", "IDEOGRAPHIC"):
        names["CJK"] += names.pop(name, 0)
    return names.most_common(1)[0][0] if +names else ""


def is_wrong_script(ref: str, hyp: str) -> bool:
    """Whether most letters of ``hyp`` are of another script than those of ``ref``."""
    return bool(script(ref)) and bool(script(hyp)) and script(ref) != script(hyp)


def vocabularies(refs: list[str], langs: list[str]) -> dict[str, set[str]]:
    """The words of each language's references, normalised."""
    words: dict[str, set[str]] = {}
    for ref, lang in zip(refs, langs, strict=True):
        words.setdefault(lang, set()).update(split_words(normalize(ref, lang), lang))
    return words


def is_wrong_language(hyp: str, lang: str, vocabs: dict[str, set[str]]) -> bool:
    """Whether another vocabulary holds half of the words, and twice as many as its own."""
    words = split_words(normalize(hyp, lang), lang)
    if len(words) < MIN_WORDS or len(vocabs) < 2:
        return False
    own = sum(word in vocabs[lang] for word in words)
    best = max(
        sum(word in vocab for word in words) for other, vocab in vocabs.items() if other != lang
    )
    return best >= len(words) / 2 and best >= 2 * max(own, 1)


def find_degenerate(
    refs: list[str], hyps: list[str], langs: list[str], statuses: list[str] | None = None
) -> dict[str, list[int]]:
    """Positions of the degenerate ones among U hypotheses, by kind.

    Args:
        statuses: "ok" or "max_length" each, as the decoder wrote them; without them the kind
            "truncated" is left out, for then it is not known.
    """
    vocabs = vocabularies(refs, langs)
    kinds: dict[str, list[int]] = {"empty": [], "looping": [], "wrong_language": []}
    for i, (ref, hyp, lang) in enumerate(zip(refs, hyps, langs, strict=True)):
        if not hyp.strip():
            kinds["empty"].append(i)
        if is_looping(ref, hyp, lang):
            kinds["looping"].append(i)
        if is_wrong_script(ref, hyp) or is_wrong_language(hyp, lang, vocabs):
            kinds["wrong_language"].append(i)
    if statuses is not None:
        kinds["truncated"] = [i for i, status in enumerate(statuses) if status == "max_length"]
    return kinds
