"""Kaldi data directories, read and written as streams so that their size does not matter."""

import os
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from speechllm.data.tables import iter_table, read_table, write_table
from speechllm.errors import UserError

# The tables of a data directory beside wav.scp, each with the field of an utterance that it holds.
REQUIRED_TABLES = {"text": "text", "utt2spk": "spk_id", "utt2lang": "lang"}
OPTIONAL_TABLES = {"text.src": "text_src", "utt2prompt": "prompt"}


@dataclass(frozen=True, slots=True)
class Utterance:
    """What a data directory knows of one utterance; ``start`` and ``end`` are seconds in ``audio``."""

    utt_id: str
    spk_id: str
    text: str
    audio: str
    lang: str
    start: float | None = None
    end: float | None = None  # None with a start: to the end of the audio
    text_src: str | None = None  # transcript, where text is a translation or an answer
    prompt: str | None = None


def check_utterance(utt: Utterance, last: str):
    """Raise UserError if an utterance cannot stand after ``last`` in a data directory."""
    if not utt.utt_id or any(c.isspace() for c in utt.utt_id + utt.spk_id) or not utt.spk_id:
        raise UserError(
            f"utterance id {utt.utt_id!r}, speaker {utt.spk_id!r}: must be words without spaces"
        )
    if utt.utt_id == last:
        raise UserError(f"{utt.utt_id}: two utterances have this id; ids must be unique")
    if utt.utt_id < last:
        raise UserError(f"{utt.utt_id} comes after {last}: utterances must be sorted by id")
    if not utt.utt_id.startswith(utt.spk_id):
        raise UserError(
            f"{utt.utt_id}: must start with its speaker {utt.spk_id}, or Kaldi's order breaks"
        )
    for value in (utt.text, utt.audio, utt.lang, utt.text_src or "", utt.prompt or ""):
        if "\n" in value or "\r" in value:
            raise UserError(f"{utt.utt_id}: a value has a line break: {value!r}")


def write_data_dir(path: str | Path, utterances: Iterable[Utterance]) -> int:
    """Write a data directory as a stream.

    Args:
        path: the folder; its tables are replaced when all are complete.
        utterances: sorted by id, all with the same optional fields as the first one.

    Returns:
        the number of utterances.

    Raises:
        UserError: none, not sorted, not unique, not starting with the speaker.
    """
    path = Path(path)
    utterances = iter(utterances)
    first = next(utterances, None)
    if first is None:
        raise UserError(f"{path}: no utterances to write; check the corpus and the options")
    path.mkdir(parents=True, exist_ok=True)
    tables = REQUIRED_TABLES | {
        n: f for n, f in OPTIONAL_TABLES.items() if getattr(first, f) is not None
    }
    recordings = {}  # audio path to recording id, only where there are segments
    with ExitStack() as stack:
        names = [*tables, "spk2utt", "segments" if first.start is not None else "wav.scp"]
        files = {
            n: stack.enter_context(open(path / f"{n}.tmp", "w", encoding="utf-8")) for n in names
        }
        last, last_spk, count = "", "", 0
        while first is not None:
            utt, first = first, next(utterances, None)
            check_utterance(utt, last)
            for name, field in tables.items():
                value = getattr(utt, field)
                files[name].write(f"{utt.utt_id} {value}\n" if value else f"{utt.utt_id}\n")
            if "segments" in files:
                rec = recordings.setdefault(utt.audio, f"rec{len(recordings):09}")
                start, end = utt.start or 0.0, -1 if utt.end is None else utt.end
                files["segments"].write(f"{utt.utt_id} {rec} {start:.4f} {end:.4f}\n")
            else:
                files["wav.scp"].write(f"{utt.utt_id} {utt.audio}\n")
            if utt.spk_id != last_spk and utt.spk_id < last_spk:
                raise UserError(
                    f"{utt.utt_id}: speaker {utt.spk_id} comes after {last_spk}; use ids of one length"
                )
            if utt.spk_id != last_spk:
                files["spk2utt"].write(("\n" if last_spk else "") + utt.spk_id)
            files["spk2utt"].write(f" {utt.utt_id}")
            last, last_spk, count = utt.utt_id, utt.spk_id, count + 1
        files["spk2utt"].write("\n")
    if recordings:
        write_table(path / "wav.scp.tmp", {rec: audio for audio, rec in recordings.items()})
    for name in {*OPTIONAL_TABLES, "segments"} - {*names}:
        (path / name).unlink(missing_ok=True)
    for name in sorted({*names, "wav.scp"}):
        os.replace(path / f"{name}.tmp", path / name)
    return count


