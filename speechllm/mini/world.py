"""Random scenes of the made-up world."""

import itertools
import random
from dataclasses import dataclass

from speechllm.mini import scripts
from speechllm.mini.scene import NounPhrase, Relative, Scene

ANIMALS = {"cat", "dog", "horse", "bird", "mouse", "cow"}
NEED_PLACE = {"be", "travel"}
PAST_VERBS = {"bake", "catch", "eat", "buy", "write", "see", "bring"}
MODAL_VERBS = {"swim", "read", "write", "sing", "play", "see", "buy"}


class Choice:
    """A weighted choice, written as "bread:5 cake:3"."""

    def __init__(self, spec: str):
        pairs = [item.rpartition(":") for item in spec.split()]
        self.items = [name for name, _, _ in pairs]
        self.cumulative = list(itertools.accumulate(int(weight) for _, _, weight in pairs))

    def __call__(self, rng: random.Random) -> str:
        return rng.choices(self.items, cum_weights=self.cumulative)[0]

    def __bool__(self) -> bool:
        return bool(self.items)


@dataclass(frozen=True)
class Script:
    """One kind of event with its usual parts."""

    verb: str
    weight: int
    agents: Choice
    objects: Choice
    places: Choice
    times: Choice


def read_scripts(text: str) -> list[Script]:
    found = []
    for line in text.strip().splitlines():
        if not line.startswith(" "):
            verb, weight = line.split()
            found.append([verb, int(weight)])
        else:
            found[-1].append(Choice("" if line.strip() == "-" else line))
    return [Script(*fields) for fields in found]


def read_choices(text: str) -> dict[str, Choice]:
    rows = (line.split(" ", 1) for line in text.strip().splitlines())
    return {noun: Choice(spec) for noun, spec in rows}


ALL_SCRIPTS = read_scripts(scripts.SCRIPTS)
OWNERS = read_choices(scripts.OWNERS)
ADJECTIVES = read_choices(scripts.ADJECTIVES)
PREDICATES = read_choices(scripts.PREDICATES)
INTRANSITIVE = [entry for entry in ALL_SCRIPTS if not entry.objects]
TRANSITIVE = [entry for entry in ALL_SCRIPTS if entry.objects]
PAST_TIMES = Choice("this_morning:5 today:3 this_year:2")
PREDICATED = Choice(
    "soup:3 coffee:3 water:3 sea:3 house:3 boat:2 apple:4 flower:4 hat:2 fish:3 bread:2 milk:2 cat:3 dog:3 "
    "horse:3 fisherman:2 teacher:2 moon:2"
)
STATIVE_TIMES = Choice("today:5 winter:3 every_day:1 night:2 summer:3")
SINGLE = {"sea", "moon", "soup", "coffee", "water", "bread", "milk"}  # said of one, or of a mass
NUMERALS = Choice("2:5 3:4 4:3 8:4 10:2")
FEW = Choice("2:4 3:3")
KINDS = Choice("event:66 negated:7 modal:9 relative:9 predicate:9")


def by_weight(entries: list[Script]) -> Choice:
    return Choice(" ".join(f"{index}:{entry.weight}" for index, entry in enumerate(entries)))


ANY, WITHOUT_OBJECT, WITH_OBJECT = (
    by_weight(ALL_SCRIPTS),
    by_weight(INTRANSITIVE),
    by_weight(TRANSITIVE),
)
ABLE = [entry for entry in ALL_SCRIPTS if entry.verb in MODAL_VERBS]
WITH_MODAL = by_weight(ABLE)
NEGATABLE = [entry for entry in INTRANSITIVE if entry.verb != "be"]
WITH_NEGATION = by_weight(NEGATABLE)


def draw_subject(agent: str, rng: random.Random) -> NounPhrase:
    draw = rng.random()
    if agent in OWNERS and draw < 0.25:
        return NounPhrase(agent, owner=OWNERS[agent](rng))
    if agent in ANIMALS and draw < 0.35:
        return NounPhrase(agent, "zero", plural=True, count=int(FEW(rng)))
    plural = draw > 0.68
    adjective = ADJECTIVES[agent](rng) if agent in ADJECTIVES and rng.random() < 0.25 else ""
    return NounPhrase(agent, plural=plural, adjective=adjective)


