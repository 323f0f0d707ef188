"""Feature matrices in Kaldi's ark files: plain float32, or compressed to one byte per value."""

import os
import struct
from collections import OrderedDict
from threading import Lock

import numpy as np
import torch
from torch import Tensor

from speechllm.errors import UserError

HEADER_SIZE = 32  # bytes read at first, more than any header of ours has
MAX_OPEN_FILES = 256
QUANTILES = 65535  # greatest code of a quantile; the codes span the values of the matrix
# A byte lies on one of three lines between a column's quantiles of 0, 25, 75 and 100 %.
KNOTS = np.array([0, 64, 192, 255], np.float32)


def plain_bytes(feats: np.ndarray) -> bytes:
    """A float32 matrix as Kaldi's binary ``FM``."""
    feats = np.ascontiguousarray(feats, np.float32)
    return b"\0BFM " + struct.pack("<bibi", 4, feats.shape[0], 4, feats.shape[1]) + feats.tobytes()


def compressed_bytes(feats: np.ndarray) -> bytes:
    """A matrix as Kaldi's ``CM`` (kSpeechFeature): a byte per value, quantiles per column."""
    columns = np.ascontiguousarray(feats.T, np.float32)  # (F, T), as they are stored
    num_frames = columns.shape[1]
    quarter = num_frames // 4
    at = [0, quarter, 3 * quarter, num_frames - 1]
    if num_frames < 5:  # each value is a quantile
        at = np.minimum(np.arange(4), num_frames - 1)
    ranked = np.sort(columns, axis=1)[:, at]
    low, high = float(ranked.min()), float(ranked.max())
    span = high - low if high > low else 1.0 + abs(low)
    codes = np.clip((ranked - low) / span * QUANTILES + 0.499, 0, QUANTILES).astype(np.int64)
    for i in range(4):  # strictly rising, and within 16 bits
        floor = codes[:, i - 1] + 1 if i else 0
        codes[:, i] = np.clip(codes[:, i], floor, QUANTILES - 3 + i)
    knots = (low + codes * (span / QUANTILES)).astype(np.float32)[..., None]  # (F, 4, 1)
    header = struct.pack("<ffii", low, span, num_frames, len(columns))
    return b"\0BCM " + header + codes.astype("<u2").tobytes() + encode(columns, knots).tobytes()


def encode(columns: np.ndarray, knots: np.ndarray) -> np.ndarray:
    """Map (F, T) and quantiles (F, 4, 1) to bytes, by the line that a value lies on."""
    result = np.zeros(columns.shape, np.float32)
    for i in range(3):
        width = KNOTS[i + 1] - KNOTS[i]
        scale = width / np.maximum(knots[:, i + 1] - knots[:, i], 1e-20)
        part = (columns - knots[:, i]) * scale
        result += np.clip(part, 0.0, width, out=part)
    result += 0.5
    return result.astype(np.uint8)


def decode(codes: np.ndarray, knots: np.ndarray) -> np.ndarray:
    """The inverse of ``encode``: (F, T) bytes to float32."""
    table = np.empty((len(knots), 256), np.float32)
    for i in range(3):
        first, last = int(KNOTS[i]), int(KNOTS[i + 1])
        steps = np.arange(last - first + 1, dtype=np.float32) / np.float32(last - first)
        table[:, first : last + 1] = knots[:, i] + (knots[:, i + 1] - knots[:, i]) * steps
    index = codes + (np.arange(len(knots), dtype=np.int32) << 8)[:, None]
    return np.take(table, index)


class OpenFiles:
    """Files kept open for random reading; one that is pushed out closes after its last reader."""

    def __init__(self):
        self.lock, self.files = Lock(), OrderedDict()

    def get(self, path: str):
        with self.lock:
            if path in self.files and os.fstat(self.files[path].fileno()).st_nlink > 0:
                self.files.move_to_end(path)
                return self.files[path]  # not replaced by another file of this name since
            try:
                self.files[path] = open(path, "rb", buffering=0)
            except OSError as error:
                raise UserError(f"{path}: {error.strerror}; extract the features again") from error
            if len(self.files) > MAX_OPEN_FILES:
                self.files.popitem(last=False)
            return self.files[path]


FILES = OpenFiles()


def read_matrix(
    path: str, offset: int, first: int = 0, num_frames: int | None = None
) -> np.ndarray:
    """The matrix (T, F) float32 at an offset of an ark file, plain or compressed.

    Args:
        first, num_frames: a stretch of its rows; all of them if None.

    Raises:
        UserError: the file is missing, ends too early or has no matrix there.
    """
    file = FILES.get(path)
    head = os.pread(file.fileno(), HEADER_SIZE, offset)
    kind = head[:5]
    if kind == b"\0BFM " and len(head) >= 15:
        rows, cols = struct.unpack("<xixi", head[5:15])
        last = rows if num_frames is None else min(first + num_frames, rows)
        size = max(0, last - first) * cols * 4
        data = read_exactly(file, size, offset + 15 + 4 * first * cols, path)
        return np.frombuffer(data, np.float32).reshape(-1, cols)
    if kind == b"\0BCM " and len(head) >= 21:
        low, span, rows, cols = struct.unpack("<ffii", head[5:21])
        whole = num_frames is None or (first == 0 and num_frames >= rows)
        data = read_exactly(file, cols * (8 + rows * whole), offset + 21, path)
        knots = np.frombuffer(data, "<u2", cols * 4).reshape(cols, 4, 1)
        knots = (low + knots.astype(np.float32) * np.float32(span / QUANTILES)).astype(np.float32)
        if whole:
            codes = np.frombuffer(data, np.uint8, offset=cols * 8)
        else:  # the columns lie one after the other
            size, at = max(0, min(num_frames, rows - first)), offset + 21 + cols * 8 + first
            parts = (read_exactly(file, size, at + i * rows, path) for i in range(cols))
            codes = np.frombuffer(b"".join(parts), np.uint8)
        return decode(codes.reshape(cols, -1), knots).T
    raise UserError(f"{path}:{offset}: no feature matrix here; extract the features again")


def read_exactly(file, size: int, offset: int, path: str) -> bytearray:
    """Exactly ``size`` bytes, writable.

    The position goes with the call, so threads and forked processes may share the file.
    """
    data = bytearray(size)
    done = 0
    while done < size:
        got = os.preadv(file.fileno(), [memoryview(data)[done:]], offset + done)
        if got == 0:
            raise UserError(f"{path}:{offset}: the file ends too early; extract the features again")
        done += got
    return data


def read_ark(path: str, offset: int, first: int = 0, num_frames: int | None = None) -> Tensor:
    """The features (T, F) at an offset of an ark file, as a float32 tensor; see ``read_matrix``."""
    return torch.from_numpy(np.ascontiguousarray(read_matrix(path, offset, first, num_frames)))
