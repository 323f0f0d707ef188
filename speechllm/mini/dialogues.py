"""Questions to be read aloud turn by turn, and the dialogues that they belong to."""

import json
import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from speechllm.errors import UserError
from speechllm.mini.grammar import spoken
from speechllm.mini.lessons import NOTED, SUM_UP, draw_summary, shortened
from speechllm.mini.questions import (
    DRAW,
    LANGUAGES,
    Question,
    draw_short_scene,
    questions,
    single,
)
from speechllm.mini.world import Choice

# What is asked in the training set. The rare kinds are asked more often than in dev and test, or some of their words
# would be heard too seldom; and a question may be read by several voices.
TRAIN_KINDS = Choice(
    "scene:5 follow_up:4 repeat:3 translate_word:3 translate_sentence:2 arithmetic:3 count:2 "
    "opposite:3 summary:1"
)
INSTRUCTED_SHARE = 0.2  # of dev and test: statements that are spoken after an instruction in text
NAMES = {
    "all": "dialogues.jsonl",
    "instructed": "instructed.jsonl",  # an instruction in text before the audio
    "reminded": "reminded.jsonl",  # what is to be repeated stands in a turn of text before
}


@dataclass(frozen=True)
class SpokenTurn:
    """What is read aloud as one utterance: turn ``number`` of a question.

    Args:
        instruction: text that stands before it in the same turn, and is not spoken.
    """

    text: str
    question: Question
    number: int
    instruction: str = ""


def turns_to_speak(question: Question) -> tuple[SpokenTurn, ...]:
    return tuple(
        SpokenTurn(text, question, number)
        for number, (role, text) in enumerate(question.turns)
        if role == "user"
    )


def draw_instructed(rng: random.Random) -> tuple[SpokenTurn, ...]:
    """A statement to be translated or summed up as a text before it says."""
    scene = draw_short_scene(rng)
    statement = spoken("en", scene)
    if rng.random() < 0.5:
        kind, instruction, answer = "summary", rng.choice(SUM_UP), spoken("en", shortened(scene))
    else:
        language = rng.choice(sorted(LANGUAGES))
        kind, instruction = "translate_sentence", f"translate into {language}"
        answer = spoken(LANGUAGES[language], scene)
    question = single(kind, f"{instruction} {statement}", answer, split=scene.split)
    return (SpokenTurn(statement, question, 0, instruction),)


def draw_training(num: int, seed: int) -> list[tuple[SpokenTurn, ...]]:
    rng = random.Random(f"spoken questions {seed}")
    draw = DRAW | {"summary": draw_summary}
    found = []
    while len(found) < num:
        question = draw[TRAIN_KINDS(rng)](rng)
        if question.split == "train":
            found.append(turns_to_speak(question))
    return found


def spoken_questions(
    lang: str, num: int, seed: int, split: str
) -> Sequence[tuple[SpokenTurn, ...]]:
    """Questions in turns to be spoken; in dev and test distinct ones, and instructed statements on top.

    Raises:
        UserError: for another language than English.
    """
    if lang != "en":
        raise UserError(f"--speech questions: there are English ones only, not '{lang}'")
    if split == "train":
        return draw_training(num, seed)
    found = [turns_to_speak(question) for question in questions(num, seed, split)]
    rng = random.Random(f"instructed {seed} {split}")
    instructed = {}
    while len(instructed) < int(INSTRUCTED_SHARE * num):
        turns = draw_instructed(rng)
        if turns[0].question.split == split:
            instructed[turns[0].question] = turns
    return found + list(instructed.values())


def write_dialogues(root: Path, readings: list, results: list[list]) -> None:
    """Beside the transcripts of dev and test: whole dialogues as JSON lines, see data/dialogue.py.

    Args:
        readings, results: of corpus.record, whose sentences are SpokenTurns.
    """
    lines: dict[tuple[str, str], list[str]] = {}
    for reading, utterances in zip(readings, results, strict=True):
        if reading.set_name == "train":
            continue
        # The same words may be asked as they are and after an instruction, which makes two dialogues.
        dialogues: dict[tuple[Question, str], dict[int, object]] = {}
        for utt in utterances:
            turn = utt.sentence
            kind = "instructed" if turn.instruction else "all"
            dialogues.setdefault((turn.question, kind), {})[turn.number] = utt
        for (question, kind), spoken_by_number in dialogues.items():
            line = dialogue_line(question, spoken_by_number)
            lines.setdefault((reading.set_name, NAMES[kind]), []).append(line)
            if question.kind == "repeat":
                line = dialogue_line(question, spoken_by_number, reminder=question.answer)
                lines.setdefault((reading.set_name, NAMES["reminded"]), []).append(line)
    for (set_name, name), found in lines.items():
        (root / set_name / name).write_text("".join(found), encoding="utf-8")


def dialogue_line(question: Question, spoken_by_number: dict, reminder: str = "") -> str:
    """The dialogue of a question whose user turns were spoken, after a turn of text if there is a reminder."""
    turns = []
    if reminder:
        turns = [{"role": "user", "text": reminder}, {"role": "assistant", "text": NOTED}]
    for number, (role, text) in enumerate(question.turns):
        if role != "user":
            turns.append({"role": role, "text": text})
            continue
        utt = spoken_by_number[number]
        speaker, book, _ = utt.name.split("_")
        audio = {
            "audio": f"audio/{speaker}/{book}/{utt.name}.flac",
            "transcript": utt.sentence.text,
        }
        if utt.sentence.instruction:
            turns.append({"role": role, "parts": [{"text": utt.sentence.instruction}, audio]})
        else:
            turns.append({"role": role, **audio})
    last = spoken_by_number[max(spoken_by_number)]
    dialogue = {"id": last.name, "kind": question.kind, "turns": turns}
    dialogue |= {"answer": question.answer, "aliases": list(question.aliases)}
    return json.dumps(dialogue, ensure_ascii=False) + "\n"
