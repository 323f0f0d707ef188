"""Random scenes of the made-up world: habits mostly, and now and then something else."""

import itertools
import random
from dataclasses import dataclass

from speechllm.mini import scripts
from speechllm.mini.scene import NounPhrase, Relative, Scene

ANIMALS = ("bird", "cat", "cow", "dog", "horse", "mouse")
NEED_PLACE = {"be", "travel"}
PAST_VERBS = {"catch", "eat", "buy", "bring"}
MODAL_VERBS = {"swim", "read", "write", "sing", "play", "see", "buy"}
UNUSUAL = 0.06  # how often a part of an event is none of its script's


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


class Scripts:
    """Some scripts, drawn by their weights."""

    def __init__(self, entries: list[Script]):
        self.entries = entries
        self.cumulative = list(itertools.accumulate(entry.weight for entry in entries))

    def __call__(self, rng: random.Random) -> Script:
        return rng.choices(self.entries, cum_weights=self.cumulative)[0]


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


ALL = read_scripts(scripts.SCRIPTS)
EVENTS = Scripts(ALL)
ON_SOMETHING = Scripts([entry for entry in ALL if entry.objects])
ALONE = Scripts([entry for entry in ALL if not entry.objects])
ABLE = Scripts([entry for entry in ALL if entry.verb in MODAL_VERBS])
DENIED = Scripts([entry for entry in ALL if not entry.objects and entry.verb != "be"])

OWNERS = read_choices(scripts.OWNERS)
ADJECTIVES = read_choices(scripts.ADJECTIVES)
PREDICATES = read_choices(scripts.PREDICATES)
PREDICATED = Choice(
    "soup:2 coffee:2 water:2 sea:3 house:4 boat:4 apple:4 flower:4 hat:3 fish:3 bread:2 milk:2 "
    "cat:3 dog:3 horse:3 fisherman:3 teacher:3 knight:2 glass:3 moon:2"
)
PAST_TIMES = Choice("this_morning:4 today:1 this_year:4")
STATIVE_TIMES = Choice("today:5 winter:3 every_day:1 night:2 summer:3")
SINGLE = {"sea", "moon", "soup", "coffee", "water", "bread", "milk"}  # said of one, or of a mass
IN_NUMBERS = {"apple", "egg", "fish", "flower", "letter", "book"}  # bought or caught by the ten
FEW = Choice("2:4 3:3 4:2")
MANY = Choice("2:4 3:3 4:3 8:6 10:4")
MOST_WITH_ADJECTIVE = 4
KINDS = Choice("event:65 negated:7 modal:9 relative:9 predicate:10")

PEOPLE = sorted({agent for entry in ALL for agent in entry.agents.items} - set(ANIMALS))
SPOTS = sorted(
    {place for entry in ALL for place in entry.places.items if not place.startswith("to_")}
    - {"in_sea", "in_lake"}
)
TIMES = sorted({time for entry in ALL for time in entry.times.items})


def draw_agent(entry: Script, rng: random.Random) -> str:
    if rng.random() < UNUSUAL:
        return rng.choice(ANIMALS if set(entry.agents.items) <= set(ANIMALS) else PEOPLE)
    return entry.agents(rng)


def draw_place(entry: Script, rng: random.Random) -> str:
    if not entry.places:
        return ""
    if rng.random() < UNUSUAL and entry.verb not in ("swim", "travel"):
        return rng.choice(SPOTS)
    return entry.places(rng)


def draw_time(entry: Script, rng: random.Random) -> str:
    return rng.choice(TIMES) if rng.random() < UNUSUAL else entry.times(rng)


def draw_subject(agent: str, rng: random.Random) -> NounPhrase:
    draw = rng.random()
    if agent in OWNERS and draw < 0.35:
        return NounPhrase(agent, owner=OWNERS[agent](rng))
    if agent in ANIMALS and draw < 0.45:
        return NounPhrase(agent, "zero", plural=True, count=int(FEW(rng)))
    adjective = ADJECTIVES[agent](rng) if agent in ADJECTIVES and rng.random() < 0.25 else ""
    return NounPhrase(agent, plural=draw > 0.64, adjective=adjective)


def draw_object(item: str, rng: random.Random) -> NounPhrase:
    """Several of something, if it can be counted; else what the script says."""
    kind, noun = item.split(".")
    adjective = ""
    if noun in ADJECTIVES and kind != "the" and rng.random() < 0.35:
        adjective = ADJECTIVES[noun](rng)
    if kind == "a" and rng.random() < 0.45:
        count = int((MANY if noun in IN_NUMBERS else FEW)(rng))
        adjective = adjective if count <= MOST_WITH_ADJECTIVE else ""
        return NounPhrase(noun, "zero", plural=True, count=count, adjective=adjective)
    det = kind if kind in ("a", "the") else "zero"
    return NounPhrase(noun, det, plural=kind == "s", adjective=adjective)


def draw_objects(entry: Script, rng: random.Random) -> tuple[NounPhrase, ...]:
    if not entry.objects:
        return ()
    items = [entry.objects(rng), entry.objects(rng)]
    pair = items[0] != items[1] and all(item[:2] in ("0.", "s.") for item in items)
    if pair and rng.random() < 0.2:
        return tuple(NounPhrase(item[2:], "zero", plural=item[0] == "s") for item in items)
    return (draw_object(items[0], rng),)


def draw_event(
    entry: Script, rng: random.Random, modal: bool = False, negated: bool = False
) -> Scene:
    """A scene after one script, in the past for some verbs."""
    objects = draw_objects(entry, rng)
    agent, other = draw_agent(entry, rng), draw_agent(entry, rng)
    taken = {phrase.noun for phrase in objects}
    while agent in taken:  # nobody meets himself
        agent = draw_agent(entry, rng)
    if other not in {agent, *taken} and rng.random() < 0.15:
        subjects = (NounPhrase(agent), NounPhrase(other))
    else:
        subjects = (draw_subject(agent, rng),)
    usual = agent in entry.agents.items  # keeps rare forms of rare pasts out
    past = entry.verb in PAST_VERBS and usual and not modal and rng.random() < 0.5
    place = ""
    if entry.verb in NEED_PLACE or rng.random() < (0.45 if objects else 0.85):
        place = draw_place(entry, rng)
    time = ""
    if rng.random() < 0.4:
        time = PAST_TIMES(rng) if past else draw_time(entry, rng)
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
        entry, main = ON_SOMETHING(rng), ALONE(rng)
        agent = entry.agents(rng)
        thing = draw_object(entry.objects(rng), rng)
        if agent in main.agents.items and agent not in ANIMALS and agent != thing.noun:
            break
    subject = NounPhrase(agent, plural=rng.random() < 0.35)
    relative = Relative(entry.verb, thing)
    return Scene(main.verb, (subject,), place=draw_place(main, rng), relative=relative)


def draw_predicate(rng: random.Random) -> Scene:
    """Something is as it is."""
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
        return draw_event(DENIED(rng), rng, negated=True)
    if kind == "modal":
        return draw_event(ABLE(rng), rng, modal=True)
    return draw_event(EVENTS(rng), rng)
