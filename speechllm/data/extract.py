"""Features of a data directory, in shards that are each made once and merged at the end."""

import hashlib
import heapq
import json
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np

from speechllm.data.ark import compressed_bytes, plain_bytes
from speechllm.data.audio import read_audio
from speechllm.data.data_dir import count_utterances, iter_audio, part_bounds
from speechllm.data.fbank import Fbank
from speechllm.data.speed import PREFIX, change_speed, speed_prefix
from speechllm.data.tables import atomic_write, write_table
from speechllm.errors import UserError

SHARD_UTTS = 5000  # a killed job loses no more than these
MAX_BAD_SHARE = 0.05  # of the training set


@dataclass(frozen=True)
class Extractor:
    """How samples become features.

    Args:
        resample: convert other sampling rates, otherwise such audio is bad.
        compress: one byte per value.
        speeds: each utterance is extracted at each of them.
        training: leave bad, silent and too short utterances out; otherwise bad ones are errors and the others kept.
    """

    sample_rate: int = 16000
    num_mel_bins: int = 80
    resample: bool = True
    compress: bool = True
    speeds: tuple[float, ...] = (1.0,)
    training: bool = False

    def samples(
        self, path: str, start: float | None, end: float | None, min_samples: int
    ) -> np.ndarray:
        """Samples of an utterance that has enough of them."""
        samples = read_audio(path, self.sample_rate, start, end, self.resample)
        if self.training and not samples.any():
            raise UserError(f"{path}: silent, every sample is 0")
        if self.training and len(samples) < min_samples * max(self.speeds) + 1:
            raise UserError(f"{path}: {len(samples)} samples are too short for one frame")
        if (
            len(samples) < min_samples
        ):  # a test utterance is never lost: silence makes it one frame long
            samples = np.pad(samples, (0, min_samples - len(samples)))
        return samples


