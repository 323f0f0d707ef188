"""Write the made-up corpus in the layout of Common Voice with CoVoST 2's translations into English."""

import functools
import hashlib
import io
from pathlib import Path

import numpy as np
import soundfile
import soxr

from speechllm.mini.corpus import Reading, Spoken
from speechllm.mini.mls_layout import LICENSE, write_lines
from speechllm.mini.voices import SAMPLE_RATE

FOLDERS = {lang: lang for lang in ("de", "nl", "fr", "es", "it", "pt", "pl")}
CLIP_RATE = 32_000  # Hz; Common Voice has 48,000, which takes much longer to encode
README = """Made-up sentences by espeak-ng, laid out as Common Voice 4 with CoVoST 2.

clips                   mp3, 32 kHz
validated.tsv           Common Voice's columns
covost_v2.<lang>_en.tsv path, English translation, split
"""
COLUMNS = "client_id path sentence up_votes down_votes age gender accent".split()
GENDERS = {"F": "female", "M": "male"}
EXTENSION = 10  # every tenth training clip is of the split that CoVoST 2 adds to version 1


def encode_mp3(samples: np.ndarray) -> bytes:
    """An mp3 file of int16 samples at 16 kHz."""
    speech = soxr.resample(samples.astype(np.float32) / 32768, SAMPLE_RATE, CLIP_RATE)
    buffer = io.BytesIO()
    soundfile.write(buffer, speech, CLIP_RATE, format="MP3", subtype="MPEG_LAYER_III")
    return buffer.getvalue()


def write_reading(root: Path, reading: Reading, utterances) -> list[Spoken]:
    """Write the clips of one speaker."""
    clips = root / "clips"
    clips.mkdir(parents=True, exist_ok=True)
    found = []
    for index, sentence, samples in utterances:
        number = 17_000_000 + 1000 * reading.speaker.spk + index
        name = f"common_voice_{reading.lang}_{number}.mp3"
        (clips / name).write_bytes(encode_mp3(samples))
        found.append(Spoken(name, sentence, "", 0.0, len(samples) / SAMPLE_RATE))
    return found


def writer(root: Path):
    """What corpus.record needs to write below a folder."""
    return functools.partial(write_reading, root)


def client_id(reading: Reading) -> str:
    return hashlib.sha512(f"{reading.lang} {reading.speaker}".encode()).hexdigest()


def write_index(root: Path, readings: list[Reading], results: list[list[Spoken]]) -> None:
    """The tables of one language, after its clips."""
    clips, translations = ["\t".join(COLUMNS)], ["path\ttranslation\tsplit"]
    for reading, utterances in zip(readings, results, strict=True):
        for index, spoken in enumerate(utterances):
            fields = [
                client_id(reading),
                spoken.name,
                spoken.sentence.written,
                "2",
                "0",
                "twenties",
            ]
            fields += [GENDERS[reading.speaker.gender], ""]
            clips.append("\t".join(fields))
            added = reading.set_name == "train" and index % EXTENSION == EXTENSION - 1
            split = "train_covost" if added else reading.set_name
            translations.append(f"{spoken.name}\t{spoken.sentence.english_written}\t{split}")
    lang = readings[0].lang
    write_lines(root / f"covost_v2.{lang}_en.tsv", translations)
    write_lines(root / "validated.tsv", clips)
    (root / "README").write_text(README, encoding="utf-8")
    (root / "LICENSE").write_text(LICENSE, encoding="utf-8")
