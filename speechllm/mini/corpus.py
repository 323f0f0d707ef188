"""Who reads which sentences, and reading them aloud in several processes."""

import multiprocessing
import zlib
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass

import numpy as np

from speechllm.errors import UserError
from speechllm.mini.grammar import Sentence, sentences
from speechllm.mini.voices import (
    SAMPLE_RATE,
    Speaker,
    Synthesizer,
    draw_speakers,
    respell,
    utterance,
)

PATIENCE = 600  # seconds; a speaker takes less than one
PRELOADED = "speechllm.mini.make"  # it imports all that ``write`` of ``record`` needs
SHORTEST = 1.0  # seconds; no sentence is shorter, so a plan has enough of them


@dataclass(frozen=True)
class Size:
    """How much of a language is spoken.

    Args:
        train_seconds: for this language; dev and test are counted in utterances.
        speakers: in train; dev and test have a few others.
    """

    train_seconds: float
    dev_utts: int
    test_utts: int
    speakers: int
    seed: int


@dataclass(frozen=True)
class Reading:
    """What one speaker reads: sentences in order, until ``seconds`` are full."""

    lang: str
    set_name: str
    speaker: Speaker
    sentences: tuple[Sentence, ...]
    seconds: float
    seed: int


@dataclass(frozen=True)
class Spoken:
    """An utterance that has been written: its name in the corpus, where it lies in its source."""

    name: str
    sentence: Sentence
    source: str
    start: float
    seconds: float


def single_sentences(lang: str, num: int, seed: int, split: str) -> list[tuple[Sentence]]:
    return [(sentence,) for sentence in sentences(lang, num, seed, split=split)]


def plan(lang: str, size: Size, draw: Callable = single_sentences) -> list[Reading]:
    """All readings of one language; no sentence is read twice, and no speaker is in two sets.

    Args:
        draw: from language, number, seed and set to tuples of what one speaker reads in a row; it has a ``text``.
    """
    readings = []
    utts = {"dev": size.dev_utts, "test": size.test_utts}
    for set_name, num_speakers in (("train", size.speakers), ("dev", 4), ("test", 6)):
        num_speakers = min(num_speakers, utts.get(set_name, num_speakers))
        if not num_speakers:
            continue
        seconds, num = float("inf"), utts.get(set_name, 0)
        if set_name == "train":
            seconds = size.train_seconds / num_speakers
            num = num_speakers * (int(seconds / SHORTEST) + 1)
        groups = draw(lang, num, size.seed, set_name)
        for index, speaker in enumerate(draw_speakers(lang, set_name, num_speakers, size.seed)):
            share = tuple(text for group in groups[index::num_speakers] for text in group)
            readings.append(Reading(lang, set_name, speaker, share, seconds, size.seed))
    return readings


def fingerprint(readings: list[Reading], size: Size) -> dict:
    """What a corpus is made from; another fingerprint means another corpus."""
    return asdict(size) | {"crc32": zlib.crc32(repr(readings).encode())}


def read_aloud(
    reading: Reading, synthesizer: Synthesizer
) -> Iterator[tuple[int, Sentence, np.ndarray]]:
    """Number, sentence and int16 samples at 16 kHz of each utterance of one speaker."""
    seconds = 0.0
    for index, sentence in enumerate(reading.sentences):
        key = [reading.seed, zlib.crc32(reading.lang.encode()), reading.speaker.spk, index]
        text = respell(reading.lang, sentence.text)
        samples = utterance(synthesizer, reading.speaker, text, np.random.default_rng(key))
        yield index, sentence, samples
        seconds += len(samples) / SAMPLE_RATE
        if seconds >= reading.seconds:
            return


def record(
    readings: list[Reading],
    write: Callable,
    nj: int,
    progress: Callable[[int], None] = lambda done: None,
) -> list:
    """Call ``write(reading, utterances)`` for each reading, ``nj`` at a time; the results in order.

    A reading has a fresh process, so the samples do not depend on ``nj``. It is forked from a server
    that does nothing else: a fork of this process would inherit the locks that its threads hold.
    """
    tasks = [(reading, write) for reading in readings]
    results = []
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([PRELOADED])
    with context.Pool(nj, maxtasksperchild=1) as pool:
        pending = pool.imap(record_one, tasks, chunksize=1)
        while len(results) < len(tasks):
            try:
                results.append(pending.next(PATIENCE))
            except multiprocessing.TimeoutError:
                speaker = readings[len(results)].speaker
                raise UserError(
                    f"speaker {speaker.spk} ({speaker.voice}) was not spoken in {PATIENCE} s, its "
                    "process has died; check the memory and run again"
                ) from None
            progress(len(results))
    return results


def record_one(task):
    reading, write = task
    return write(reading, read_aloud(reading, Synthesizer()))
