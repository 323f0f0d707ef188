"""Polish sentences."""

from speechllm.mini.lexicon import pl
from speechllm.mini.realisers.english import join
from speechllm.mini.scene import NounPhrase, Scene

NOMINATIVE_ENDINGS = {"mv": "y", "ma": "y", "mi": "y", "f": "a", "n": "e"}
ACCUSATIVE_ENDINGS = {"mv": "ego", "ma": "ego", "mi": "y", "f": "ą", "n": "e"}
WHO = {"mv": "który", "ma": "który", "f": "która", "n": "które"}
GENITIVE_FROM = 5  # five and more of something


def adjective(name: str, gender: str, plural: bool, count: int, accusative: bool) -> str:
    if not name:
        return ""
    stem, of_men = pl.ADJECTIVES[name]
    if count >= GENITIVE_FROM:
        return stem + "ych"
    if plural:
        return of_men if gender == "mv" else stem + "e"
    return stem + (ACCUSATIVE_ENDINGS if accusative else NOMINATIVE_ENDINGS)[gender]


def noun_phrase(phrase: NounPhrase, accusative: bool = False) -> str:
    gender, nominative, accusative_form, _, plural, genitive_plural = pl.NOUNS[phrase.noun]
    numeral = pl.NUMERALS[phrase.count] if phrase.count else ""
    if phrase.count == 2 and gender == "f":
        numeral = pl.TWO_FEMININE
    if phrase.count >= GENITIVE_FROM:
        noun = genitive_plural
    elif phrase.plural:
        noun = plural
    else:
        noun = accusative_form if accusative else nominative
    owner = pl.NOUNS[phrase.owner][3] if phrase.owner else ""
    words = adjective(phrase.adjective, gender, phrase.plural, phrase.count, accusative)
    return join(numeral, words, noun, owner)


def of_men(scene: Scene) -> bool:
    """Whether the plural is that of men: one man among the subjects is enough."""
    return any(pl.NOUNS[phrase.noun][0] == "mv" for phrase in scene.subjects)


def verb_group(scene: Scene) -> str:
    forms = pl.VERBS[scene.verb]
    if scene.modal:
        group = join(pl.VERBS["can"][int(scene.plural)], forms[2])
    elif scene.past:
        gender = pl.NOUNS[scene.subjects[0].noun][0]
        singular = {"f": 4, "n": 5}.get(gender, 3)
        group = forms[(6 if of_men(scene) else 7) if scene.plural else singular]
    else:
        group = forms[int(scene.plural)]
    return join("nie" if scene.negated else "", group.replace("_", " "))


def relative_clause(scene: Scene) -> str:
    verb = scene.relative.verb
    if scene.plural:
        pronoun = "którzy" if of_men(scene) else "które"
    else:
        pronoun = WHO[pl.NOUNS[scene.subjects[0].noun][0]]
    form = pl.VERBS[verb][int(scene.plural)].replace("_", " ")
    preposition = pl.PREPOSITIONS.get(verb, "")
    return join(pronoun, form, preposition, noun_phrase(scene.relative.object, accusative=True))


def realise(scene: Scene) -> str:
    time = pl.TIMES.get(scene.time, "")
    gender = pl.NOUNS[scene.subjects[0].noun][0]
    subject = " i ".join(noun_phrase(phrase) for phrase in scene.subjects)
    return join(
        time if scene.time_first else "",
        subject + (f", {relative_clause(scene)}," if scene.relative else ""),
        verb_group(scene),
        pl.PREPOSITIONS.get(scene.verb, ""),
        " i ".join(noun_phrase(phrase, accusative=True) for phrase in scene.objects),
        adjective(scene.predicate, gender, scene.plural, 0, accusative=False),
        pl.PLACES.get(scene.place, ""),
        "" if scene.time_first else time,
    )
