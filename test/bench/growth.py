"""How time and peak memory grow with the size of the input: test/bench/growth.{png,json,md}.

python test/bench/growth.py            # on one CPU core, each point in a process of its own
python test/bench/growth.py --small    # tiny sizes; nothing is written

The mini preset's encoder and LLM with random weights and LoRA. Beside each curve stands its exponent, see ``MEANING``.
"""

import argparse
import dataclasses
import json
import math
import tempfile
import time
from pathlib import Path

import common
import epochs
import llama
import manifest
import numpy as np
import soundfile
import torch

from speechllm import build
from speechllm.bin.decode import decode
from speechllm.bin.recognize import llm_recognizer
from speechllm.config import DecodeConfig, TrainCtcConfig, TrainLlmConfig
from speechllm.data.compile import compile_manifest
from speechllm.data.data_dir import Utterance, write_data_dir
from speechllm.data.extract import Extractor, extract_part
from speechllm.data.manifest import Manifest
from speechllm.data.prompts import PromptTemplate
from speechllm.data.sampler import plan_batches
from speechllm.data.shards import merge_shards
from speechllm.models.adapters import merge_adapters
from speechllm.models.adaptors.stack import StackAdaptor
from speechllm.models.speech_llm import SpeechLlm
from speechllm.train.distributed import Setup

VOCAB_SIZE = 1258  # of the mini preset
RATE = 16000
SECONDS = 5  # of an utterance, where it is not its length that grows
LENGTHS = (1, 5, 20, 60, 180, 600, 1_800, 10_800)  # of recordings
CURVES = {  # size on the x axis: its values, those where everything is small
    "seconds of an utterance, training": ((1, 2, 5, 10, 20, 40), (0.5, 1)),
    "utterances of 5 s in a batch, training": ((1, 2, 4, 8, 16, 32), (1, 2)),
    "vocabulary, training": ((1_000, 4_000, 16_000, 64_000, 250_000), (40, 80)),
    "frames stacked, training": ((1, 2, 3, 6, 12), (1, 2)),
    "seconds of a recording, features": (LENGTHS, (0.5, 1)),
    "seconds of a recording, decoding": (LENGTHS, (0.5, 1)),
    "utterances of 5 s in a batch, decoding": ((1, 2, 4, 8, 16, 32), (1, 2)),
    "utterances in a manifest, planning": ((10_000, 100_000, 1_000_000, 10_000_000), (100, 1_000)),
}
MEANING = (
    "An exponent is the slope between the last two sizes of a curve in the double logarithmic plot, 1 where a size "
    "twice as large costs twice as much; smaller sizes do not enter it. Training is forward and backward, without the "
    "optimizer, on random features. Features is stage 2 from a flac file to the archive. Decoding is what "
    "speechllm.bin.decode does from the manifest to the text: it reads the archive, in windows of "
    f"{DecodeConfig.window:.0f} s where a recording is longer, runs encoder and LLM, and joins the windows; greedy, "
    "without CTC drafts; recordings are noise and weights random, so that an output has always "
    f"{llama.TOKENS_PER_SECOND} tokens per second. Starting Python, loading a model and decoding half a "
    "second before are left out."
)


def make_model(vocab_size: int, stack_factor: int, small: bool) -> SpeechLlm:
    ctc = epochs.shrink(epochs.read_config(TrainCtcConfig, "train_ctc.yaml"), small)
    config = epochs.read_config(TrainLlmConfig, "train_llm.yaml")
    torch.manual_seed(0)
    speech = build.build_speech_encoder(ctc.encoder, config.spec_augment, 80)
    llm = llama.make_llm(vocab_size, small)
    return SpeechLlm(speech, StackAdaptor(speech.output_dim, llm.dim, stack_factor), llm)


