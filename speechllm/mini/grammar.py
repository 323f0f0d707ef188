"""Sentences of the made-up world in eight languages, each with its English translation."""

import random
from dataclasses import dataclass, field

from speechllm.errors import UserError
from speechllm.mini.realisers import dutch, english, german, polish, romance
from speechllm.mini.scene import Scene
from speechllm.mini.world import draw_scene

REALISERS = {
    "en": english.realise,
    "de": german.realise,
    "nl": dutch.realise,
    "fr": romance.french,
    "es": romance.spanish,
    "it": romance.italian,
    "pt": romance.portuguese,
    "pl": polish.realise,
}
LANGS = tuple(REALISERS)
MIN_WORDS, MAX_WORDS = 4, 10
VAIN = 20_000  # draws without anything new, after which there is nothing new


@dataclass(frozen=True)
class Sentence:
    """A sentence and its translation, lower case and without punctuation as in MLS."""

    lang: str
    text: str
    english: str
    scene: Scene = field(compare=False, repr=False)

    @property
    def split(self) -> str:
        return self.scene.split

    @property
    def written(self) -> str:
        """The sentence with capitals and punctuation."""
        return written(self.lang, self.scene)

    @property
    def english_written(self) -> str:
        return written("en", self.scene)


def written(lang: str, scene: Scene) -> str:
    """A scene as it is written: "Der Koch, der Reis kauft, schläft."."""
    text = realiser(lang)(scene)
    first = 3 if text.startswith("'s ") else 0  # Dutch: 's Nachts
    return f"{text[:first]}{text[first].upper()}{text[first + 1 :]}."


def spoken(lang: str, scene: Scene) -> str:
    """A scene as it is transcribed in MLS: lower case, no punctuation but apostrophes."""
    return realiser(lang)(scene).lower().replace(",", "")


def realiser(lang: str):
    """The function that says a scene in a language; UserError for a language that has none."""
    if lang not in REALISERS:
        raise UserError(
            f"--langs: the made-up corpus has no language '{lang}'; choose from {' '.join(LANGS)}"
        )
    return REALISERS[lang]


class Grammar:
    """Random sentences of one language."""

    def __init__(self, lang: str):
        self.lang = lang
        realiser(lang)  # an unknown language fails here

    def sample(self, rng: random.Random) -> Sentence:
        """One sentence of 4 to 10 words, in either language."""
        while True:
            scene = draw_scene(rng)
            text, english = spoken(self.lang, scene), spoken("en", scene)
            if all(MIN_WORDS <= len(words.split()) <= MAX_WORDS for words in (text, english)):
                return Sentence(self.lang, text, english, scene)


def sentences(
    lang: str, num: int, seed: int, exclude: frozenset[str] = frozenset(), split: str | None = None
) -> list[Sentence]:
    """Distinct sentences, the same on every machine.

    Args:
        exclude: texts that must not occur.
        split: "train", "dev" or "test": only sentences whose scene belongs there (scene.split_of).

    Raises:
        UserError: for an unknown language, and when there are fewer such sentences.
    """
    grammar, rng = Grammar(lang), random.Random(f"{lang} {seed}")
    found: dict[str, Sentence] = {}
    vain = 0
    while len(found) < num:
        sentence = grammar.sample(rng)
        known = sentence.text in exclude or sentence.text in found
        wanted = not known and (split is None or sentence.split == split)
        vain = 0 if wanted else vain + 1
        if wanted:
            found[sentence.text] = sentence
        if vain == VAIN:
            raise UserError(
                f"{lang}: the grammar gave only {len(found):,} of {num:,} distinct sentences; "
                "ask for fewer"
            )
    return list(found.values())


def vocabulary(lang: str) -> list[str]:
    """All words that occur in 10,000 sentences, sorted."""
    return sorted(
        {word for sentence in sentences(lang, 10_000, seed=0) for word in sentence.text.split()}
    )
