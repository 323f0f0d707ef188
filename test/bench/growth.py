"""How time and peak memory grow with the size of the input: test/bench/growth.{png,json,md}.

python test/bench/growth.py            # on one CPU core, each point in a process of its own
python test/bench/growth.py --small    # tiny sizes; nothing is written

The mini preset's encoder and LLM with random weights and LoRA. Beside each curve stands its exponent: the slope between
its last two points in the double logarithmic plot, 1 where a size twice as large costs twice as much.
"""

import argparse
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
import torch

from speechllm import build
from speechllm.config import DecodeConfig, TrainCtcConfig, TrainLlmConfig
from speechllm.data.manifest import Manifest
from speechllm.data.sampler import batches_in_order, plan_batches
from speechllm.decode.llm import greedy
from speechllm.decode.windows import window_bounds
from speechllm.models.adaptors.stack import StackAdaptor
from speechllm.models.speech_llm import SpeechLlm

VOCAB_SIZE = 1258  # of the mini preset
CURVES = {  # size on the x axis: its values, those where everything is small
    "seconds of an utterance, training": ((1, 2, 5, 10, 20, 40), (0.5, 1)),
    "utterances of 5 s in a batch, training": ((1, 2, 4, 8, 16, 32), (1, 2)),
    "vocabulary, training": ((1_000, 4_000, 16_000, 64_000, 250_000), (40, 80)),
    "frames stacked, training": ((1, 2, 3, 6, 12), (1, 2)),
    "seconds of an utterance, decoding": ((1, 5, 20, 60, 180, 600, 1_800, 10_800), (0.5, 1)),
    "utterances in a manifest, planning": ((10_000, 100_000, 1_000_000, 10_000_000), (100, 1_000)),
}


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


def decode(seconds: float, vocab_size: int, small: bool) -> dict:
    """Greedy search without drafts, in windows as bin/decode has them; features come batch by batch."""
    model = make_model(vocab_size, 1, small).eval()
    window, overlap = round(100 * DecodeConfig.window), round(100 * DecodeConfig.overlap)
    bounds = window_bounds(int(100 * seconds), window, overlap)
    lens = np.array([num_frames for _, num_frames in bounds])

    @torch.no_grad()
    def run():
        for own in batches_in_order(lens, DecodeConfig.batch_frames):
            batch = make_batch(len(own), lens[own].max() / 100, vocab_size)
            rows, _ = model.rows(batch["feats"], batch["feat_lens"], batch["prompts"])
            greedy(model.llm, rows, [len(target) for target in batch["targets"]], llama.EOS_ID)

    return cost(run)


def plan(num_rows: int) -> dict:
    with tempfile.TemporaryDirectory() as folder:
        common.in_child(manifest.write_manifest, Path(folder), num_rows)
        path = manifest.manifest_path(Path(folder), num_rows)
        return cost(lambda: plan_batches(Manifest(path).num_frames, 50_000, 1, 0))


def measure(curve: str, size, small: bool) -> dict:
    """A point of a curve, in a process of its own."""
    vocab_size, seconds = (40, 0.5) if small else (VOCAB_SIZE, 5)
    calls = {
        "seconds of an utterance, training": (train, 1, size, vocab_size, 1, small),
        "utterances of 5 s in a batch, training": (train, size, seconds, vocab_size, 1, small),
        "vocabulary, training": (train, 4, seconds, size, 1, small),
        "frames stacked, training": (train, 4, seconds, vocab_size, size, small),
        "seconds of an utterance, decoding": (decode, size, vocab_size, small),
        "utterances in a manifest, planning": (plan, size),
    }
    return {"curve": curve, "size": size, **common.in_child(*calls[curve])}


def exponent(points: list[dict], name: str) -> float:
    """Slope between the last two points, in logarithms."""
    a, b = points[-2:]
    if min(a[name], b[name]) <= 0:
        return math.nan
    return math.log(b[name] / a[name]) / math.log(b["size"] / a["size"])


def as_table(points: list[dict]) -> str:
    lines = [
        "# How cost grows",
        "",
        f"Made by `python test/bench/growth.py` on {common.machine()}, one core, commit "
        f"{common.git_commit(common.ROOT)}.",
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

    figure, panels = pyplot.subplots(2, 3, figsize=(13, 7), layout="constrained")
    for axes, curve in zip(panels.flat, CURVES, strict=True):
        own = [point for point in points if point["curve"] == curve]
        sizes, memory = [point["size"] for point in own], axes.twinx()
        axes.loglog(sizes, [point["seconds"] for point in own], "o-", label="time")
        memory.loglog(sizes, [max(point["mb"], 1) for point in own], "s--", color="tab:orange")
        axes.set_xlabel(curve)
        axes.set_ylabel("seconds")
        memory.set_ylabel("MB (dashed)")
        axes.set_title(
            f"exponents: time {exponent(own, 'seconds'):.2f}, memory {exponent(own, 'mb'):.2f}",
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