def make_batch(num_utts: int, seconds: float, vocab_size: int) -> dict:
    num_frames, num_tokens = int(100 * seconds), max(1, int(llama.TOKENS_PER_SECOND * seconds))
    generator = torch.Generator().manual_seed(1)
    ids = torch.randint(3, vocab_size, (num_utts, num_tokens), generator=generator)
    return {
        "feats": torch.randn(num_utts, num_frames, 80, generator=generator),
        "feat_lens": torch.full((num_utts,), num_frames),
        "prompts": [[b, torch.tensor([llama.BOS_ID])] for b in range(num_utts)],
        "targets": list(ids),
    }


def cost(run) -> dict:
    """Seconds of a call and MB that it took at its peak beyond what was there before."""
    before, start = common.memory("VmRSS"), time.perf_counter()
    run()
    return {"seconds": time.perf_counter() - start, "mb": common.memory("VmHWM") - before}


def train(num_utts: int, seconds: float, vocab_size: int, stack_factor: int, small: bool) -> dict:
    model = make_model(vocab_size, stack_factor, small).train()
    batch = make_batch(num_utts, seconds, vocab_size)
    return cost(lambda: model(**batch)[0].backward())


class Numbers:
    """Stands for the LLM's tokenizer: the text of a token is its number."""

    eos_id = llama.EOS_ID

    def decode(self, token_ids: list[int]) -> str:
        return " ".join(map(str, token_ids))


def record(data_dir: Path, num_utts: int, seconds: float):
    """A data directory of noise in flac files, written a minute at a time."""
    minute = 0.1 * np.random.default_rng(0).standard_normal(60 * RATE)
    num_samples, utts = int(seconds * RATE), []
    data_dir.mkdir()
    for i in range(num_utts):
        path = data_dir / f"{i}.flac"
        with soundfile.SoundFile(path, "w", RATE, 1) as file:
            for at in range(0, num_samples, len(minute)):
                file.write(minute[: num_samples - at])
        utts.append(Utterance(f"en_1_{i:06}", "en_1", "noise", str(path), "en"))
    write_data_dir(data_dir, utts)


def extract(data_dir: Path):
    """Stage 2 in one process."""
    extract_part(data_dir, data_dir / "fbank", Extractor(), 1, 1, lambda *_: None)
    merge_shards(data_dir, data_dir / "fbank", 1, training=False)
    compile_manifest(data_dir, data_dir / "manifest.arrow")


def features(seconds: float) -> dict:
    with tempfile.TemporaryDirectory() as folder:
        data_dir = Path(folder) / "test"
        common.in_child(record, data_dir, 1, seconds)
        return cost(lambda: extract(data_dir))


def decoding(num_utts: int, seconds: float, vocab_size: int, small: bool) -> dict:
    """All utterances in one batch, or recordings in batches of windows as bin/decode makes them."""
    config = DecodeConfig(
        ctc_drafts=False, max_tokens_per_second=llama.TOKENS_PER_SECOND, extra_tokens=1
    )
    if num_utts > 1:
        config = dataclasses.replace(config, batch_frames=int(100 * seconds * num_utts))
    with tempfile.TemporaryDirectory() as folder:
        for name, size in (("first", (1, 0.5)), ("test", (num_utts, seconds))):
            common.in_child(record, Path(folder) / name, *size)
            common.in_child(extract, Path(folder) / name)
        model = make_model(vocab_size, 1, small).eval()
        merge_adapters(model.llm.model)
        template = PromptTemplate(TrainLlmConfig.prompt, str.split, llama.BOS_ID, llama.EOS_ID)
        setup = Setup()
        recognize = llm_recognizer(model, Numbers(), None, template, config, setup.device)

        def run(name: str):
            decode(recognize, Path(folder) / name, Path(folder) / "out", config, setup)

        run("first")  # decode imports as it goes
        return cost(lambda: run("test"))


def plan(num_rows: int) -> dict:
    with tempfile.TemporaryDirectory() as folder:
        common.in_child(manifest.write_manifest, Path(folder), num_rows)
        path = manifest.manifest_path(Path(folder), num_rows)
        return cost(lambda: plan_batches(Manifest(path).num_frames, 50_000, 1, 0))


