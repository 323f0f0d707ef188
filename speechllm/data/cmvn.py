"""Global mean and variance of features, as Kaldi's statistics matrix."""

import struct
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from speechllm.data.ark import read_matrix
from speechllm.data.tables import atomic_write
from speechllm.errors import UserError

HEADER = struct.Struct("<5sbibi")  # kind, then rows and columns, each after its size in bytes
MIN_VARIANCE = 1e-8  # of a mel bin that never changes


def add_up(parts: Iterable[np.ndarray]) -> np.ndarray:
    """The sum of statistics matrices (2, F + 1).

    Raises:
        UserError: no matrices, or with different numbers of bins.
    """
    total = None
    for stats in parts:
        total = np.zeros_like(stats) if total is None else total
        if stats.shape != total.shape:
            raise UserError(
                f"some features have {total.shape[1] - 1} bins and some {stats.shape[1] - 1}; "
                "extract all with one config"
            )
        total += stats
    if total is None:
        raise UserError("no features to compute mean and variance of; run extract_fbank first")
    return total


def accumulate(matrices: Iterable[np.ndarray]) -> np.ndarray:
    """Sums, sums of squares and the count over all frames of matrices (T, F): (2, F + 1) float64; see ``add_up``."""

    def stats_of(feats: np.ndarray) -> np.ndarray:
        feats = feats.astype(np.float64)
        sums = np.append(feats.sum(axis=0), len(feats))
        return np.stack([sums, np.append(np.square(feats).sum(axis=0), 0.0)])

    return add_up(map(stats_of, matrices))


def accumulate_files(positions: Iterable[tuple[str, int]]) -> np.ndarray:
    """``accumulate`` over matrices in ark files, each a path and an offset."""
    return accumulate(read_matrix(path, offset) for path, offset in positions)


def save_cmvn(path: str | Path, stats: np.ndarray):
    """Write statistics (2, F + 1) as one binary Kaldi matrix of float64."""
    with atomic_write(path, "wb") as file:
        file.write(
            HEADER.pack(b"\0BDM ", 4, stats.shape[0], 4, stats.shape[1])
            + stats.astype("<f8").tobytes()
        )


def load_cmvn(path: str | Path) -> tuple[np.ndarray, np.ndarray]:
    """Mean and inverse standard deviation, (F,) float32 each.

    Raises:
        UserError: the file is missing or holds something else.
    """
    try:
        data = Path(path).read_bytes()
    except OSError as error:
        raise UserError(f"{path}: {error.strerror}; run speechllm.bin.compute_cmvn") from error
    if data[:5] != b"\0BDM " or len(data) < HEADER.size:
        raise UserError(
            f"{path}: not a Kaldi matrix of float64; run speechllm.bin.compute_cmvn again"
        )
    _, _, rows, _, cols = HEADER.unpack(data[: HEADER.size])
    if rows != 2 or cols < 2 or len(data) != HEADER.size + 16 * cols:
        raise UserError(f"{path}: holds no CMVN statistics; run speechllm.bin.compute_cmvn again")
    stats = np.frombuffer(data, "<f8", offset=HEADER.size).reshape(2, cols)
    count = stats[0, -1]
    mean = stats[0, :-1] / count
    variance = np.maximum(stats[1, :-1] / count - mean**2, MIN_VARIANCE)
    return mean.astype(np.float32), (1.0 / np.sqrt(variance)).astype(np.float32)
