"""Make a whole made-up corpus, language by language; an interrupted run leaves no half of one."""

import json
import os
import shutil
import sys
import time
from pathlib import Path

from speechllm.errors import UserError
from speechllm.mini import covost_layout, mls_layout
from speechllm.mini.corpus import Size, fingerprint, plan, record, single_sentences
from speechllm.mini.dialogues import spoken_questions, write_dialogues

LAYOUTS = {"mls": mls_layout, "covost2": covost_layout}
MADE = "made.json"  # in every language's folder: what it was made from


class Progress:
    """One line that is written over and over on a terminal; elsewhere only its end is printed."""

    def __init__(self, lang: str, num_speakers: int):
        self.lang, self.num_speakers = lang, num_speakers
        self.started = time.monotonic()
        self.live = sys.stderr.isatty()

    def __call__(self, done: int) -> None:
        if self.live:
            line = f"\r{self.lang}: {done} of {self.num_speakers} speakers"
            print(line, end="", file=sys.stderr, flush=True)

    def end(self, num_utts: int, seconds: float) -> None:
        spent = time.monotonic() - self.started
        line = (
            f"{self.lang}: {num_utts} utterances, {seconds / 60:.1f} minutes, made in {spent:.1f} s"
        )
        print("\r" * self.live + line, file=sys.stderr, flush=True)


def make_corpus(
    out: str,
    layout: str,
    langs: str | None,
    train_hours: float,
    dev_utts: int,
    test_utts: int,
    speakers: int,
    seed: int,
    nj: int,
    speech: str = "sentences",
) -> None:
    """Write one folder per language below ``out``; a finished one with the same settings is kept.

    Args:
        speech: what is said: "sentences", or "questions" (English, layout mls), of dev and test with their dialogues.

    Raises:
        UserError: for an unknown language, a size that is not positive, a folder that is not ours.
    """
    names = langs.split() if langs is not None else list(LAYOUTS[layout].FOLDERS)
    if not names:
        raise UserError("--langs is empty; name at least one language, e.g. 'en de'")
    for lang in names:
        if lang not in LAYOUTS[layout].FOLDERS:
            choice = " ".join(LAYOUTS[layout].FOLDERS)
            raise UserError(
                f"--langs: layout {layout} has no language '{lang}'; choose from {choice}"
            )
    numbers = {"train_hours": train_hours, "dev_utts": dev_utts, "test_utts": test_utts}
    for option, value in (numbers | {"speakers": speakers, "nj": nj}).items():
        if value <= 0:
            raise UserError(f"--{option} is {value}; it should be above 0")
    if speech == "questions" and layout != "mls":
        raise UserError(f"--speech questions: layout mls has them, {layout} has not")
    size = Size(train_hours * 3600 / len(names), dev_utts, test_utts, speakers, seed)
    for lang in names:
        make_language(Path(out), layout, lang, size, nj, speech)


def make_language(
    out: Path, layout: str, lang: str, size: Size, nj: int, speech: str = "sentences"
) -> None:
    """Write one language's folder under another name, which it loses when it is complete."""
    module = LAYOUTS[layout]
    readings = plan(lang, size, spoken_questions if speech == "questions" else single_sentences)
    made_from = fingerprint(readings, size) | {"layout": layout}
    root = out / module.FOLDERS[lang]
    if root.exists():
        if not (root / MADE).is_file():
            raise UserError(f"{root} was not made by this command; choose another --out")
        if json.loads((root / MADE).read_text()) == made_from:
            print(f"{root} is already made with these settings")
            return
    partial = root.with_name(root.name + ".partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    progress = Progress(lang, len(readings))
    results = record(readings, module.writer(partial), nj, progress)
    module.write_index(partial, readings, results)
    if speech == "questions":
        write_dialogues(partial, readings, results)
    (partial / MADE).write_text(json.dumps(made_from))
    if root.exists():
        shutil.rmtree(root)
    os.replace(partial, root)
    spoken = [utterance for utterances in results for utterance in utterances]
    progress.end(len(spoken), sum(utterance.seconds for utterance in spoken))
