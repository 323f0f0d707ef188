"""French, Spanish, Italian and Portuguese sentences: one grammar, four word lists."""

from functools import partial

from speechllm.mini.lexicon import es, fr, it, pt
from speechllm.mini.realisers.english import join
from speechllm.mini.scene import NounPhrase, Scene


def gender_of(lexicon, noun: str, plural: bool) -> str:
    """ "m" or "f"; "fa" only where the article looks masculine."""
    gender = lexicon.NOUNS[noun][0]
    return {"mf": "f" if plural else "m", "fa": "f" if plural else "fa"}.get(gender, gender)


def agreeing(lexicon, adjective: str, gender: str, plural: bool) -> str:
    return lexicon.ADJECTIVES[adjective][2 * plural + (gender != "m")] if adjective else ""


def noun_phrase(lexicon, phrase: NounPhrase) -> str:
    gender = gender_of(lexicon, phrase.noun, phrase.plural)
    noun = lexicon.NOUNS[phrase.noun][2 if phrase.plural else 1]
    adjective = agreeing(lexicon, phrase.adjective, gender, phrase.plural)
    before = phrase.adjective in lexicon.BEFORE_NOUN
    words = join(adjective, noun) if before else join(noun, adjective)
    if phrase.owner:
        words += f" {lexicon.of(lexicon.NOUNS[phrase.owner][0], lexicon.NOUNS[phrase.owner][1])}"
    if phrase.count:
        numeral = lexicon.NUMERALS[phrase.count]
        return join(numeral if isinstance(numeral, str) else numeral[gender != "m"], words)
    return lexicon.article(phrase.det, gender, phrase.plural, words) + words


def object_phrase(lexicon, phrase: NounPhrase) -> str:
    words = noun_phrase(lexicon, phrase)
    animate = getattr(lexicon, "ANIMATE", ())
    return lexicon.person(words) if phrase.det == "the" and phrase.noun in animate else words


def verb_group(lexicon, scene: Scene) -> str:
    plural = int(scene.plural)
    verb = scene.verb
    if verb == "be" and "stay" in lexicon.VERBS:
        verb = "stay" if scene.place or scene.predicate in lexicon.STATES else "be"
    forms = lexicon.VERBS[verb]
    if scene.negated:
        return lexicon.negate(forms[plural])
    if scene.modal:
        return join(lexicon.VERBS["can"][plural], forms[2])
    if scene.past and "have" in lexicon.VERBS:
        return join(lexicon.VERBS["have"][plural], forms[3])
    return forms[3 + plural] if scene.past else forms[plural]


def realise(lexicon, scene: Scene) -> str:
    plural = int(scene.plural)
    time = lexicon.TIMES.get(scene.time, "")
    relative = ""
    if scene.relative:
        verb = lexicon.VERBS[scene.relative.verb][plural]
        relative = join(lexicon.WHO, verb, object_phrase(lexicon, scene.relative.object))
    gender = gender_of(lexicon, scene.subjects[0].noun, scene.plural)
    return join(
        time if scene.time_first else "",
        f" {lexicon.AND} ".join(noun_phrase(lexicon, phrase) for phrase in scene.subjects),
        relative,
        verb_group(lexicon, scene),
        f" {lexicon.AND} ".join(object_phrase(lexicon, phrase) for phrase in scene.objects),
        agreeing(lexicon, scene.predicate, gender, scene.plural),
        lexicon.PLACES.get(scene.place, ""),
        "" if scene.time_first else time,
    )


french, spanish, italian, portuguese = (partial(realise, lexicon) for lexicon in (fr, es, it, pt))
