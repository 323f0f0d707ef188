import pytest

from speechllm.score.degenerate import (
    find_degenerate,
    is_looping,
    is_wrong_language,
    is_wrong_script,
    script,
    vocabularies,
)


@pytest.mark.parametrize(
    ("ref", "hyp", "looping"),
    [
        ("we went home", "we went home", False),
        ("we went home", "", False),
        ("we went home", "we went home home", False),  # a stutter
        ("we went home", "we went home home home home home", True),
        ("we went home", "we went home we went home", False),  # said twice
        ("we went home", "we went home we went home we went home", True),
        ("no no no no no no", "no no no no no no", False),  # the reference does it too
        ("no no", "no no no no no no no no", True),
        (
            "we went home",
            "We went. We went! we WENT, we went",
            True,
        ),  # case and marks do not hide it
        ("ha", "hahahahahahahahahahahaha", True),  # inside a word
    ],
)
def test_looping(ref, hyp, looping):
    assert is_looping(ref, hyp) is looping


def test_looping_sees_characters_where_there_are_no_spaces():
    assert is_looping("你好世界", "你好你好你好你好", "zh")
    assert not is_looping("你好世界", "你好世界", "zh")


def test_script_of_most_letters():
    assert script("Größe 12") == "LATIN"
    assert script("Москва ok") == "CYRILLIC"
    assert script("カタカナ漢字ー") == script("漢字") == "CJK"
    assert script("123 ...") == ""
    assert is_wrong_script("привет", "hello")
    assert not is_wrong_script("привет", "") and not is_wrong_script("12", "hello")


def test_wrong_language_by_the_vocabulary_of_the_other_references():
    vocabs = vocabularies(
        ["The old man sees a dog", "der alte Mann sieht einen Hund"], ["en", "de"]
    )
    assert is_wrong_language("der alte hund sieht", "en", vocabs)
    assert not is_wrong_language("der alte hund sieht", "de", vocabs)
    assert not is_wrong_language("the old man xyz", "en", vocabs)
    assert not is_wrong_language("der hund", "en", vocabs)  # too short to tell
    assert not is_wrong_language("xx yy zz", "en", vocabs)


def test_positions_by_kind_and_truncation_only_if_known():
    refs, langs = ["a b c d", "e f g", "h i"], ["en", "en", "en"]
    hyps = ["", "e f g f g f g f g", "h i"]
    assert find_degenerate(refs, hyps, langs) == {
        "empty": [0],
        "looping": [1],
        "wrong_language": [],
    }
    kinds = find_degenerate(refs, hyps, langs, ["ok", "max_length", "ok"])
    assert kinds["truncated"] == [1]
