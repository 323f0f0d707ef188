"""Kaldi tables: sorted text files of key and value, read and written as streams."""

import heapq
import os
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from itertools import islice
from pathlib import Path

from speechllm.errors import UserError

RUN_SIZE = 1_000_000  # rows that are sorted in memory at once


@contextmanager
def atomic_write(path: str | Path, mode: str = "w"):
    """Open a temporary file beside ``path`` that takes its name only when all is written."""
    tmp = f"{path}.tmp"
    with open(tmp, mode, encoding=None if "b" in mode else "utf-8") as file:
        yield file
    os.replace(tmp, path)


def iter_table(path: str | Path) -> Iterator[tuple[str, str]]:
    """Yield (key, value) of a Kaldi table; the value may be empty.

    Raises:
        UserError: no such file, not UTF-8, a line without key, keys not unique or not in the order of LC_ALL=C.
    """
    last, number = "", 0
    try:
        with open(path, encoding="utf-8", newline="\n") as file:
            for number, line in enumerate(file, start=1):  # noqa: B007  the error below needs it
                key, _, value = line.rstrip("\r\n").partition(" ")
                if "\t" in key:
                    key, _, value = line.rstrip("\r\n").partition("\t")
                if not key:
                    raise UserError(f"{path}:{number}: a line without utterance id; remove it")
                if key <= last:
                    wrong = "stands twice" if key == last else f"comes after {last}"
                    raise UserError(
                        f"{path}:{number}: {key} {wrong}; sort uniquely, LC_ALL=C sort -u"
                    )
                last = key
                yield key, value.strip()
    except FileNotFoundError as error:
        raise UserError(f"{path}: no such file; has the stage that writes it finished?") from error
    except UnicodeDecodeError as error:
        raise UserError(
            f"{path}:{number + 1}: not UTF-8 ({error.reason}); convert the file"
        ) from error


def read_table(path: str | Path) -> dict[str, str]:
    """All of a Kaldi table; see ``iter_table``."""
    return dict(iter_table(path))


def write_table(path: str | Path, rows: dict[str, str] | Iterable[tuple[str, str]]):
    """Write a Kaldi table, sorted, in one step."""
    rows = rows.items() if isinstance(rows, dict) else rows
    with atomic_write(path) as file:
        for key, value in sorted(rows):
            file.write(f"{key} {value}\n" if value else f"{key}\n")


def sorted_rows(rows: Iterable[tuple], run_size: int = RUN_SIZE) -> Iterator[tuple]:
    """Sort tuples of strings without line ends or tabs, through temporary files where they are many.

    Code points order as UTF-8 bytes do, so this is the order of LC_ALL=C.
    """
    rows = iter(rows)
    with ExitStack() as stack:
        runs = []
        while run := sorted(islice(rows, run_size)):
            if not runs and len(run) < run_size:
                yield from run
                return
            file = stack.enter_context(tempfile.TemporaryFile("w+", encoding="utf-8", newline="\n"))
            file.writelines("\t".join(row) + "\n" for row in run)
            file.seek(0)
            runs.append(tuple(line.rstrip("\n").split("\t")) for line in file)
        yield from heapq.merge(*runs)
