"""Multilingual LibriSpeech (openslr.org/94) as it comes out of its archives, flac or opus.

Of the training set 5 % of the transcripts may lack their audio, of dev and test none.
"""

import os
import unicodedata
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path

import soundfile

from speechllm.data.data_dir import Utterance
from speechllm.data.tables import sorted_rows
from speechllm.errors import UserError

LANGUAGES = {
    "en": "english",
    "de": "german",
    "nl": "dutch",
    "fr": "french",
    "es": "spanish",
    "it": "italian",
    "pt": "portuguese",
    "pl": "polish",
}
TEN_MINUTES = [f"1hr/{part}/handles.txt" for part in range(6)]
SUBSETS = {"10min": TEN_MINUTES[:1], "1h": TEN_MINUTES, "10h": [*TEN_MINUTES, "9hr/handles.txt"]}
MAX_MISSING = 0.05  # share of the training transcripts without audio
EXTENSIONS = (".flac", ".opus", ".ogg", ".wav", ".mp3")
SPEAKER_DIGITS = 6  # speakers are padded with zeros, so that they sort as their utterances do


def corpus_dir(corpora: Path, lang: str) -> Path:
    """The folder of a language, flac or opus."""
    if not corpora.is_dir():
        raise UserError(
            "--corpora should name an existing folder that holds mls_<language> or "
            f"mls_<language>_opus, got '{corpora}'"
        )
    if lang not in LANGUAGES:
        raise UserError(f"--langs: MLS has no language {lang!r}; it has {' '.join(LANGUAGES)}")
    names = [f"mls_{LANGUAGES[lang]}", f"mls_{LANGUAGES[lang]}_opus"]
    for name in names:
        if (corpora / name).is_dir():
            return corpora / name
    raise UserError(
        f"{corpora}: neither {names[0]} nor {names[1]} is in it; unpack the archive there, or "
        "change --langs"
    )


def open_text(path: Path):
    if not path.is_file():
        raise UserError(f"{path}: no such file; unpack the whole MLS archive there")
    return open(path, encoding="utf-8", newline="\n")


def padded(path: Path, number: int, handle: str) -> str:
    """A handle with the speaker padded: the order of handles is then that of utterance ids."""
    parts = handle.split("_")
    if len(parts) != 3 or not all(parts):
        raise UserError(f"{path}:{number}: {handle!r} is not <speaker>_<book>_<index>")
    return "_".join([parts[0].zfill(SPEAKER_DIGITS), *parts[1:]])


def read_transcripts(path: Path) -> Iterator[tuple[str, str, str]]:
    """Yield (padded handle, handle, text)."""
    with open_text(path) as file:
        for number, line in enumerate(file, start=1):
            handle, tab, text = line.rstrip("\r\n").partition("\t")
            text = " ".join(unicodedata.normalize("NFC", text).split())
            if not tab or not text:
                raise UserError(
                    f"{path}:{number}: {line.rstrip()!r} should be a handle, a tab and a text"
                )
            yield padded(path, number, handle), handle, text


def read_durations(path: Path) -> Iterator[tuple[str, str]]:
    """Yield (padded handle, seconds) of segments.txt."""
    with open_text(path) as file:
        for number, line in enumerate(file, start=1):
            try:
                handle, _, start, end = line.split()
                seconds = float(end) - float(start)
            except ValueError:
                raise UserError(
                    f"{path}:{number}: {line.rstrip()!r} should be handle, source, start and end"
                ) from None
            yield padded(path, number, handle), f"{seconds:.2f}"


def read_handles(set_dir: Path, subset: str) -> set[str] | None:
    """Handles of a limited-supervision subset; None for all."""
    if subset == "full":
        return None
    handles = set()
    for name in SUBSETS[subset]:
        with open_text(set_dir / "limited_supervision" / name) as file:
            handles.update(file.read().split())
    return handles


class Report:
    """What was found of one language, and whether that is enough."""

    def __init__(self, set_dir: Path, is_train: bool):
        self.set_dir, self.is_train = set_dir, is_train
        self.num_utts, self.num_speakers, self.seconds = 0, 0, 0.0
        self.without_audio, self.without_text = [], []

    def check(self):
        """Print the counts.

        Raises:
            UserError: too many transcripts without audio or audio files without transcript.
        """
        print(
            f"{self.set_dir}: {self.num_utts} utterances, {self.num_speakers} speakers, "
            f"{self.seconds / 3600:.2f} hours"
        )
        total = self.num_utts + len(self.without_audio)
        for found, what in (
            (self.without_audio, "transcripts have no audio file"),
            (self.without_text, "audio files have no transcript"),
        ):
            if not found:
                continue
            text = f"{self.set_dir}: {len(found)} {what} ({total} transcripts), first: {found[0]}"
            if len(found) > (MAX_MISSING * total if self.is_train else 0):
                allowed = f"at most {MAX_MISSING:.0%} may be" if self.is_train else "none may be"
                raise UserError(f"{text}; {allowed}, unpack the archive again")
            print(text)


