"""Write the made-up corpus in the layout of Multilingual LibriSpeech."""

import functools
import io
import random
from pathlib import Path

import soundfile

from speechllm.mini.corpus import Reading, Spoken
from speechllm.mini.voices import SAMPLE_RATE

FOLDERS = {
    "en": "mls_english",
    "de": "mls_german",
    "nl": "mls_dutch",
    "fr": "mls_french",
    "es": "mls_spanish",
    "it": "mls_italian",
    "pt": "mls_portuguese",
    "pl": "mls_polish",
}
LICENSE = "Made-up sentences, spoken by a synthesizer. CC0 1.0: no rights reserved.\n"
README = """Made-up sentences by espeak-ng, laid out as Multilingual LibriSpeech (openslr.org/94).

{train,dev,test}/transcripts.txt   handle, text
{train,dev,test}/segments.txt      handle, source, start and end in seconds
{train,dev,test}/audio             <speaker>/<book>/<handle>.flac, 16 kHz
train/limited_supervision          handles of small training sets
metainfo.txt                       speakers, books and minutes
"""
METAINFO = " SPEAKER   |   GENDER   | PARTITION  |  MINUTES   |  BOOK ID   | TITLE | CHAPTER"
PART_SECONDS, LARGE_SECONDS = 600, 9 * 3600  # of limited_supervision/1hr/<0..5> and of 9hr


def encode_flac(samples) -> bytes:
    """Encoded in memory: soundfile waits for the disk after every file that it writes itself."""
    buffer = io.BytesIO()
    soundfile.write(buffer, samples, SAMPLE_RATE, format="FLAC", subtype="PCM_16")
    return buffer.getvalue()


def write_reading(root: Path, reading: Reading, utterances) -> list[Spoken]:
    """Write one speaker's audio, a book in dev and test, two in train."""
    rng = random.Random(f"books {reading.lang} {reading.speaker.spk}")
    books = rng.sample(range(100, 15_000), 2 if reading.set_name == "train" else 1)
    folder = root / reading.set_name / "audio" / str(reading.speaker.spk)
    found: dict[int, list[Spoken]] = {book: [] for book in books}
    for index, sentence, samples in utterances:
        book = books[index % len(books)]
        handle = f"{reading.speaker.spk}_{book}_{len(found[book]):06d}"
        path = folder / str(book) / f"{handle}.flac"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(encode_flac(samples))
        start = found[book][-1].start + found[book][-1].seconds if found[book] else 0.0
        source = f"espeak-ng://{reading.speaker.voice}/{book}.flac"
        found[book].append(Spoken(handle, sentence, source, start, len(samples) / SAMPLE_RATE))
    return [spoken for book in books for spoken in found[book]]


def writer(root: Path):
    """What corpus.record needs to write below a folder."""
    return functools.partial(write_reading, root)


def write_lines(path: Path, lines: list[str]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")


def limited_supervision(utterances: list[Spoken], seed: str) -> dict[str, list[str]]:
    """Handles of six disjoint small parts and of one larger: 10 minutes and 9 hours, if there are.

    A corpus of under two hours gives a twelfth to each of the six and a third to the larger one.
    """
    total = sum(spoken.seconds for spoken in utterances)
    budgets = {f"1hr/{part}": min(PART_SECONDS, total / 12) for part in range(6)}
    budgets["9hr"] = min(LARGE_SECONDS, total / 3)
    shuffled = iter(random.Random(seed).sample(utterances, len(utterances)))
    lists = {}
    for name, budget in budgets.items():
        handles, seconds = [], 0.0
        while seconds < budget and (spoken := next(shuffled, None)):
            handles.append(spoken.name)
            seconds += spoken.seconds
        lists[name] = handles
    return lists


def metainfo_lines(reading: Reading, utterances: list[Spoken]) -> list[str]:
    """A line for each book of a speaker."""
    minutes: dict[str, float] = {}
    for spoken in utterances:
        book = spoken.name.split("_")[1]
        minutes[book] = minutes.get(book, 0.0) + spoken.seconds / 60
    who = f"{reading.speaker.spk:^11}|{reading.speaker.gender:^12}|{reading.set_name:^12}"
    return [
        f"{who}|{length:^12.3f}|{book:^12}| Made-up sentences | {book}"
        for book, length in minutes.items()
    ]


def write_index(root: Path, readings: list[Reading], results: list[list[Spoken]]) -> None:
    """The text files of one language, after its audio."""
    metainfo = [METAINFO]
    for set_name in ("train", "dev", "test"):
        utterances = []
        for reading, spoken in zip(readings, results, strict=True):
            if reading.set_name == set_name:
                utterances += spoken
                metainfo += metainfo_lines(reading, spoken)
        if set_name == "train":
            for name, handles in limited_supervision(utterances, f"limited {root.name}").items():
                write_lines(root / "train" / "limited_supervision" / name / "handles.txt", handles)
        segments, transcripts = [], []
        for spoken in utterances:
            end = spoken.start + spoken.seconds
            segments.append(f"{spoken.name}\t{spoken.source}\t{spoken.start:.2f}\t{end:.2f}")
            transcripts.append(f"{spoken.name}\t{spoken.sentence.text}")
        write_lines(root / set_name / "segments.txt", segments)
        write_lines(root / set_name / "transcripts.txt", transcripts)
    write_lines(root / "metainfo.txt", metainfo)
    (root / "README").write_text(README, encoding="utf-8")
    (root / "LICENSE").write_text(LICENSE, encoding="utf-8")
