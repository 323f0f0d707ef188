"""Parts and subsets of data directories."""

from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from speechllm.data.data_dir import Utterance, iter_data_dir, write_data_dir
from speechllm.errors import UserError


def count_utterances(path: str | Path) -> int:
    """Lines of ``text``.

    Raises:
        UserError: there is none, or it is empty.
    """
    try:
        with open(Path(path) / "text", "rb") as file:
            blocks = iter(lambda: file.read(1 << 20), b"")
            count = sum(block.count(b"\n") for block in blocks)
    except OSError as error:
        raise UserError(f"{path}/text: {error.strerror}; is this a data directory?") from error
    if count == 0:
        raise UserError(f"{path}/text: no utterances; prepare the data again")
    return count


def part_bounds(count: int, num_parts: int, part: int) -> tuple[int, int]:
    """First and one past the last of part ``part``, from 1, when things are shared out in order.

    >>> [part_bounds(10, 3, part) for part in (1, 2, 3)]
    [(0, 3), (3, 6), (6, 10)]
    """
    return count * (part - 1) // num_parts, count * part // num_parts


def split_data_dir(path: str | Path, num_parts: int) -> list[Path]:
    """Write ``path/split<N>/<1..N>``, contiguous parts that differ by one utterance at most.

    Raises:
        UserError: fewer utterances than parts.
    """
    path = Path(path)
    total = count_utterances(path)
    if not 0 < num_parts <= total:
        raise UserError(f"{path}: {total} utterances cannot be shared out among {num_parts} parts")
    utterances, folders = iter_data_dir(path), []
    for part in range(1, num_parts + 1):
        first, last = part_bounds(total, num_parts, part)
        folders.append(path / f"split{num_parts}" / str(part))
        write_data_dir(folders[-1], islice(utterances, last - first))
    return folders


def subset_data_dir(
    path: str | Path,
    out: str | Path,
    langs: list[str] | None = None,
    utt_ids: set[str] | None = None,
) -> int:
    """Write the utterances of some languages, or of a list, as a data directory without features.

    Returns:
        their number.

    Raises:
        UserError: a language or an utterance of the list is not there.
    """
    missing_langs, missing_ids = set(langs or ()), set(utt_ids or ())

    def wanted() -> Iterator[Utterance]:
        for utt in iter_data_dir(path):
            missing_ids.discard(utt.utt_id)
            missing_langs.discard(utt.lang)
            if (langs is None or utt.lang in langs) and (utt_ids is None or utt.utt_id in utt_ids):
                yield utt
        if missing_langs:
            raise UserError(f"{path}: no utterance in language {min(missing_langs)!r}")
        if missing_ids:
            raise UserError(
                f"{path}: {len(missing_ids)} of {len(utt_ids)} listed utterances are not here, "
                f"first: {min(missing_ids)}"
            )

    return write_data_dir(out, wanted())


def read_list(path: str | Path) -> set[str]:
    """First word of each line.

    Raises:
        UserError: no such file.
    """
    try:
        with open(path, encoding="utf-8") as file:
            return {line.split()[0] for line in file if line.strip()}
    except OSError as error:
        raise UserError(f"{path}: {error.strerror}") from error