def iter_audio(path: str | Path) -> Iterator[tuple[str, str, float | None, float | None]]:
    """Yield (utt_id, audio path, start, end) from wav.scp, or from segments where they exist.

    Raises:
        UserError: a shell pipe, a segment of an unknown recording or without a positive length.
    """
    path = Path(path)
    if not (path / "segments").exists():
        for utt_id, audio in iter_table(path / "wav.scp"):
            check_audio_path(path / "wav.scp", utt_id, audio)
            yield utt_id, audio, None, None
        return
    recordings = read_table(path / "wav.scp")
    for rec, audio in recordings.items():
        check_audio_path(path / "wav.scp", rec, audio)
    for utt_id, value in iter_table(path / "segments"):
        try:
            rec, start, end = value.split()
            start, end = float(start), float(end)
        except ValueError:
            raise UserError(
                f"{path}/segments: {utt_id}: should be recording, start, end; got {value!r}"
            ) from None
        if rec not in recordings:
            raise UserError(f"{path}/segments: {utt_id}: recording {rec} is not in wav.scp")
        if start < 0 or (end != -1 and end <= start):
            raise UserError(
                f"{path}/segments: {utt_id}: from {start} to {end} s is no stretch of audio"
            )
        yield utt_id, recordings[rec], start, None if end == -1 else end


def check_audio_path(table: Path, key: str, audio: str):
    if not audio or audio.endswith("|") or audio.startswith("|"):
        raise UserError(
            f"{table}: {key}: {audio!r} is not a path; shell pipes are not run, convert the audio to files"
        )


def iter_data_dir(path: str | Path) -> Iterator[Utterance]:
    """Yield the utterances of a data directory, reading all its tables in lock step.

    Raises:
        UserError: a table is missing, unsorted or disagrees with wav.scp; naming file and utterance.
    """
    path = Path(path)
    names = REQUIRED_TABLES | {n: f for n, f in OPTIONAL_TABLES.items() if (path / n).exists()}
    tables = {field: (name, iter_table(path / name)) for name, field in names.items()}
    audio_table = "segments" if (path / "segments").exists() else "wav.scp"
    utt_id = ""
    for utt_id, audio, start, end in iter_audio(path):
        values = {}
        for field, (name, rows) in tables.items():
            key, values[field] = next(rows, (None, ""))
            if key != utt_id:
                where, what = (name, utt_id) if key is None or key > utt_id else (audio_table, key)
                raise UserError(
                    f"{path}/{where}: {what} is missing, but other tables have it; prepare the data again"
                )
        yield Utterance(utt_id=utt_id, audio=audio, start=start, end=end, **values)
    for name, rows in tables.values():
        for key, _ in rows:
            raise UserError(
                f"{path}/{audio_table}: {key} is missing, but {name} has it; prepare the data again"
            )


def read_data_dir(path: str | Path) -> list[Utterance]:
    """All utterances of a data directory; see ``iter_data_dir``."""
    return list(iter_data_dir(path))


def count_utterances(path: str | Path) -> int:
    """Lines of ``text``."""
    try:
        with open(Path(path) / "text", "rb") as file:
            return sum(block.count(b"\n") for block in iter(lambda: file.read(1 << 20), b""))
    except FileNotFoundError as error:
        raise UserError(f"{path}/text: no such file; is this a data directory?") from error


def part_bounds(count: int, num_parts: int, part: int) -> tuple[int, int]:
    """First and one past the last of part ``part`` (from 1) when ``count`` things are shared out in order.

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

    Raises:
        UserError: a language or an utterance that is not there.
    """
    found_langs, found_ids = set(), set()

    def wanted() -> Iterator[Utterance]:
        for utt in iter_data_dir(path):
            if (langs is None or utt.lang in langs) and (utt_ids is None or utt.utt_id in utt_ids):
                found_langs.add(utt.lang)
                found_ids.add(utt.utt_id)
                yield utt

    count = write_data_dir(out, wanted())
    if langs is not None and (missing := set(langs) - found_langs):
        raise UserError(f"{path}: no utterances in language {min(missing)}")
    if utt_ids is not None and langs is None and (missing := utt_ids - found_ids):
        raise UserError(
            f"{path}: {len(missing)} listed utterances are not there, first: {min(missing)}"
        )
    return count


def read_list(path: str | Path) -> set[str]:
    """First word of each line.

    Raises:
        UserError: no such file.
    """
    try:
        return {
            line.split()[0]
            for line in Path(path).read_text(encoding="utf-8").splitlines()
            if line.strip()
        }
    except OSError as error:
        raise UserError(f"{path}: {error.strerror}") from error
