"""The word order that German and Dutch share: the finite verb second, the rest of it last."""

from collections.abc import Callable

from speechllm.mini.realisers.english import join
from speechllm.mini.scene import NounPhrase, Scene


def verb_second(
    lexicon, scene: Scene, subject: str, noun_phrase: Callable[[NounPhrase], str]
) -> str:
    """A sentence from its subject and a function that says an object."""
    forms = lexicon.VERBS[scene.verb]
    finite, rest = forms[int(scene.plural)], ""
    if scene.modal:
        finite, rest = lexicon.VERBS["can"][int(scene.plural)], forms[1]
    elif scene.past:
        finite, rest = lexicon.VERBS["have"][int(scene.plural)], forms[2]
    time = lexicon.TIMES.get(scene.time, "")
    start = join(time, finite, subject) if scene.time_first else join(subject, finite, time)
    return join(
        start,
        lexicon.PREPOSITIONS.get(scene.verb, ""),
        f" {lexicon.AND} ".join(noun_phrase(phrase) for phrase in scene.objects),
        lexicon.NOT if scene.negated else "",
        lexicon.PLACES.get(scene.place, ""),
        lexicon.ADJECTIVES[scene.predicate][0] if scene.predicate else "",
        rest,
    )


def verb_last(lexicon, scene: Scene, pronoun: str, noun_phrase: Callable[[NounPhrase], str]) -> str:
    """The clause about the subject, which ends with its verb."""
    verb = scene.relative.verb
    return join(
        pronoun,
        lexicon.PREPOSITIONS.get(verb, ""),
        noun_phrase(scene.relative.object),
        lexicon.VERBS[verb][int(scene.plural)],
    )
