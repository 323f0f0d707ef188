"""German sentences."""

from functools import partial

from speechllm.mini.lexicon import de
from speechllm.mini.realisers.english import join
from speechllm.mini.realisers.verb_second import verb_last, verb_second
from speechllm.mini.scene import NounPhrase, Scene

THE = {
    "nominative": {"m": "der", "f": "die", "n": "das"},
    "accusative": {"m": "den", "f": "die", "n": "das"},
}
A = {
    "nominative": {"m": "ein", "f": "eine", "n": "ein"},
    "accusative": {"m": "einen", "f": "eine", "n": "ein"},
}
STRONG = {
    "nominative": {"m": "er", "f": "e", "n": "es"},
    "accusative": {"m": "en", "f": "e", "n": "es"},
}


def adjective(phrase: NounPhrase, gender: str, case: str) -> str:
    if not phrase.adjective:
        return ""
    if phrase.plural:
        ending = "en" if phrase.det == "the" else "e"
    elif phrase.det == "the":
        ending = "en" if (gender, case) == ("m", "accusative") else "e"
    else:
        ending = STRONG[case][gender]
    return de.ADJECTIVES[phrase.adjective][1] + ending


def genitive(owner: str) -> str:
    gender, *forms = de.NOUNS[owner]
    return f"der {forms[0]}" if gender == "f" else f"des {forms[3]}"


def noun_phrase(phrase: NounPhrase, case: str) -> str:
    gender, singular, plural, *others = de.NOUNS[phrase.noun]
    noun = plural if phrase.plural else singular
    if others and case == "accusative" and not phrase.plural:
        noun = others[0]
    if phrase.count:
        article = de.NUMERALS[phrase.count]
    elif phrase.det == "the":
        article = "die" if phrase.plural else THE[case][gender]
    else:
        article = A[case][gender] if phrase.det == "a" else ""
    owner = genitive(phrase.owner) if phrase.owner else ""
    return join(article, adjective(phrase, gender, case), noun, owner)


def realise(scene: Scene) -> str:
    accusative = partial(noun_phrase, case="accusative")
    subject = " und ".join(noun_phrase(phrase, "nominative") for phrase in scene.subjects)
    if scene.relative:
        gender = de.NOUNS[scene.subjects[0].noun][0]
        pronoun = "die" if scene.plural else THE["nominative"][gender]
        subject += f", {verb_last(de, scene, pronoun, accusative)},"
    return verb_second(de, scene, subject, accusative)