def list_audio(folder: Path) -> dict[str, str]:
    """File names of a book by handle; one listing instead of a look-up per utterance."""
    try:
        names = os.listdir(folder)
    except FileNotFoundError:
        return {}
    return {
        stem: name for name in names for stem, ext in [os.path.splitext(name)] if ext in EXTENSIONS
    }


def seconds_of(
    durations: Iterator[tuple[str, str]] | None, key: str, set_dir: Path, audio: str | None
) -> float:
    """The duration of an utterance, from a sorted stream that is at an earlier one, or from its audio file."""
    if durations is None:
        try:
            return soundfile.info(audio).duration if audio else 0.0
        except soundfile.LibsndfileError:
            return 0.0  # the feature extraction counts and names what cannot be read
    for other, seconds in durations:
        if other == key:
            return float(seconds)
        if other > key:
            break
    raise UserError(
        f"{set_dir}/segments.txt: no segment of {key}, but transcripts.txt has it; "
        "unpack the archive again"
    )


def read_set(set_dir: Path, lang: str, handles: set[str] | None, is_train: bool):
    """Yield the utterances of one language and set in the order of their ids.

    Raises:
        UserError: files of the corpus are missing or have another form, or ``Report.check``.
    """
    report = Report(set_dir, is_train)
    rows = read_transcripts(set_dir / "transcripts.txt")
    if handles is not None:
        rows = (row for row in rows if row[1] in handles)
    durations = None  # a corpus of one's own need not have segments.txt
    if (set_dir / "segments.txt").exists():
        durations = sorted_rows(read_durations(set_dir / "segments.txt"))
    visited, num_found, last = set(), 0, ("", "")
    for (speaker, book), group in groupby(
        sorted_rows(rows), key=lambda row: tuple(row[1].split("_")[:2])
    ):
        folder = set_dir / "audio" / speaker / book
        files = list_audio(folder)
        visited.add(folder)
        report.num_speakers += speaker != last[0]
        last = (speaker, book)
        for key, handle, text in group:
            num_found += 1
            name = files.pop(handle, None)
            audio = name and os.path.join(folder, name)
            seconds = seconds_of(durations, key, set_dir, audio)
            if audio is None:
                report.without_audio.append(handle)
            else:
                report.num_utts, report.seconds = report.num_utts + 1, report.seconds + seconds
                yield Utterance(f"{lang}_{key}", f"{lang}_{key.split('_')[0]}", text, audio, lang)
        if handles is None:
            report.without_text += [str(folder / name) for name in sorted(files.values())]
    if handles is None:
        for folder in sorted(set((set_dir / "audio").glob("*/*")) - visited):
            report.without_text += [
                str(folder / name) for name in sorted(list_audio(folder).values())
            ]
    elif num_found < len(handles):
        missing = len(handles) - num_found
        raise UserError(
            f"{set_dir}/limited_supervision: {missing} of {len(handles)} handles are not in "
            "transcripts.txt; unpack the archive again"
        )
    report.check()


def iter_mls(
    corpora: str, langs: list[str], set_name: str, subset: str = "full"
) -> Iterator[Utterance]:
    """Yield the utterances of a set in the order of their ids, language after language.

    Args:
        corpora: folder that holds mls_<language> or mls_<language>_opus.
        subset: limited supervision, of the training set only.

    Raises:
        UserError: no such folder or language, or see ``read_set``.
    """
    if not corpora:
        raise UserError("--corpora should name the folder that holds mls_<language>, got ''")
    if not langs:
        raise UserError("--langs should name at least one language")
    is_train = set_name == "train"
    folder = Path(os.path.abspath(corpora))
    set_dirs = {lang: corpus_dir(folder, lang) / set_name for lang in sorted(set(langs))}

    def utterances():
        for lang, set_dir in set_dirs.items():  # ids begin with the language
            handles = read_handles(set_dir, subset) if is_train else None
            yield from read_set(set_dir, lang, handles, is_train)

    return utterances()
