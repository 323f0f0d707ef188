"""What the small chat LLM is taught: endless dialogues of the training split."""

import random
from collections.abc import Callable, Iterator
from dataclasses import replace

from speechllm.mini.asking import ask_about
from speechllm.mini.grammar import spoken
from speechllm.mini.questions import (
    DRAW,
    ORDERS,
    Question,
    draw_short_scene,
    may_stand_alone,
    single,
)
from speechllm.mini.scene import Scene
from speechllm.mini.world import NEED_PLACE, Choice

NOTED = "i see"  # what it says to a statement
ARTICLES = {"the", "a", "an"}
NO_NOUN_PHRASE = (
    ARTICLES
    | set("is are was were do does did not can could and who in on at by to for".split())
    | {""}
)
SUM_UP = ("sum up", "in short", "the short form of")
# In another mixture than the world asks (KINDS in questions.py): sentences in seven languages and sums take longest to
# learn. Jumbles are there because of a fault: an LLM that repeats real sentences only says "the hat is white", which it
# has often read, where it is told to repeat "the flower is white", which it has never read.
LESSONS = Choice(
    "interview:6 scene:3 follow_up:2 repeat:2 jumble:2 translate_word:3 translate_sentence:8 "
    "arithmetic:5 count:2 opposite:1 summary:1 statement:1 reminder:1"
)


def shortened(scene: Scene) -> Scene:
    """Who does what to what, and nothing else; a place stays where the verb needs one."""
    return replace(
        scene,
        subjects=tuple(replace(noun, adjective="") for noun in scene.subjects),
        objects=tuple(replace(noun, adjective="") for noun in scene.objects),
        place=scene.place if scene.verb in NEED_PLACE else "",
        time="",
        relative=None,
    )


def draw_summary(rng: random.Random) -> Question:
    """A sentence without its ornaments; what is left of it is of the same split."""
    while shortened(scene := draw_short_scene(rng)).split != scene.split:
        pass
    text = f"{rng.choice(SUM_UP)} {spoken('en', scene)}"
    return single("summary", text, spoken("en", shortened(scene)), split=scene.split)


def draw_statement(rng: random.Random) -> Question:
    scene = draw_short_scene(rng)
    return single("statement", spoken("en", scene), NOTED, split=scene.split)


def draw_reminder(rng: random.Random) -> Question:
    """What is to be repeated is said badly, but it was said well in the turn before."""
    scene, other = draw_short_scene(rng), draw_short_scene(rng)
    statement, wrong = spoken("en", scene), spoken("en", other).split()
    words = [rng.choice(wrong) if rng.random() < 0.3 else word for word in statement.split()]
    said = " ".join(word for word in words if rng.random() > 0.1)
    order = rng.choice(ORDERS)
    turns = (("user", statement), ("assistant", NOTED), ("user", f"{order} {said}".strip()))
    return Question("reminder", turns, statement, (), scene.split)


def is_out_of_order(words: list[str]) -> bool:
    """Whether an article stands where no sentence has one: before a word that begins no noun phrase, or last."""
    return any(
        word in ARTICLES and after in NO_NOUN_PHRASE
        for word, after in zip(words, [*words[1:], ""], strict=True)
    )


def draw_jumble(rng: random.Random) -> Question:
    """The words of a sentence in an order that no sentence has, another split's neither; to be repeated."""
    while True:
        scene = draw_short_scene(rng)
        words = spoken("en", scene).split()
        said = rng.sample(words, len(words))
        if is_out_of_order(said):
            break
    text = " ".join(said)
    return single("jumble", f"{rng.choice(ORDERS)} {text}", text, split=scene.split)


def draw_interview(rng: random.Random) -> Question:
    """Questions about a scene, one after the other, in full or as "and where"."""
    while len(asked := ask_about(scene := draw_short_scene(rng))) < 2:
        pass
    rng.shuffle(asked)
    words = [item.word for item in asked]
    statement = spoken("en", scene)
    turns: list[tuple[str, str]] = []
    if rng.random() < 0.5 and may_stand_alone(asked[0], scene):
        turns = [("user", statement), ("assistant", NOTED)]
    for number, item in enumerate(asked):
        alone = may_stand_alone(item, scene)
        if not turns:
            text = f"{statement} {item.question}"
        elif number and words.count(item.word) == 1 and not (alone and rng.random() < 0.6):
            text = f"and {item.word}"
        elif alone:
            text = item.question
        else:
            continue
        last = item
        turns += [("user", text), ("assistant", item.answer)]
    return Question("interview", tuple(turns[:-1]), last.answer, last.aliases, scene.split)


LESSON_DRAW: dict[str, Callable[[random.Random], Question]] = DRAW | {
    "summary": draw_summary,
    "statement": draw_statement,
    "interview": draw_interview,
    "reminder": draw_reminder,
    "jumble": draw_jumble,
}


def lessons(seed: int) -> Iterator[Question]:
    """Endless dialogues of the training split."""
    rng = random.Random(f"lessons {seed}")
    while True:
        draw = LESSON_DRAW[LESSONS(rng)]
        while (question := draw(rng)).split != "train":
            pass
        yield question
