"""Audio of a data directory to shards of features; what is there and up to date stays as it is."""

import hashlib
import json
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np

from speechllm.data.ark import compressed_bytes, plain_bytes
from speechllm.data.audio import read_audio
from speechllm.data.data_dir import iter_audio
from speechllm.data.fbank import Fbank
from speechllm.data.shards import read_state, shard_path, shards_of_part
from speechllm.data.speed import change_speed, speed_prefix
from speechllm.data.subset import count_utterances
from speechllm.data.tables import atomic_write, write_table
from speechllm.errors import UserError


@dataclass(frozen=True)
class Extractor:
    """How audio becomes features.

    Args:
        resample: convert other sampling rates, otherwise such audio is bad.
        compress: one byte per value.
        speeds: each utterance is extracted at each of them.
        training: silent and very short utterances are bad as unreadable ones are; otherwise they
            are kept, as no utterance of a test set may be lost.
    """

    sample_rate: int = 16000
    num_mel_bins: int = 80
    resample: bool = True
    compress: bool = True
    speeds: tuple[float, ...] = (1.0,)
    training: bool = False

    def read(self, path: str, start: float | None, end: float | None, min_samples: int):
        """Samples (N,) of an utterance, and what is odd about them or "".

        Raises:
            UserError: unreadable; in training also silent, or too short for a frame at each speed.
        """
        samples, odd = read_audio(path, self.sample_rate, start, end, self.resample), ""
        if not samples.any():
            odd = f"{path}: silent, every sample is 0"
        elif len(samples) < min_samples * max(self.speeds) + 1:
            odd = f"{path}: {len(samples)} samples are too few for one frame"
        if odd and self.training:
            raise UserError(odd)
        if len(samples) < min_samples:
            samples = np.pad(samples, (0, min_samples - len(samples)))
        return samples, odd


def input_stamp(extractor: Extractor, utts: list[tuple]) -> str:
    """A hash of what decides the features: settings, utterances, size and time of their files."""
    digest = hashlib.sha256(repr(extractor).encode())
    for utt in utts:
        try:
            status = os.stat(utt[1])
            state = (status.st_size, status.st_mtime_ns)
        except OSError:
            state = None
        digest.update(repr((utt, state)).encode())
    return digest.hexdigest()


def extract_part(
    data_dir: Path,
    feats_dir: Path,
    extractor: Extractor,
    num_parts: int,
    part: int,
    progress: Callable[[int, float], None],
):
    """Make those shards of a part that are missing, out of date or have bad utterances.

    Bad utterances are noted; ``merge_shards`` judges whether they are too many.

    Args:
        part: from 1.
        progress: called with utterances and seconds of audio that are done since the last call.
    """
    feats_dir.mkdir(parents=True, exist_ok=True)
    utts, at = iter_audio(data_dir), 0
    for shard, first, last in shards_of_part(count_utterances(data_dir), num_parts, part):
        chosen = list(islice(utts, first - at, last - at))
        at = last
        stamp = input_stamp(extractor, chosen)
        state = read_state(feats_dir, shard)
        if state is not None and state["stamp"] == stamp and not state["bad"]:
            progress(len(chosen), 0.0)
            continue
        for name in ("feats.scp", "manifest.arrow"):  # they point into what is about to change
            (data_dir / name).unlink(missing_ok=True)
        shard_path(feats_dir, shard, "json").unlink(missing_ok=True)
        state = extract_shard(chosen, feats_dir, shard, extractor, progress)
        with atomic_write(shard_path(feats_dir, shard, "json")) as file:
            json.dump({"stamp": stamp, "num_utts": len(chosen), **state}, file)


def extract_shard(
    utts: list[tuple], feats_dir: Path, shard: int, extractor: Extractor, progress: Callable
) -> dict:
    """Write ark, scp and frames of one shard.

    Returns:
        prefixes of the ids, bad and odd utterances with the reason.
    """
    fbank = Fbank(extractor.num_mel_bins, extractor.sample_rate)
    to_bytes = compressed_bytes if extractor.compress else plain_bytes
    ark_path = Path(os.path.abspath(shard_path(feats_dir, shard, "ark")))
    positions, frames, bad, odd = {}, {}, {}, {}
    with atomic_write(ark_path, "wb") as ark:
        for utt_id, path, start, end in utts:
            try:
                samples, oddity = extractor.read(path, start, end, fbank.length)
            except UserError as error:
                bad[utt_id] = str(error)
                progress(1, 0.0)
                continue
            if oddity:
                odd[utt_id] = oddity
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
    prefixes = [speed_prefix(speed) for speed in extractor.speeds]
    return {"prefixes": prefixes, "bad": bad, "odd": odd}


class Progress:
    """A line every few seconds: how much is done, how fast, and how long the rest will take."""

    def __init__(self, name: str, total: int, interval: float = 5.0):
        self.name, self.total, self.interval = name, total, interval
        self.utts, self.seconds = 0, 0.0
        self.start = self.shown = time.monotonic()

    def __call__(self, utts: int, seconds: float):
        self.utts, self.seconds = self.utts + utts, self.seconds + seconds
        now = time.monotonic()
        if now - self.shown < self.interval and self.utts < self.total:
            return
        self.shown, took = now, max(now - self.start, 1e-3)
        print(
            f"{self.name}: {self.utts}/{self.total} utterances, "
            f"{self.seconds / took:.0f} times real time, "
            f"{took / self.utts * (self.total - self.utts):.0f} s left",
            flush=True,
        )
