"""Text as it is compared: raw, or without the case and punctuation that speech does not have."""

import re
import unicodedata

# See is_unspaced. Codes of two letters and of three (ISO 639-1, -2 and -3).
UNSPACED_LANGS = frozenset(
    "zh zho chi cmn yue wuu nan hak ja jpn th tha lo lao my mya bur km khm".split()
)
# Consonant scripts whose vowel points are optional.
POINTED_LANGS = frozenset("ar ara arb fa fas per pes ur urd ps pus ckb he heb yi yid".split())
DOTTED_I_LANGS = frozenset("tr tur az aze azj".split())

_INNER_MARKS = "'\u00b7-"  # apostrophe, the dot of Catalan l.l, hyphen
_SAME_MARK = str.maketrans(
    {mark: "'" for mark in "\u2018\u2019\u201b\u02bc\u0060\u00b4\u2032"}
    | {mark: "-" for mark in "\u2010\u2011\ufe63\uff0d"}
)
_LONE_MARK = re.compile(
    rf"(?<![^\s{_INNER_MARKS}])[{_INNER_MARKS}]|[{_INNER_MARKS}](?![^\s{_INNER_MARKS}])"
)
_POINTS = re.compile(
    "[\u0640\u064b-\u0652\u0670"  # Arabic: stretching line, short vowels
    "\u0591-\u05bd\u05bf\u05c1\u05c2\u05c4\u05c5\u05c7]"  # Hebrew: cantillation, vowels
)
_UNSPACED_CHAR = (
    "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff"  # Thai and Lao, Burmese, Khmer
    "\u3005-\u3007\u3040-\u30ff\u31f0-\u31ff"  # kana
    "\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"  # Han
)
_UNSPACED_WORD = re.compile(rf"[{_UNSPACED_CHAR}]|[^\s{_UNSPACED_CHAR}]+")


class _Fold(dict):
    """What becomes of a character, by its Unicode category; filled as characters are met."""

    def __missing__(self, code: int) -> str:
        char = chr(code)
        category = unicodedata.category(char)
        if category == "Cf":  # joiners, soft hyphens, direction marks
            folded = ""
        elif category[0] in "LMN" or char in _INNER_MARKS:
            folded = char
        else:
            folded = " "
        self[code] = folded
        return folded


_fold = _Fold()


def fold_space(text: str) -> str:
    """The raw form: single spaces between words, none at the ends, all else untouched.

    >>> fold_space("  Hello,   World! ")
    'Hello, World!'
    """
    return " ".join(text.split())


def lower(text: str, lang: str = "") -> str:
    """Lower case; Turkish and Azeri tell the dotted i from the dotless one. German sharp s stays.

    >>> lower("STRASSE und Straße"), lower("IĞDIR", "tr")
    ('strasse und straße', 'ığdır')
    """
    text = text.replace("\u0130", "i")  # elsewhere only in names; lower() would leave a loose dot
    if lang in DOTTED_I_LANGS:
        text = text.replace("I", "\u0131")
    return text.lower()


def strip_points(text: str) -> str:
    """Remove the optional vowel points of Arabic and Hebrew, and Arabic's stretching line."""
    return _POINTS.sub("", text)


def strip_punctuation(text: str) -> str:
    """Remove punctuation and symbols; apostrophes and hyphens inside words stay, as in MLS.

    >>> strip_punctuation('"wheel-chair" -- it\\'s \\'mine\\'!')
    "wheel-chair it's mine"
    """
    return fold_space(_LONE_MARK.sub(" ", text.translate(_fold)))


def normalize(text: str, lang: str = "") -> str:
    """The normalised form: NFKC, lower case, no punctuation, single spaces.

    Numbers, abbreviations and spelling variants are left alone: rewriting them would need rules per
    language, and results with such rules cannot be compared with the published ones.

    >>> normalize("L\u2019Homme, 1er  ÉTAGE (gauche) ...", "fr")
    "l'homme 1er étage gauche"
    """
    text = lower(unicodedata.normalize("NFKC", text.translate(_SAME_MARK)), lang)
    text = unicodedata.normalize(
        "NFKC", text
    )  # a few lower-case letters compose where upper did not
    if lang in POINTED_LANGS:
        text = strip_points(text)
    return strip_punctuation(text)


def is_unspaced(lang: str) -> bool:
    """Whether a language is written without spaces: there a character counts as a word, and a CER ignores spaces.

    What follows a hyphen, a country or a script, is passed over.

    >>> is_unspaced("zh-CN"), is_unspaced("zh"), is_unspaced("sv-SE")
    (True, True, False)
    """
    return lang.partition("-")[0] in UNSPACED_LANGS


def split_words(text: str, lang: str = "") -> list[str]:
    """Words between spaces; in a language without spaces each of its characters is a word.

    >>> split_words("我用 python 写", "zh")
    ['我', '用', 'python', '写']
    """
    return _UNSPACED_WORD.findall(text) if is_unspaced(lang) else text.split()


def count_words(text: str) -> int:
    """Words between spaces and characters of scripts without spaces, whatever the language.

    >>> count_words("a wheel-chair"), count_words("我用 python 写")
    (2, 4)
    """
    return len(_UNSPACED_WORD.findall(text))


def split_chars(text: str, lang: str = "") -> list[str]:
    """Characters for a CER, a space between two words being one (ESPnet's convention).

    In a language without spaces they are dropped, since writers put them where they like.

    >>> split_chars(" ab  c")
    ['a', 'b', ' ', 'c']
    """
    return list(("" if is_unspaced(lang) else " ").join(text.split()))
