"""Make a whole made-up corpus, language by language; an interrupted run leaves no half of one."""

import json
import os
import shutil
import sys
import time
from pathlib import Path

from speechllm.errors import UserError
from speechllm.mini import mls_layout
from speechllm.mini.corpus import Size, fingerprint, plan, record

LAYOUTS = {"mls": mls_layout}
MADE = "made.json"  # in every language's folder: what it was made from


def show_progress(text: str, end: str = "") -> None:
    if sys.stderr.isatty() or end:
        print(f"\r{text}", end=end, file=sys.stderr, flush=True)


def make_corpus(
    out: str,
    layout: str,
    langs: str,
    train_hours: float,
    dev_utts: int,
    test_utts: int,
    speakers: int,
    seed: int,
    nj: int,
) -> None:
    """Write one folder per language below ``out``; a finished one with the same settings is kept.

    Raises:
        UserError: for an unknown language, a size that is not positive, a folder that is not ours.
    """
    names = langs.split()
    if not names:
        raise UserError("--langs is empty; name at least one language, e.g. 'en de'")
    for option, value in (("train_hours", train_hours), ("speakers", speakers), ("nj", nj)):
        if value <= 0:
            raise UserError(f"--{option} is {value}; it should be above 0")
    size = Size(train_hours * 3600 / len(names), dev_utts, test_utts, speakers, seed)
    for lang in names:
        make_language(Path(out), layout, lang, size, nj)


def make_language(out: Path, layout: str, lang: str, size: Size, nj: int) -> None:
    module = LAYOUTS[layout]
    made_from = fingerprint(lang, size) | {"layout": layout}
    root = out / module.FOLDERS[lang]
    if root.exists():
        if not (root / MADE).is_file():
            raise UserError(f"{root} was not made by this command; choose another --out")
        if json.loads((root / MADE).read_text()) == made_from:
            print(f"{root} is already made with these settings")
            return
        shutil.rmtree(root)
    partial = root.with_name(root.name + ".partial")
    if partial.exists():
        shutil.rmtree(partial)
    partial.mkdir(parents=True)
    started = time.monotonic()
    readings = plan(lang, size)
    results = record(
        readings,
        module.writer(partial),
        nj,
        lambda done: show_progress(f"{lang}: {done} of {len(readings)} speakers"),
    )
    module.write_index(partial, readings, results)
    (partial / MADE).write_text(json.dumps(made_from))
    os.replace(partial, root)
    seconds = sum(row[-1] - row[-2] for rows in results for row in rows)
    utts = sum(len(rows) for rows in results)
    spent = time.monotonic() - started
    show_progress(
        f"{lang}: {utts} utterances, {seconds / 60:.1f} minutes of speech, made in {spent:.1f} s",
        "\n",
    )
