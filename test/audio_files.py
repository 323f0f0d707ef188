"""Audio files, data directories and corpora that the tests of data make."""

from pathlib import Path

import numpy as np
import soundfile

from speechllm.data.data_dir import Utterance, write_data_dir

RATE = 16000


def noise(seconds: float, seed: int = 0) -> np.ndarray:
    """Noise whose loudness and colour change, so that no two frames are alike."""
    rng = np.random.default_rng(seed)
    samples = rng.standard_normal(int(seconds * RATE)) * np.linspace(0.01, 0.2, int(seconds * RATE))
    return np.convolve(samples, [1.0, 0.7, 0.2], mode="same").astype(np.float32)


def write_audio(path: Path, samples: np.ndarray, rate: int = RATE, **kwargs) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".opus":
        kwargs |= {"format": "OGG", "subtype": "OPUS"}
    soundfile.write(path, samples, rate, **kwargs)
    return path


def make_data_dir(path: Path, num_utts: int = 6, seconds: float = 0.5, langs=("de", "en")) -> Path:
    """A data directory of noise, two speakers per language, with lengths that differ."""
    utts = []
    for i in range(num_utts):
        lang = langs[i * len(langs) // num_utts]
        spk_id = f"{lang}_{i // 2:06}"
        utt_id = f"{spk_id}_7_{i:06}"
        audio = write_audio(path / "wav" / f"{utt_id}.wav", noise(seconds + 0.1 * i, seed=i))
        utts.append(Utterance(utt_id, spk_id, f"text number {i}", str(audio), lang))
    write_data_dir(path, utts)
    return path


def make_mls(corpora: Path, utts: dict[str, str], name="mls_english", set_name="train") -> Path:
    """A set in the layout of MLS from {handle: text}; all audio is short noise."""
    set_dir = corpora / name / set_name
    set_dir.mkdir(parents=True, exist_ok=True)
    extension = ".opus" if name.endswith("_opus") else ".flac"
    transcripts, segments = [], []
    for i, (handle, text) in enumerate(utts.items()):
        speaker, book, _ = handle.split("_")
        path = set_dir / "audio" / speaker / book / f"{handle}{extension}"
        write_audio(path, noise(0.3, seed=i))
        transcripts.append(f"{handle}\t{text}\n")
        segments.append(f"{handle}\thttp://example.org/{book}.mp3\t{i}.00\t{i}.30\n")
    (set_dir / "transcripts.txt").write_text("".join(transcripts), encoding="utf-8")
    (set_dir / "segments.txt").write_text("".join(segments), encoding="utf-8")
    return set_dir
