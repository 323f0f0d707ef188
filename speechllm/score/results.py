"""results.json: every figure of a run as one row, merged from one scoring to the next."""

import json
import os
from pathlib import Path

from speechllm.errors import UserError
from speechllm.score.table import render

KEYS = (
    "system",
    "set",
    "lang",
    "metric",
    "normalised",
    "value",
    "low",
    "high",
    "num_utts",
    "commit",
    "command",
)
PUBLISHED_KEYS = ("system", "lang", "value", "source")


def read_results(path: Path) -> list[dict]:
    """Rows of results.json; none where there is no file.

    Raises:
        UserError: not a list of rows with the keys above.
    """
    if not path.exists():
        return []
    try:
        rows = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise UserError(f"{path}: not JSON ({error}); delete it and score again") from None
    if not isinstance(rows, list) or not all(
        isinstance(r, dict) and r.keys() >= set(KEYS) for r in rows
    ):
        raise UserError(
            f"{path}: not a list of rows with {', '.join(KEYS)}; delete it and score again"
        )
    return rows


def merge(old: list[dict], new: list[dict]) -> list[dict]:
    """Replace the rows of every (system, set) in ``new``, in their old place; keep the others.

    Old comparisons with a system that was scored anew (metrics "..._vs_<system>") are dropped.
    """
    fresh: dict[tuple[str, str], list[dict]] = {}
    for row in new:
        fresh.setdefault((row["system"], row["set"]), []).append(row)
    merged = []
    replaced = set()
    for row in old:
        key = row["system"], row["set"]
        if key in fresh:
            merged += [] if key in replaced else fresh[key]
            replaced.add(key)
        elif (row["metric"].partition("_vs_")[2], row["set"]) not in fresh:
            merged.append(row)
    for key, rows in fresh.items():
        merged += [] if key in replaced else rows
    return merged


def write_results(out_dir: Path, rows: list[dict], published: list[dict] | None = None) -> str:
    """Write results.json and RESULTS.md; returns the text of the latter.

    Args:
        rows: with KEYS; BLEU rows have a "signature" too.
        published: figures of others, see ``read_published``.
    """
    out_dir.mkdir(parents=True, exist_ok=True)
    lines = []
    for row in rows:
        ordered = {key: row[key] for key in KEYS} | row
        lines.append(json.dumps(ordered, ensure_ascii=False))
    text = render(rows, published or [])
    replace_text(out_dir / "RESULTS.md", text)
    replace_text(out_dir / "results.json", "[\n" + ",\n".join(lines) + "\n]\n")
    return text


def read_published(path: Path) -> list[dict]:
    """Read a tab-separated table with the columns system, lang, value, source.

    A value is a WER on the set "test" unless columns "metric" and "set" say otherwise. The source
    is a reference, or "unverified".

    Raises:
        UserError: a column is missing, a line is too short, a value is no number or has no source.
    """
    if not path.exists():
        raise UserError(f"{path}: no such file; --published names a table of published results")
    lines = path.read_text(encoding="utf-8").splitlines()
    header = lines[0].split("\t") if lines else []
    if missing := [key for key in PUBLISHED_KEYS if key not in header]:
        raise UserError(
            f"{path}:1: no column {missing[0]!r}; the columns are {', '.join(PUBLISHED_KEYS)}"
        )
    rows = []
    for number, line in enumerate(lines[1:], 2):
        if not line.strip():
            continue
        row = {"metric": "wer", "set": "test"} | dict(zip(header, line.split("\t"), strict=False))
        if not all(row.get(key, "").strip() for key in PUBLISHED_KEYS):
            wanted = ", ".join(PUBLISHED_KEYS)
            raise UserError(f"{path}:{number}: should have {wanted} (or 'unverified' for a source)")
        try:
            row["value"] = float(row["value"])
        except ValueError:
            raise UserError(f"{path}:{number}: value {row['value']!r} is no number") from None
        rows.append(row)
    return rows


def replace_text(path: Path, text: str) -> None:
    """Write a text file under a temporary name, then rename it."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.write_text(text, encoding="utf-8")
    os.replace(temporary, path)
