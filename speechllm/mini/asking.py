"""English questions about a scene: who, what, where, when and how many."""

from dataclasses import dataclass, replace

from speechllm.mini.lexicon import en
from speechllm.mini.realisers.english import join, noun_phrase, noun_phrases
from speechllm.mini.scene import Scene
from speechllm.mini.world import ANIMALS, PEOPLE

ARTICLES, PREPOSITIONS = "the a an", "in on at by to"


@dataclass(frozen=True)
class Asked:
    """A question with its short answer and other answers that are right too."""

    word: str
    question: str
    answer: str
    aliases: tuple[str, ...] = ()


def auxiliary(scene: Scene) -> str:
    if scene.verb == "be":
        return en.VERBS["be"][1 if scene.plural else 0]
    if scene.modal:
        return "can"
    if scene.past:
        return "did"
    return "do" if scene.plural else "does"


def plain_verb(scene: Scene) -> str:
    if scene.verb == "be":
        return scene.predicate
    return join(en.VERBS[scene.verb][1], en.PREPOSITIONS.get(scene.verb, ""))


def without(first_words: str, phrase: str) -> str:
    first, _, rest = phrase.partition(" ")
    return rest if first in first_words.split() else phrase


def is_animate(noun: str) -> bool:
    return noun in PEOPLE or noun in ANIMALS


def ask_who(scene: Scene) -> Asked:
    singular, _, past = en.VERBS[scene.verb]
    verb = f"can {plain_verb(scene)}" if scene.modal else past if scene.past else singular
    if not scene.modal:
        verb = join(verb, en.PREPOSITIONS.get(scene.verb, ""), scene.predicate)
    rest = noun_phrases(scene.objects) or en.PLACES.get(scene.place, "")
    answer = noun_phrases(scene.subjects)
    word = "who" if is_animate(scene.subjects[0].noun) else "what"
    return Asked(word, join(word, verb, rest), answer, (without(ARTICLES, answer),))


def ask_what(scene: Scene) -> Asked | None:
    if len(scene.objects) != 1:
        return None
    thing = scene.objects[0]
    word = "who" if is_animate(thing.noun) and thing.det == "the" else "what"
    subject = noun_phrases(scene.subjects)
    answer = noun_phrase(thing)
    aliases = (without(ARTICLES, answer), noun_phrase(replace(thing, adjective="")))
    return Asked(word, join(word, auxiliary(scene), subject, plain_verb(scene)), answer, aliases)


def ask_of_event(scene: Scene, word: str, answer: str) -> Asked:
    subject = noun_phrases(scene.subjects)
    things = noun_phrases(scene.objects)
    question = join(word, auxiliary(scene), subject, plain_verb(scene), things)
    return Asked(word, question, answer, (without(PREPOSITIONS, answer),))


def ask_where(scene: Scene) -> Asked | None:
    return ask_of_event(scene, "where", en.PLACES[scene.place]) if scene.place else None


def ask_when(scene: Scene) -> Asked | None:
    return ask_of_event(scene, "when", en.TIMES[scene.time]) if scene.time else None


def ask_how_many(scene: Scene) -> Asked | None:
    if len(scene.objects) != 1 or not scene.objects[0].count:
        return None
    thing = scene.objects[0]
    noun = en.NOUNS[thing.noun][1]
    subject = noun_phrases(scene.subjects)
    question = join("how many", noun, auxiliary(scene), subject, plain_verb(scene))
    return Asked("how many", question, en.NUMERALS[thing.count], (noun_phrase(thing),))


def ask_about(scene: Scene) -> list[Asked]:
    """All questions that the scene answers; none about a negated one or one with a relative clause."""
    if scene.negated or scene.relative:
        return []
    asked = [ask(scene) for ask in (ask_who, ask_what, ask_where, ask_when, ask_how_many)]
    return [
        Asked(
            item.word,
            item.question.lower(),
            item.answer.lower(),
            tuple(dict.fromkeys(alias.lower() for alias in item.aliases if alias != item.answer)),
        )
        for item in asked
        if item
    ]
