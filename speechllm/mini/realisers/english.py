"""English sentences."""

from speechllm.mini.lexicon import en
from speechllm.mini.scene import NounPhrase, Scene


def join(*parts: str) -> str:
    return " ".join(part for part in parts if part)


def noun_phrase(phrase: NounPhrase) -> str:
    noun = en.NOUNS[phrase.noun][int(phrase.plural)]
    if phrase.owner:
        return join(f"the {en.NOUNS[phrase.owner][0]}'s", phrase.adjective, noun)
    words = join(phrase.adjective, noun)
    if phrase.count:
        return join(en.NUMERALS[phrase.count], words)
    if phrase.det == "a":
        return join("an" if words[0] in "aeiou" else "a", words)
    return join("the" if phrase.det == "the" else "", words)


def noun_phrases(phrases: tuple[NounPhrase, ...]) -> str:
    return " and ".join(noun_phrase(phrase) for phrase in phrases)


def verb_phrase(scene: Scene) -> str:
    singular, plain, past = en.VERBS[scene.verb]
    if scene.verb == "be":
        return join(
            plain if scene.plural else singular, "not" if scene.negated else "", scene.predicate
        )
    if scene.modal:
        return join("can", plain)
    if scene.negated:
        return join("do" if scene.plural else "does", "not", plain)
    if scene.past:
        return past
    return plain if scene.plural else singular


def relative_clause(scene: Scene) -> str:
    if scene.relative is None:
        return ""
    verb = scene.relative.verb
    form = en.VERBS[verb][int(scene.plural)]
    return join("who", form, en.PREPOSITIONS.get(verb, ""), noun_phrase(scene.relative.object))


def realise(scene: Scene) -> str:
    time = en.TIMES.get(scene.time, "")
    return join(
        time if scene.time_first else "",
        noun_phrases(scene.subjects),
        relative_clause(scene),
        verb_phrase(scene),
        en.PREPOSITIONS.get(scene.verb, ""),
        noun_phrases(scene.objects),
        en.PLACES.get(scene.place, ""),
        "" if scene.time_first else time,
    )
