"""The corpus that the benchmarks read: part of the mini preset's, as the recipe made it."""

from pathlib import Path

import numpy as np

from speechllm.data.audio import read_audio
from speechllm.data.tables import read_table


def audio_paths(corpus: Path, num_utts: int) -> dict[str, str]:
    """Utterance id to path, evenly spread over the training set."""
    table = list(read_table(corpus / "train" / "wav.scp").items())
    chosen = np.linspace(0, len(table) - 1, min(num_utts, len(table))).round().astype(int)
    return dict(table[i] for i in np.unique(chosen))


def read_samples(corpus: Path, num_utts: int) -> list[np.ndarray]:
    return [read_audio(path) for path in audio_paths(corpus, num_utts).values()]


def file_order(chosen: np.ndarray, size: int) -> list[np.ndarray]:
    """Batches of one size, in the order of the data directory."""
    return [chosen[i : i + size] for i in range(0, len(chosen), size)]