def measure(curve: str, size, small: bool) -> dict:
    """A point of a curve, in a process of its own."""
    vocab_size, seconds = (40, 0.5) if small else (VOCAB_SIZE, SECONDS)
    calls = {
        "seconds of an utterance, training": (train, 1, size, vocab_size, 1, small),
        "utterances of 5 s in a batch, training": (train, size, seconds, vocab_size, 1, small),
        "vocabulary, training": (train, 4, seconds, size, 1, small),
        "frames stacked, training": (train, 4, seconds, vocab_size, size, small),
        "seconds of a recording, features": (features, size),
        "seconds of a recording, decoding": (decoding, 1, size, vocab_size, small),
        "utterances of 5 s in a batch, decoding": (decoding, size, seconds, vocab_size, small),
        "utterances in a manifest, planning": (plan, size),
    }
    return {"curve": curve, "size": size, **common.in_child(*calls[curve])}


def exponent(points: list[dict], name: str) -> float:
    """Slope between the last two points, in logarithms: see ``MEANING``."""
    a, b = points[-2:]
    if min(a[name], b[name]) <= 0:
        return math.nan
    return math.log(b[name] / a[name]) / math.log(b["size"] / a["size"])


def as_table(points: list[dict]) -> str:
    lines = [
        "# How cost grows",
        "",
        f"Made by `python test/bench/growth.py` on {common.machine()}, one core, commit "
        f"{common.git_commit(common.ROOT)}. {MEANING}",
        "",
        "| size | from | to | seconds | exponent | MB beyond the model | exponent |",
        "|---|---|---|---|---|---|---|",
    ]
    for curve in CURVES:
        own = [point for point in points if point["curve"] == curve]
        first, last = own[0], own[-1]
        lines.append(
            f"| {curve} | {first['size']:,} | {last['size']:,} | {first['seconds']:.3f} to "
            f"{last['seconds']:.3f} | {exponent(own, 'seconds'):.2f} | {first['mb']:.0f} to "
            f"{last['mb']:.0f} | {exponent(own, 'mb'):.2f} |"
        )
    return "\n".join(lines) + "\n"


def plot(points: list[dict], path: Path):
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, panels = pyplot.subplots(2, 4, figsize=(17, 7), layout="constrained")
    for axes, curve in zip(panels.flat, CURVES, strict=True):
        own = [point for point in points if point["curve"] == curve]
        sizes, memory = [point["size"] for point in own], axes.twinx()
        axes.loglog(sizes, [point["seconds"] for point in own], "o-", label="time")
        memory.loglog(sizes, [max(point["mb"], 1) for point in own], "s--", color="tab:orange")
        axes.set_xlabel(curve)
        axes.set_ylabel("seconds")
        memory.set_ylabel("MB (dashed)")
        axes.set_title(
            f"slope at the end: time {exponent(own, 'seconds'):.2f}, memory {exponent(own, 'mb'):.2f}",
            fontsize=9,
        )
    figure.savefig(path, dpi=110)
    pyplot.close(figure)


def main(argv=None) -> list[dict]:
    parser = argparse.ArgumentParser(description="Time and memory against the size of the input.")
    parser.add_argument("--small", action="store_true", help="tiny sizes; nothing is written")
    args = parser.parse_args(argv)
    torch.set_num_threads(1)  # its threads would not survive a fork
    points = []
    for curve, sizes in CURVES.items():
        for size in sizes[args.small]:
            points.append(measure(curve, size, args.small))
            print(points[-1], flush=True)
    table = as_table(points)
    print(table)
    if not args.small:
        plot(points, common.BENCH_DIR / "growth.png")
        common.replace(common.BENCH_DIR / "growth.md", table)
        common.replace(common.BENCH_DIR / "growth.json", json.dumps(points, indent=1) + "\n")
    return points


if __name__ == "__main__":
    main()
