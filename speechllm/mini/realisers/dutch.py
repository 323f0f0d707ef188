"""Dutch sentences."""

from speechllm.mini.lexicon import nl
from speechllm.mini.realisers.english import join
from speechllm.mini.realisers.verb_second import verb_last, verb_second
from speechllm.mini.scene import NounPhrase, Scene


def noun_phrase(phrase: NounPhrase) -> str:
    article, singular, plural = nl.NOUNS[phrase.noun]
    adjective = ""
    if phrase.adjective:
        bare = article == "het" and not phrase.plural and phrase.det != "the"
        adjective = nl.ADJECTIVES[phrase.adjective][0 if bare else 1]
    if phrase.count:
        first = nl.NUMERALS[phrase.count]
    elif phrase.det == "the":
        first = "de" if phrase.plural else article
    else:
        first = "een" if phrase.det == "a" else ""
    owner = "van " + " ".join(nl.NOUNS[phrase.owner][:2]) if phrase.owner else ""
    return join(first, adjective, plural if phrase.plural else singular, owner)


def realise(scene: Scene) -> str:
    subject = " en ".join(noun_phrase(phrase) for phrase in scene.subjects)
    if scene.relative:
        het = nl.NOUNS[scene.subjects[0].noun][0] == "het" and not scene.plural
        subject += " " + verb_last(nl, scene, "dat" if het else "die", noun_phrase)
    return verb_second(nl, scene, subject, noun_phrase)
