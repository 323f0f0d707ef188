"""What a sentence says, in no language: who does what to what, where, when, and how many."""

import zlib
from dataclasses import dataclass

SPLITS = ("train", "dev", "test")


@dataclass(frozen=True)
class NounPhrase:
    """A thing or several: "two red apples", "the girl's cat", "water".

    Args:
        det: "the", "a" or "zero" (a mass, or several of unstated number).
        count: 0 where no numeral is said; else the numeral, and the plural.
    """

    noun: str
    det: str = "the"
    plural: bool = False
    count: int = 0
    adjective: str = ""
    owner: str = ""


@dataclass(frozen=True)
class Relative:
    """A clause about the subject: "who sells bread"."""

    verb: str
    object: NounPhrase


@dataclass(frozen=True)
class Scene:
    """One event or state; the verb "be" has a predicate (an adjective) or a place."""

    verb: str
    subjects: tuple[NounPhrase, ...]
    objects: tuple[NounPhrase, ...] = ()
    place: str = ""
    time: str = ""
    time_first: bool = False
    past: bool = False
    modal: bool = False
    negated: bool = False
    predicate: str = ""
    relative: Relative | None = None

    @property
    def plural(self) -> bool:
        return len(self.subjects) > 1 or self.subjects[0].plural

    @property
    def split(self) -> str:
        return split_of(self)


def split_of(scene: Scene) -> str:
    """Which of train (80 %), dev and test (10 % each) a scene belongs to, on every machine.

    Only the content words count, so a sentence shares its split with its translations and with its
    variants in number, tense, order, negation and ability: an unseen sentence has unseen content.
    """
    phrases = [*scene.subjects, *scene.objects]
    words = [scene.verb, scene.place, scene.time, scene.predicate]
    if scene.relative:
        words.append(scene.relative.verb)
        phrases.append(scene.relative.object)
    words += [word for phrase in phrases for word in (phrase.noun, phrase.adjective, phrase.owner)]
    bucket = zlib.crc32(" ".join(words).encode()) // 7 % 10
    return SPLITS[max(0, bucket - 7)]
