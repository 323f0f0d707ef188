"""The whole of stage 2: flac, opus and mp3 in, together and apart, compressed ark out, two processes on both sides."""

import shutil
import tempfile
import time
from functools import partial
from multiprocessing import get_context
from pathlib import Path

import common
import numpy as np
import soundfile
import torch
from corpus import audio_paths

from speechllm.data.ark import compressed_bytes, read_ark
from speechllm.data.audio import read_audio
from speechllm.data.data_dir import Utterance, write_data_dir
from speechllm.data.extract import Extractor, extract_part
from speechllm.data.fbank import INT16_SCALE, Fbank
from speechllm.data.rows import parse_position
from speechllm.data.shards import merge_shards
from speechllm.data.tables import read_table

PROCESSES = 2
FORMATS = {  # suffix: what soundfile has to know to write it
    ".flac": {},
    ".opus": {"format": "OGG", "subtype": "OPUS"},
    ".mp3": {"format": "MP3", "subtype": "MPEG_LAYER_III"},
}


def make_data_dirs(corpus: Path, folder: Path, num_utts: int) -> dict[str, Path]:
    """One data directory per format, all with the same utterances."""
    paths, data_dirs = audio_paths(corpus, num_utts), {}
    for suffix, options in FORMATS.items():
        data_dir = folder / suffix[1:] / "train"
        utts = []
        for utt_id, path in paths.items():
            audio = data_dir / "wav" / f"{utt_id}{suffix}"
            audio.parent.mkdir(parents=True, exist_ok=True)
            soundfile.write(audio, read_audio(path), 16000, **options)
            utts.append(Utterance(utt_id, utt_id, "text", str(audio), "en"))
        write_data_dir(data_dir, utts)
        data_dirs[suffix] = data_dir
    return data_dirs


def warm_up():
    """What every worker does before the clock starts: import, and use one thread."""
    import kaldiio  # noqa: F401
    from torchaudio.compliance import kaldi

    torch.set_num_threads(1)
    kaldi.fbank(torch.zeros(1, 16000), num_mel_bins=80)


def our_part(data_dir: Path, part: int):
    extractor = Extractor(training=True)
    extract_part(data_dir, data_dir / "fbank", extractor, PROCESSES, part, lambda *_: None)


def our_stage(pool, data_dir: Path):
    shutil.rmtree(data_dir / "fbank", ignore_errors=True)
    pool.starmap(our_part, [(data_dir, part + 1) for part in range(PROCESSES)], chunksize=1)
    merge_shards(data_dir, data_dir / "fbank", PROCESSES, training=True)


def usual_part(utts: list[tuple[str, str]], ark: Path):
    """The loop that recipes write: soundfile, torchaudio, kaldiio."""
    import kaldiio
    from torchaudio.compliance import kaldi

    with kaldiio.WriteHelper(f"ark,scp:{ark},{ark}.scp", compression_method=2) as writer:
        for utt_id, path in utts:
            samples, rate = soundfile.read(path, dtype="float32")
            wave = torch.from_numpy(samples)[None] * INT16_SCALE
            feats = kaldi.fbank(wave, num_mel_bins=80, dither=0.0, sample_frequency=rate)
            writer(utt_id, feats.numpy())


def usual_stage(pool, data_dir: Path):
    utts, folder = list(read_table(data_dir / "wav.scp").items()), data_dir / "usual"
    folder.mkdir(exist_ok=True)
    parts = [(utts[i::PROCESSES], folder / f"feats.{i}.ark") for i in range(PROCESSES)]
    pool.starmap(usual_part, parts, chunksize=1)
    lines = [line for _, ark in parts for line in Path(f"{ark}.scp").read_text().splitlines()]
    (folder / "feats.scp").write_text("\n".join(sorted(lines)) + "\n")


def steps_apart(data_dir: Path) -> float:
    """Greatest difference of both sides' features, in steps of the one-byte code."""
    import kaldiio

    usual, worst = kaldiio.load_scp(str(data_dir / "usual" / "feats.scp")), 0.0
    ours = read_table(data_dir / "feats.scp")
    if set(ours) != set(usual):
        return float("inf")
    for utt_id, position in ours.items():
        a, b = read_ark(*parse_position(position)).numpy(), usual[utt_id]
        if a.shape != b.shape:
            return float("inf")
        step = np.maximum(np.maximum(np.ptp(a, axis=0), np.ptp(b, axis=0)) / 64, 1e-3)
        worst = max(worst, float((np.abs(a - b) / step).max()))
    return worst


def limits(data_dir: Path, num_utts: int = 40) -> str:
    """Shares of reading, features and compression in the time of one process."""
    fbank, seconds = Fbank(), np.zeros(3)
    for path in list(read_table(data_dir / "wav.scp").values())[:num_utts]:
        marks = [time.perf_counter()]
        samples = read_audio(path)
        marks.append(time.perf_counter())
        feats = fbank(samples).numpy()
        marks.append(time.perf_counter())
        compressed_bytes(feats)
        seconds += np.diff([*marks, time.perf_counter()])
    shares = seconds / seconds.sum()
    return f"of ours {shares[0]:.0%} reading, {shares[1]:.0%} features, {shares[2]:.0%} compression"


def bench(corpus: Path, small: bool) -> list[common.Row]:
    torch.set_num_threads(1)
    rows, rounds = [], {common.OURS: [], "usual": []}
    with tempfile.TemporaryDirectory() as folder:
        data_dirs = make_data_dirs(corpus, Path(folder), 4 if small else 400)
        seconds = sum(
            soundfile.info(path).duration
            for path in read_table(data_dirs[".flac"] / "wav.scp").values()
        )
        with get_context("fork" if small else "spawn").Pool(PROCESSES, warm_up) as pool:
            for suffix, data_dir in data_dirs.items():
                sides = {
                    common.OURS: partial(our_stage, pool, data_dir),
                    "usual": partial(usual_stage, pool, data_dir),
                }
                for run in sides.values():
                    run()
                apart = steps_apart(data_dir)
                took = common.in_turns(sides, 1 if small else 7)
                speed = {name: seconds / np.median(values) for name, values in took.items()}
                for name, values in took.items():
                    rounds[name].append(values)
                rows.append(
                    common.make_row(
                        "stage2",
                        f"soundfile + torchaudio + kaldiio, {suffix[1:]}",
                        took[common.OURS],
                        took["usual"],
                        apart <= 1.01,
                        ("soundfile", "torchaudio", "kaldiio"),
                        f"{seconds:.0f} s of audio, {PROCESSES} processes; features at most "
                        f"{apart:.2f} steps of the byte code apart; ours "
                        f"{speed[common.OURS]:,.0f} times real time, theirs {speed['usual']:,.0f}; "
                        f"{limits(data_dir)}",
                    )
                )
    total = {name: np.sum(values, axis=0) for name, values in rounds.items()}
    rows.append(
        common.make_row(
            "stage2",
            f"soundfile + torchaudio + kaldiio, {', '.join(suffix[1:] for suffix in FORMATS)}",
            total[common.OURS],
            total["usual"],
            all(row.equal for row in rows),
            ("soundfile", "torchaudio", "kaldiio"),
            "the rows above together, as much audio in each format: their seconds added up, rounds "
            "paired by number though a format's ran after those of the one before; the limit is the "
            "decoder of opus",
        )
    )
    return rows


if __name__ == "__main__":
    common.main(bench, {"stage2"})
