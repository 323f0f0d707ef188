import doctest
import random

import pytest

from speechllm.score import degenerate, normalize
from speechllm.score.normalize import fold_space, split_chars, split_words


@pytest.mark.parametrize("module", [normalize, degenerate])
def test_examples_in_docstrings_hold(module):
    outcome = doctest.testmod(module)
    assert outcome.attempted and not outcome.failed


@pytest.mark.parametrize(
    ("lang", "text", "normalised"),
    [
        (
            "en",
            "Don\u2019t \u201cstop\u201d \u2014 it's a wheel\u2011chair!",
            "don't stop it's a wheel-chair",
        ),
        ("en", "'Yes,' he said -- 'I've a dog-'", "yes he said i've a dog"),
        ("en", "3.5 % of U.S. sales\u2026", "3 5 of u s sales"),
        ("de", "GRÖSSE und Größe, Straße!", "grösse und größe straße"),
        ("nl", "'s Avonds foto\u2019s", "s avonds foto's"),
        (
            "fr",
            "L\u2019\u00c9t\u00e9, aujourd'hui ; \u00ab \u00e7a \u00bb",
            "l'\u00e9t\u00e9 aujourd'hui \u00e7a",
        ),
        ("es", "\u00bfQu\u00e9? \u00a1Ma\u00f1ana!", "qu\u00e9 ma\u00f1ana"),
        ("pl", "ŻÓŁW i łódź.", "żółw i łódź"),
        ("fr", "e\u0301te\u0301", "\u00e9t\u00e9"),  # decomposed and composed accents are one
        ("en", "\uff26\uff55\uff4c\uff4c \ufb01ne co\u00adoperate\u200b", "full fine cooperate"),
        ("ca", "Col\u00b7legi \u00b7 nou", "col\u00b7legi nou"),
        ("tr", "DI\u015eI \u0130Y\u0130", "d\u0131\u015f\u0131 iyi"),
        ("ru", "Ёлка, и «Мир»!", "ёлка и мир"),
        ("ar", "كِتَابٌ، كـتاب؟", "كتاب كتاب"),
        ("he", "שָׁלוֹם!", "שלום"),
        ("hi", "नमस्ते, दुनिया।", "नमस्ते दुनिया"),
        ("zh", "你好，世界！ABC", "你好 世界 abc"),
    ],
)
def test_normalised_text(lang, text, normalised):
    assert normalize.normalize(text, lang) == normalised
    assert normalize.normalize(normalised, lang) == normalised


def test_normalising_twice_changes_nothing():
    rng = random.Random(0)
    alphabet = "ab'-.,%_ \t\u00b7\u2019\u00b4\u2010\u2026"  # marks
    alphabet += "\u00df\u0130I\u00e9e\u0301\u4f60\u0e01\u0e31\u00bd\ufb01"  # letters
    for _ in range(2000):
        text = "".join(rng.choices(alphabet, k=rng.randint(0, 12)))
        for lang in ("en", "tr", "zh", "ar"):
            once = normalize.normalize(text, lang)
            assert normalize.normalize(once, lang) == once, repr(text)


def test_raw_text_only_loses_superfluous_space():
    assert fold_space("\tA  b, C! \u3000d ") == "A b, C! d"


def test_characters_are_words_where_there_are_no_spaces():
    assert split_words("今日は good だ", "ja") == ["今", "日", "は", "good", "だ"]
    assert split_words("한국어 말", "ko") == ["한국어", "말"]
    assert split_chars("今 日", "ja") == ["今", "日"]
    assert split_words("今 日", "zh-CN") == split_chars("今 日", "zh-CN") == ["今", "日"]
    assert split_words("en dag", "sv-SE") == ["en", "dag"]
    assert split_chars("", "en") == split_words("", "zh") == []
