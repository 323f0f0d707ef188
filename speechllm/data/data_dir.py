"""Kaldi data directories, read and written as streams so that their size does not matter."""

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from speechllm.data.tables import iter_table, write_table
from speechllm.errors import UserError

# Tables beside wav.scp and spk2utt, each with the field of an utterance that it holds.
REQUIRED_TABLES = {"text": "text", "utt2spk": "spk_id", "utt2lang": "lang"}
OPTIONAL_TABLES = {"text.src": "text_src", "utt2prompt": "prompt"}
NO_END = -1.0  # in segments: to the end of the recording


@dataclass(frozen=True, slots=True)
class Utterance:
    """What a data directory knows of one utterance; ``start``, ``end`` are seconds in ``audio``."""

    utt_id: str
    spk_id: str
    text: str
    audio: str
    lang: str
    start: float | None = None
    end: float | None = None  # None with a start: to the end of the audio
    text_src: str | None = None  # transcript, where text is a translation or an answer
    prompt: str | None = None


def check_utterance(utt: Utterance, last: Utterance | None):
    """Raise UserError if an utterance cannot stand after ``last`` in a data directory."""
    for name in (utt.utt_id, utt.spk_id):
        if not name or any(c.isspace() for c in name):
            raise UserError(f"{utt.utt_id!r} of {utt.spk_id!r}: ids must be words without spaces")
    if not utt.utt_id.startswith(utt.spk_id):
        raise UserError(f"{utt.utt_id}: must start with its speaker {utt.spk_id}; rename one")
    for value in (utt.text, utt.audio, utt.lang, utt.text_src or "", utt.prompt or ""):
        if "\n" in value or "\r" in value:
            raise UserError(f"{utt.utt_id}: a value has a line break: {value!r}; replace it")
    if last is None:
        return
    if utt.utt_id == last.utt_id:
        raise UserError(f"{utt.utt_id}: two utterances have this id; ids must be unique")
    if utt.utt_id < last.utt_id:
        raise UserError(f"{utt.utt_id} comes after {last.utt_id}: sort utterances by their ids")
    if utt.spk_id < last.spk_id:
        raise UserError(
            f"{utt.utt_id}: speaker {utt.spk_id} comes after {last.spk_id}: utterances and "
            "speakers sort differently; give all speakers ids of one length"
        )


class TableFiles:
    """The tables of a data directory while they are written, under temporary names."""

    def __init__(self, path: Path, first: Utterance, stack: ExitStack):
        self.path = path
        optional = {n: f for n, f in OPTIONAL_TABLES.items() if getattr(first, f) is not None}
        self.fields = REQUIRED_TABLES | optional
        self.audio = "wav.scp" if first.start is None else "segments"
        names = [*self.fields, self.audio, "spk2utt"]
        self.files = {n: stack.enter_context(self.open(n)) for n in names}
        self.recordings = {}  # audio path to recording id, where there are segments

    def open(self, name: str):
        return open(self.path / f"{name}.tmp", "w", encoding="utf-8", newline="\n")

    def write(self, utt: Utterance, last: Utterance | None):
        for name, field in self.fields.items():
            value = getattr(utt, field)
            self.files[name].write(f"{utt.utt_id} {value}\n" if value else f"{utt.utt_id}\n")
        value = utt.audio
        if self.audio == "segments":
            rec = self.recordings.setdefault(utt.audio, f"rec{len(self.recordings):09}")
            end = NO_END if utt.end is None else utt.end
            value = f"{rec} {utt.start or 0.0:.4f} {end:.4f}"
        self.files[self.audio].write(f"{utt.utt_id} {value}\n")
        if last is None or utt.spk_id != last.spk_id:
            self.files["spk2utt"].write(utt.spk_id if last is None else f"\n{utt.spk_id}")
        self.files["spk2utt"].write(f" {utt.utt_id}")

    def finish(self):
        """Give all tables their names, and remove those of an earlier data directory."""
        self.files["spk2utt"].write("\n")
        for file in self.files.values():
            file.close()
        names = set(self.files)
        if self.recordings:
            write_table(self.path / "wav.scp.tmp", {r: a for a, r in self.recordings.items()})
            names.add("wav.scp")
        for name in {*OPTIONAL_TABLES, "segments"} - names:
            (self.path / name).unlink(missing_ok=True)
        for name in sorted(names):
            os.replace(self.path / f"{name}.tmp", self.path / name)


