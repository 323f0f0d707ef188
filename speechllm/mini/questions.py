"""English questions with short answers about the made-up world and about words and numbers."""

import random
import zlib
from collections.abc import Callable
from dataclasses import dataclass

from speechllm.errors import UserError
from speechllm.mini.asking import Asked, ask_about
from speechllm.mini.grammar import MAX_WORDS, VAIN, spoken
from speechllm.mini.lexicon import de, en, es, fr, it, nl, pl, pt
from speechllm.mini.scene import SPLITS, Scene
from speechllm.mini.world import Choice, draw_scene

NUMBERS = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen "
    "sixteen seventeen eighteen nineteen twenty"
).split()
OPPOSITES = [
    pair.split("/")
    for pair in (
        "big/small hot/cold black/white summer/winter day/night good/bad fast/slow long/short "
        "full/empty early/late rich/poor up/down left/right open/closed happy/sad strong/weak "
        "first/last high/low loud/quiet thick/thin"
    ).split()
]
ORDERS = ("repeat", "say after me", "please repeat", "say again")
LEXICONS = {"de": de, "nl": nl, "fr": fr, "es": es, "it": it, "pt": pt, "pl": pl}
LANGUAGES = {
    "german": "de",
    "dutch": "nl",
    "french": "fr",
    "spanish": "es",
    "italian": "it",
    "portuguese": "pt",
    "polish": "pl",
}
KINDS = Choice(
    "scene:6 follow_up:4 repeat:3 translate_word:3 translate_sentence:2 arithmetic:3 count:2 "
    "opposite:1"
)


@dataclass(frozen=True)
class Question:
    """A dialogue that ends with a question of the user.

    Args:
        turns: (role, text), role "user" or "assistant"; lower case without punctuation, as spoken.
        answer: the shortest full answer; aliases are right too.
        split: train, dev or test; a question is in one of them, a scene with all its questions.
    """

    kind: str
    turns: tuple[tuple[str, str], ...]
    answer: str
    aliases: tuple[str, ...]
    split: str