def num_shards(num_utts: int, num_parts: int) -> int:
    return max(num_parts, -(-num_utts // SHARD_UTTS))


def part_size(num_utts: int, num_parts: int, part: int) -> int:
    """Utterances in the shards of a part."""
    count = num_shards(num_utts, num_parts)
    bounds = [
        part_bounds(num_utts, count, shard + 1) for shard in range(part - 1, count, num_parts)
    ]
    return sum(last - first for first, last in bounds)


def input_stamp(extractor: Extractor, utts: list[tuple]) -> str:
    """A hash of all that decides the features of a shard: settings, utterances, size and time of their files."""
    digest = hashlib.sha256(repr(extractor).encode())
    for utt in utts:
        try:
            status = os.stat(utt[1])
            state = (status.st_size, status.st_mtime_ns)
        except OSError:
            state = None
        digest.update(repr((utt, state)).encode())
    return digest.hexdigest()


def shard_path(feats_dir: Path, shard: int, kind: str) -> Path:
    return feats_dir / f"feats.{shard}.{kind}"


def extract_part(
    data_dir: Path,
    feats_dir: Path,
    extractor: Extractor,
    num_parts: int,
    part: int,
    progress: Callable[[int, float], None],
):
    """Make those shards of a part that are missing or out of date.

    Args:
        part: from 1; shard s belongs to part s % num_parts + 1.
        progress: called after each utterance with utterances done and seconds of audio, 0 where it was there already.

    Raises:
        UserError: a bad utterance, unless training.
    """
    feats_dir.mkdir(parents=True, exist_ok=True)
    total = count_utterances(data_dir)
    count = num_shards(total, num_parts)
    utts, at = iter_audio(data_dir), 0
    for shard in range(part - 1, count, num_parts):
        first, last = part_bounds(total, count, shard + 1)
        chosen = list(islice(utts, first - at, last - at))
        at = last
        stamp = input_stamp(extractor, chosen)
        try:
            done = json.loads(shard_path(feats_dir, shard, "json").read_text())["stamp"] == stamp
        except (OSError, ValueError, KeyError):
            done = False
        if done:
            progress(len(chosen), 0.0)
        else:
            extract_shard(chosen, feats_dir, shard, extractor, stamp, progress)


def extract_shard(
    utts: list[tuple], feats_dir: Path, shard: int, extractor: Extractor, stamp: str, progress
):
    """Write one shard: ark, scp, frames, and last the json that says it is complete."""
    shard_path(feats_dir, shard, "json").unlink(missing_ok=True)
    fbank = Fbank(extractor.num_mel_bins, extractor.sample_rate)
    to_bytes = compressed_bytes if extractor.compress else plain_bytes
    ark_path = shard_path(feats_dir, shard, "ark").resolve()
    positions, frames, bad = {}, {}, {}
    with atomic_write(ark_path, "wb") as ark:
        for utt_id, path, start, end in utts:
            try:
                samples = extractor.samples(path, start, end, fbank.length)
            except UserError as error:
                if not extractor.training:
                    raise UserError(
                        f"{utt_id}: {error}; no utterance of a test set may be lost, repair it"
                    ) from error
                bad[utt_id] = str(error)
                progress(1, 0.0)
                continue
            for speed in extractor.speeds:
                feats = fbank(change_speed(samples, speed)).numpy()
                name = speed_prefix(speed) + utt_id
                ark.write(f"{name} ".encode())
                positions[name] = f"{ark_path}:{ark.tell()}"
                frames[name] = str(len(feats))
                ark.write(to_bytes(feats))
            progress(1, len(samples) / extractor.sample_rate)
    write_table(shard_path(feats_dir, shard, "frames"), frames)
    write_table(shard_path(feats_dir, shard, "scp"), positions)
    with atomic_write(shard_path(feats_dir, shard, "json")) as file:
        json.dump(
            {"stamp": stamp, "num_utts": len(utts), "speeds": extractor.speeds, "bad": bad}, file
        )


def merge_shards(
    data_dir: Path, feats_dir: Path, num_parts: int, training: bool
) -> tuple[int, int]:
    """Join all shards into feats.scp, utt2num_frames and bad_utts of the data directory.

    Returns:
        the numbers of natural utterances with and without features.

    Raises:
        UserError: a shard is missing, or too many utterances are bad.
    """
    total = count_utterances(data_dir)
    shards, bad, speeds = range(num_shards(total, num_parts)), {}, [1.0]
    for shard in shards:
        path = shard_path(feats_dir, shard, "json")
        try:
            state = json.loads(path.read_text())
        except (OSError, ValueError) as error:
            raise UserError(
                f"{path}: this part of the features is missing; run extract_fbank again"
            ) from error
        bad.update(state["bad"])
        speeds = state["speeds"]
    check_bad(data_dir, bad, total, MAX_BAD_SHARE if training else 0.0)
    (data_dir / "feats.scp").unlink(missing_ok=True)
    write_table(data_dir / "bad_utts", bad)
    if not bad:
        (data_dir / "bad_utts").unlink()
    for kind, name in (("frames", "utt2num_frames"), ("scp", "feats.scp")):
        prefixes = [speed_prefix(speed) for speed in speeds]
        with atomic_write(data_dir / name) as file:
            file.writelines(heapq.merge(*(lines(feats_dir, shards, kind, p) for p in prefixes)))
    return total - len(bad), len(bad)


def lines(feats_dir: Path, shards: range, kind: str, prefix: str) -> Iterator[str]:
    """Lines of all shards at one speed; sorted, as the shards follow one another."""
    is_natural = not prefix
    for shard in shards:
        with open(shard_path(feats_dir, shard, kind), encoding="utf-8") as file:
            for line in file:
                if line.startswith(prefix) and (not is_natural or not PREFIX.match(line)):
                    yield line


def check_bad(data_dir: Path, bad: dict[str, str], total: int, max_share: float):
    """Say how many utterances have no features, and raise UserError if they are too many."""
    if not bad:
        return
    first = min(bad)
    text = f"{data_dir}: {len(bad)} of {total} utterances have no features, first: {first} ({bad[first]})"
    if len(bad) > max_share * total:
        raise UserError(f"{text}; at most {max_share:.0%} may be missing, repair the audio")
    print(f"{text}; all are listed in {data_dir}/bad_utts")


class Progress:
    """A line every few seconds: how much is done, how fast, how long it will take."""

    def __init__(self, name: str, total: int, interval: float = 5.0):
        self.name, self.total, self.interval = name, total, interval
        self.utts, self.seconds, self.start = 0, 0.0, time.monotonic()
        self.shown = self.start

    def __call__(self, utts: int, seconds: float):
        self.utts, self.seconds = self.utts + utts, self.seconds + seconds
        now = time.monotonic()
        if now - self.shown >= self.interval or self.utts == self.total:
            self.shown, took = now, max(now - self.start, 1e-3)
            left = took / max(self.utts, 1) * (self.total - self.utts)
            print(
                f"{self.name}: {self.utts}/{self.total} utterances, {self.seconds / took:.0f} times real time, "
                f"{left:.0f} s left",
                flush=True,
            )