def draw_object(item: str, rng: random.Random) -> NounPhrase:
    kind, noun = item.split(".")
    adjective = (
        ADJECTIVES[noun](rng)
        if noun in ADJECTIVES and kind != "the" and rng.random() < 0.35
        else ""
    )
    if kind == "a" and rng.random() < 0.35:
        return NounPhrase(noun, "zero", plural=True, count=int(NUMERALS(rng)), adjective=adjective)
    det = {"0": "zero", "s": "zero"}.get(kind, kind)
    return NounPhrase(noun, det, plural=kind == "s", adjective=adjective)


def draw_objects(entry: Script, rng: random.Random) -> tuple[NounPhrase, ...]:
    if not entry.objects:
        return ()
    item = entry.objects(rng)
    if item[:2] in ("0.", "s.") and rng.random() < 0.2:
        other = entry.objects(rng)
        if other != item and other[:2] in ("0.", "s."):
            return tuple(
                NounPhrase(name.split(".")[1], "zero", name[0] == "s") for name in (item, other)
            )
    return (draw_object(item, rng),)


def draw_event(
    entry: Script, rng: random.Random, modal: bool = False, negated: bool = False
) -> Scene:
    agent, other = entry.agents(rng), entry.agents(rng)
    objects = draw_objects(entry, rng)
    while agent == objects[0].noun if objects else False:  # nobody meets himself
        agent = entry.agents(rng)
    if other != agent and objects[:1] != (NounPhrase(other),) and rng.random() < 0.15:
        subjects = (NounPhrase(agent), NounPhrase(other))
    else:
        subjects = (draw_subject(agent, rng),)
    past = entry.verb in PAST_VERBS and not modal and rng.random() < 0.35
    time = ""
    if rng.random() < 0.4:
        time = PAST_TIMES(rng) if past else entry.times(rng)
    place = ""
    if entry.verb in NEED_PLACE or rng.random() < (0.45 if objects else 0.85):
        place = entry.places(rng) if entry.places else ""
    if (place, time) == ("in_sun", "night"):
        time = ""
    return Scene(
        entry.verb,
        subjects,
        objects,
        place,
        time,
        time_first=bool(time) and rng.random() < 0.5,
        past=past,
        modal=modal,
        negated=negated,
    )


def draw_relative(rng: random.Random) -> Scene:
    """A scene whose subject is known by what else it does."""
    while True:
        entry = TRANSITIVE[int(WITH_OBJECT(rng))]
        main = INTRANSITIVE[int(WITHOUT_OBJECT(rng))]
        agent = entry.agents(rng)
        thing = draw_object(entry.objects(rng), rng)
        if agent in main.agents.items and agent not in ANIMALS and agent != thing.noun:
            break
    subject = NounPhrase(agent, plural=rng.random() < 0.3)
    relative = Relative(entry.verb, thing)
    return Scene(main.verb, (subject,), place=main.places(rng), relative=relative)


def draw_predicate(rng: random.Random) -> Scene:
    noun = PREDICATED(rng)
    owner = OWNERS[noun](rng) if noun in OWNERS and rng.random() < 0.4 else ""
    plural = not owner and noun not in SINGLE and rng.random() < 0.4
    time = STATIVE_TIMES(rng) if noun in SINGLE and rng.random() < 0.6 else ""
    return Scene(
        "be",
        (NounPhrase(noun, plural=plural, owner=owner),),
        time=time,
        time_first=bool(time) and rng.random() < 0.5,
        predicate=PREDICATES[noun](rng),
    )


def draw_scene(rng: random.Random) -> Scene:
    """One random scene."""
    kind = KINDS(rng)
    if kind == "relative":
        return draw_relative(rng)
    if kind == "predicate":
        return draw_predicate(rng)
    if kind == "negated":
        return draw_event(NEGATABLE[int(WITH_NEGATION(rng))], rng, negated=True)
    if kind == "modal":
        return draw_event(ABLE[int(WITH_MODAL(rng))], rng, modal=True)
    return draw_event(ALL_SCRIPTS[int(ANY(rng))], rng)
