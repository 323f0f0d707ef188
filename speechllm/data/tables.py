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
    text = {} if "b" in mode else {"encoding": "utf-8", "newline": "\n"}
    try:
        with open(tmp, mode, **text) as file:
            yield file
    except BaseException:
        Path(tmp).unlink(missing_ok=True)
        raise
    os.replace(tmp, path)


def iter_table(path: str | Path) -> Iterator[tuple[str, str]]:
    """Yield (key, value) of a Kaldi table; the value may be empty.

    Raises:
        UserError: no such file, not UTF-8, a line without key, or keys that are not unique and in
            the order of LC_ALL=C.
    """
    last, number = "", 0
    try:
        with open(path, encoding="utf-8", newline="\n") as file:
            for line in file:
                number += 1
                key, value = split_line(line)
                if key <= last:  # code points order as bytes of UTF-8 do
                    raise UserError(f"{path}:{number}: {complain(key, last)}")
                last = key
                yield key, value
    except OSError as error:
        hint = "has the stage that writes it finished?"
        raise UserError(f"{path}: {error.strerror}; {hint}") from error
    except UnicodeDecodeError as error:
        where = f"{path}:{undecodable_line(path)}"
        raise UserError(f"{where}: not UTF-8 ({error.reason}); convert the file") from error


def undecodable_line(path: str | Path) -> int:
    """Number of the first line that is not UTF-8; files are decoded in blocks, so the error does not know it."""
    with open(path, "rb") as file:
        for number, line in enumerate(file, start=1):
            try:
                line.decode("utf-8")
            except UnicodeDecodeError:
                return number
    raise ValueError(f"{path} is UTF-8")


def split_line(line: str) -> tuple[str, str]:
    """Key and value, between which stands a space or a tab."""
    key, _, value = line.rstrip("\r\n").partition(" ")
    if "\t" in key:
        key, _, rest = line.rstrip("\r\n").partition("\t")
        value = rest
    return key, value.strip()


def complain(key: str, last: str) -> str:
    if not key:
        return "a line that does not start with an utterance id; remove it"
    if key == last:
        return f"{key} stands twice; ids must be unique"
    return f"{key} comes after {last}; sort the file with LC_ALL=C sort"


def read_table(path: str | Path) -> dict[str, str]:
    """All of a Kaldi table; see ``iter_table``."""
    return dict(iter_table(path))


def write_table(path: str | Path, rows: dict[str, str]):
    """Write a Kaldi table, sorted, in one step."""
    with atomic_write(path) as file:
        for key in sorted(rows):
            file.write(f"{key} {rows[key]}\n" if rows[key] else f"{key}\n")


def sorted_rows(rows: Iterable[tuple], run_size: int = RUN_SIZE) -> Iterator[tuple]:
    """Sort tuples of strings without tabs and line ends, through temporary files if there are many.

    The order is that of LC_ALL=C.
    """
    rows = iter(rows)
    with ExitStack() as stack:
        runs = []
        while run := sorted(islice(rows, run_size)):
            if not runs and len(run) < run_size:
                yield from run
                return
            file = tempfile.TemporaryFile("w+", encoding="utf-8", newline="\n")
            stack.enter_context(file)
            file.writelines("\t".join(row) + "\n" for row in run)
            file.seek(0)
            runs.append(tuple(line.rstrip("\n").split("\t")) for line in file)
        yield from heapq.merge(*runs)