def write_data_dir(path: str | Path, utterances: Iterable[Utterance]) -> int:
    """Write a data directory as a stream.

    Args:
        path: the folder; its tables are replaced when all are complete.
        utterances: sorted by id, all with the same optional fields as the first one.

    Returns:
        the number of utterances.

    Raises:
        UserError: no utterances, not sorted, not unique, or not starting with the speaker.
    """
    path = Path(path)
    utterances = iter(utterances)
    utt = next(utterances, None)
    if utt is None:
        raise UserError(f"{path}: no utterances to write; check the corpus and the options")
    path.mkdir(parents=True, exist_ok=True)
    last, count = None, 0
    with ExitStack() as stack:
        tables = TableFiles(path, utt, stack)
        while utt is not None:
            check_utterance(utt, last)
            tables.write(utt, last)
            last, utt, count = utt, next(utterances, None), count + 1
        tables.finish()
    return count


def plain_path(table: Path, key: str, audio: str) -> str:
    """The audio file that a line of wav.scp names; a UserError where it is a shell pipe."""
    if not audio or audio.startswith("|") or audio.endswith("|"):
        raise UserError(
            f"{table}: {key}: {audio!r} is not a path; pipes are not run, convert audio to files"
        )
    return audio


def iter_audio(
    path: str | Path, to_path: Callable[[Path, str, str], str] = plain_path
) -> Iterator[tuple[str, str, float | None, float | None]]:
    """Yield (utt_id, audio path, start, end) from wav.scp, or from segments where they exist.

    Args:
        to_path: from the table, a key and its value there to the path; directories of our own hold paths alone.

    Raises:
        UserError: a shell pipe, or a segment of an unknown recording or without length.
    """
    path = Path(path)
    if not (path / "segments").exists():
        for utt_id, audio in iter_table(path / "wav.scp"):
            yield utt_id, to_path(path / "wav.scp", utt_id, audio), None, None
        return
    scp = path / "wav.scp"
    recordings = {rec: to_path(scp, rec, audio) for rec, audio in iter_table(scp)}
    for number, (utt_id, value) in enumerate(iter_table(path / "segments"), start=1):
        where = f"{path}/segments:{number}: {utt_id}"
        try:
            rec, start, end = value.split()
            start, end = float(start), float(end)
        except ValueError:
            raise UserError(f"{where}: {value!r} should be a recording, start and end") from None
        if rec not in recordings:
            raise UserError(f"{where}: recording {rec} is not in wav.scp; add it")
        if start < 0 or (end != NO_END and end <= start):
            raise UserError(f"{where}: from {start} to {end} seconds is no stretch of audio")
        yield utt_id, recordings[rec], start, None if end == NO_END else end


def iter_data_dir(path: str | Path) -> Iterator[Utterance]:
    """Yield the utterances of a data directory, reading all its tables in lock step.

    Raises:
        UserError: a table is missing, unsorted or disagrees with the others; naming file, line
            and utterance.
    """
    path = Path(path)
    if not (path / "utt2lang").exists() and path.is_dir():
        raise UserError(
            f"{path}/utt2lang: no such file; it has a language code for each utterance, e.g. "
            f"awk '{{print $1, \"en\"}}' {path}/text > {path}/utt2lang"
        )
    names = REQUIRED_TABLES | {n: f for n, f in OPTIONAL_TABLES.items() if (path / n).exists()}
    tables = {field: (name, iter_table(path / name)) for name, field in names.items()}
    audio_table = "segments" if (path / "segments").exists() else "wav.scp"
    number = 0
    for number, (utt_id, audio, start, end) in enumerate(iter_audio(path), start=1):
        values = {}
        for field, (name, rows) in tables.items():
            key, values[field] = next(rows, (None, ""))
            if key != utt_id:
                for table in (name, audio_table):  # an unsorted one is the likelier reason
                    deque(iter_table(path / table), maxlen=0)
                lacks, has, which = name, audio_table, utt_id
                if key is not None and key < utt_id:
                    lacks, has, which = audio_table, name, key
                raise UserError(
                    f"{path}/{lacks}:{number}: {which} is not here, but in {has}; "
                    "prepare the data again"
                )
        yield Utterance(utt_id=utt_id, audio=audio, start=start, end=end, **values)
    for name, rows in tables.values():
        for key, _ in rows:
            raise UserError(
                f"{path}/{audio_table}:{number + 1}: {key} is not here, but in {name}; "
                "prepare the data again"
            )


def read_data_dir(path: str | Path) -> list[Utterance]:
    """All utterances of a data directory; see ``iter_data_dir``."""
    return list(iter_data_dir(path))
