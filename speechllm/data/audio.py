"""Audio files to mono float32 samples, with every way in which a file can be bad told apart."""

import os
import struct

import numpy as np
import soundfile
import soxr

from speechllm.errors import UserError

UNKNOWN_SIZE = (
    0x7FFFF000  # sizes from here on mean that the writer of a wav did not know the length
)


def read_audio(
    path: str,
    sample_rate: int = 16000,
    start: float | None = None,
    end: float | None = None,
    resample: bool = True,
) -> np.ndarray:
    """Read wav, flac, mp3, ogg or opus as samples in [-1, 1): (N,) float32.

    Channels are averaged.

    Args:
        start, end: seconds; None for the beginning and the end of the file.
        resample: convert another sampling rate, otherwise it is an error.

    Raises:
        UserError: missing, not audio, empty, truncated, with samples that are NaN or infinite, or
            of another rate where that is not wanted.
    """
    check_complete(path)
    try:
        with soundfile.SoundFile(path) as file:
            rate, total = file.samplerate, file.frames
            if rate != sample_rate and not resample:
                raise UserError(
                    f"{path}: audio is {rate:,} Hz, the features need {sample_rate:,}; "
                    "set resample: true in conf/*/fbank.yaml to convert"
                )
            first = round((start or 0.0) * rate)
            wanted = (total if end is None else min(round(end * rate), total)) - first
            if first:
                file.seek(min(first, total))
            samples = file.read(max(0, wanted), dtype="float32", always_2d=True)
    except TypeError as error:  # soundfile asks for the rate of a file called .raw
        raise UserError(
            f"{path}: not readable as audio (raw samples do not tell their rate)"
        ) from error
    except soundfile.LibsndfileError as error:
        # libsndfile says of a file called .mp3 in which it finds nothing that there is no such file.
        is_unknown = "File does not exist" in error.error_string and os.path.isfile(path)
        reason = (
            "no audio format that is known here" if is_unknown else error.error_string.rstrip(".")
        )
        raise UserError(f"{path}: not readable as audio ({reason})") from error
    if wanted <= 0:
        raise UserError(f"{path}: no samples" + (f" from {start} s on" if start else ""))
    if len(samples) < wanted:
        raise UserError(f"{path}: truncated: {len(samples)} of {wanted} samples are there")
    samples = samples[:, 0] if samples.shape[1] == 1 else samples.mean(axis=1)
    if not np.isfinite(samples).all():
        raise UserError(f"{path}: has samples that are not numbers (NaN or infinite)")
    if rate != sample_rate:
        samples = soxr.resample(samples, rate, sample_rate)
    return samples


def check_complete(path: str):
    """Raise UserError if a file is missing, empty, or ends before its own container says.

    libsndfile reads what is left of a cut wav or ogg without a word.
    """
    try:
        with open(path, "rb") as file:
            size = os.fstat(file.fileno()).st_size
            head = file.read(4)
            if size == 0:
                raise UserError(f"{path}: empty file")
            if head == b"RIFF":
                missing = missing_in_wav(file, size)
            elif head == b"OggS":
                missing = missing_in_ogg(file, size)
            else:
                missing = 0
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror})") from error
    if missing:
        raise UserError(f"{path}: truncated: its last {missing} bytes are not there")


def missing_in_wav(file, size: int) -> int:
    """Bytes of the data chunk that lie behind the end of the file."""
    at = 12
    while at + 8 <= size:
        file.seek(at)
        name, length = struct.unpack("<4sI", file.read(8))
        if name == b"data":
            return 0 if length >= UNKNOWN_SIZE else max(0, at + 8 + length - size)
        at += 8 + length + length % 2
    return 0


def missing_in_ogg(file, size: int) -> int:
    """Bytes of the last page that lie behind the end of the file."""
    tail_size = min(size, 2 * 65536)  # more than one page
    file.seek(size - tail_size)
    tail = file.read(tail_size)
    at = tail.rfind(b"OggS")
    if at < 0 or len(tail) < at + 27 or len(tail) < at + 27 + tail[at + 26]:
        return max(1, at + 27 - len(tail))
    num_segments = tail[at + 26]
    page = 27 + num_segments + sum(tail[at + 27 : at + 27 + num_segments])
    return max(0, at + page - len(tail))
