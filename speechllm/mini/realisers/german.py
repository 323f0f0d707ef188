"""German sentences."""

from speechllm.mini.lexicon import de
from speechllm.mini.realisers.english import join
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
    return join("der" if gender == "f" else "des", forms[0] if gender == "f" else forms[3])


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


def noun_phrases(phrases: tuple[NounPhrase, ...], case: str) -> str:
    return " und ".join(noun_phrase(phrase, case) for phrase in phrases)


def relative_clause(scene: Scene) -> str:
    if scene.relative is None:
        return ""
    gender = de.NOUNS[scene.subjects[0].noun][0]
    pronoun = "die" if scene.plural else THE["nominative"][gender]
    verb = scene.relative.verb
    thing = noun_phrase(scene.relative.object, "accusative")
    return join(pronoun, de.PREPOSITIONS.get(verb, ""), thing, de.VERBS[verb][int(scene.plural)])


def realise(scene: Scene) -> str:
    """The finite verb comes second, the rest of the verb last; a clause about the subject ends with its verb."""
    subject = join(noun_phrases(scene.subjects, "nominative"), relative_clause(scene))
    forms = de.VERBS[scene.verb]
    finite, rest = forms[int(scene.plural)], ""
    if scene.modal:
        finite, rest = de.VERBS["can"][int(scene.plural)], forms[1]
    elif scene.past:
        finite, rest = de.VERBS["have"][int(scene.plural)], forms[2]
    time = de.TIMES.get(scene.time, "")
    start = join(time, finite, subject) if scene.time_first else join(subject, finite, time)
    return join(
        start,
        de.PREPOSITIONS.get(scene.verb, "") if scene.objects else "",
        noun_phrases(scene.objects, "accusative"),
        de.NOT if scene.negated else "",
        de.PLACES.get(scene.place, ""),
        de.ADJECTIVES[scene.predicate][0] if scene.predicate else "",
        rest,
    )