def split_of_text(text: str) -> str:
    return SPLITS[max(0, zlib.crc32(text.encode()) // 7 % 10 - 7)]


def single(kind: str, text: str, answer: str, *aliases: str, split: str = "") -> Question:
    turns = (("user", text),)
    return Question(kind, turns, answer, aliases, split or split_of_text(text))


def draw_short_scene(rng: random.Random) -> Scene:
    while True:
        scene = draw_scene(rng)
        if len(spoken("en", scene).split()) <= MAX_WORDS:
            return scene


def draw_about_scene(rng: random.Random) -> Question:
    """A statement and a question about it in one breath."""
    while not (asked := ask_about(scene := draw_short_scene(rng))):
        pass
    item = rng.choice(asked)
    text = f"{spoken('en', scene)} {item.question}"
    return single("scene", text, item.answer, *item.aliases, split=scene.split)


def may_stand_alone(item: Asked, scene: Scene) -> bool:
    """Whether the question may be a turn: other scenes may be asked the same, so its text has a split too."""
    return split_of_text(item.question) == scene.split


def draw_follow_up(rng: random.Random) -> Question:
    """A question that only the turns before it explain."""
    # Drawn first: most scenes are rejected below where a split is small.
    split = draw_short_scene(rng).split
    while True:
        asked = ask_about(scene := draw_short_scene(rng))
        alone = [item for item in asked if may_stand_alone(item, scene)]
        if scene.split == split and len(asked) > 1 and alone:
            break
    second = rng.choice(alone)
    first = rng.choice([item for item in asked if item is not second])
    statement = spoken("en", scene)
    if rng.random() < 0.5:
        turns = [("user", statement), ("assistant", "i see"), ("user", second.question)]
    else:
        turns = [("user", f"{statement} {first.question}"), ("assistant", first.answer)]
        turns.append(
            ("user", f"and {second.word}" if second.word != first.word else second.question)
        )
    return Question("follow_up", tuple(turns), second.answer, second.aliases, scene.split)


def draw_repeat(rng: random.Random) -> Question:
    scene = draw_short_scene(rng)
    order = rng.choice(ORDERS)
    text = spoken("en", scene)
    return single("repeat", f"{order} {text}", text, split=scene.split)


def draw_translate_word(rng: random.Random) -> Question:
    language, noun = rng.choice(sorted(LANGUAGES)), rng.choice(sorted(en.NOUNS))
    english, word = en.NOUNS[noun][0], LEXICONS[LANGUAGES[language]].NOUNS[noun][1]
    text = rng.choice(
        [
            f"what is the {language} word for {english}",
            f"how do you say {english} in {language}",
            f"what does {english} mean in {language}",
            f"what is {english} in {language}",
        ]
    )
    return single("translate_word", text, word.lower())


def draw_translate_sentence(rng: random.Random) -> Question:
    scene = draw_short_scene(rng)
    language = rng.choice(sorted(LANGUAGES))
    text = f"translate into {language} {spoken('en', scene)}"
    return single("translate_sentence", text, spoken(LANGUAGES[language], scene), split=scene.split)


def draw_arithmetic(rng: random.Random) -> Question:
    first, second = rng.randint(0, 10), rng.randint(0, 10)
    operation = rng.choice(["plus", "minus", "times"])
    if operation == "minus":
        first, second = max(first, second), min(first, second)
    if operation == "times":
        first, second = rng.randint(0, 5), rng.randint(0, 4)
    result = {"plus": first + second, "minus": first - second, "times": first * second}[operation]
    task = f"{NUMBERS[first]} {operation} {NUMBERS[second]}"
    words = rng.choice(["what is", "how much is", "tell me", "calculate"])
    answer = NUMBERS[result]
    return single("arithmetic", f"{words} {task}", answer, f"{task} is {answer}")


def draw_count(rng: random.Random) -> Question:
    if rng.random() < 0.4:
        number = rng.randint(1, 19)
        step = rng.choice([-1, 1])
        words = rng.choice(["what comes", "which number comes", "what number is"])
        text = f"{words} {'after' if step > 0 else 'before'} {NUMBERS[number]}"
        return single("count", text, NUMBERS[number + step])
    first, length = rng.randint(0, 14), rng.randint(3, 6)
    numbers = list(range(first, first + length))
    words = "count"
    if rng.random() < 0.4:
        numbers.reverse()
        words = "count down"
    please = rng.choice(["", "please ", "can you "])
    text = f"{please}{words} from {NUMBERS[numbers[0]]} to {NUMBERS[numbers[-1]]}"
    return single("count", text, " ".join(NUMBERS[number] for number in numbers))


def draw_opposite(rng: random.Random) -> Question:
    word, answer = rng.sample(rng.choice(OPPOSITES), 2)
    text = rng.choice(
        [
            f"what is the opposite of {word}",
            f"tell me the opposite of {word}",
            f"which word is the opposite of {word}",
            f"what is not {word} but the opposite",
            f"give me the opposite of {word}",
        ]
    )
    return single("opposite", text, answer)


DRAW: dict[str, Callable[[random.Random], Question]] = {
    "scene": draw_about_scene,
    "follow_up": draw_follow_up,
    "repeat": draw_repeat,
    "translate_word": draw_translate_word,
    "translate_sentence": draw_translate_sentence,
    "arithmetic": draw_arithmetic,
    "count": draw_count,
    "opposite": draw_opposite,
}


def questions(
    num: int, seed: int, split: str | None = None, kinds: tuple[str, ...] = tuple(DRAW)
) -> list[Question]:
    """Distinct questions, the same on every machine.

    Args:
        split: "train", "dev" or "test": only questions that belong there.
        kinds: only these of DRAW's names.

    Raises:
        UserError: when there are fewer such questions.
    """
    rng = random.Random(f"questions {seed}")
    found: dict[tuple, Question] = {}
    vain = 0
    while len(found) < num:
        while (kind := KINDS(rng)) not in kinds:
            pass
        question = DRAW[kind](rng)
        wanted = (split is None or question.split == split) and question.turns not in found
        vain = 0 if wanted else vain + 1
        if wanted:
            found[question.turns] = question
        if vain == VAIN:
            raise UserError(f"only {len(found):,} of {num:,} distinct questions; ask for fewer")
    return list(found.values())
