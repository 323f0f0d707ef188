"""Peak memory of a training step of the LLM part, each step in a process of its own."""

from pathlib import Path

import common
import llm_step
import numpy as np
import torch

VOCAB_SIZE = 150_000
ROUNDS = 2


def measure(model, batch: dict) -> dict:
    """GB before and at the peak of one step, and the loss."""
    before = common.memory("VmRSS")
    loss = float(llm_step.step(model, batch))
    return {"before": before / 1e3, "peak": common.memory("VmHWM") / 1e3, "loss": loss}


def bench(corpus: Path, small: bool) -> list[common.Row]:
    torch.set_num_threads(1)  # its threads would not survive the fork
    vocab_size, num_utts = (90, 3) if small else (VOCAB_SIZE, 16)
    models, batch = llm_step.sides_of(vocab_size, num_utts, small)
    found = {name: [] for name in models}
    for _ in range(1 if small else ROUNDS):
        for name, model in models.items():
            found[name].append(common.in_child(measure, model, batch))
    losses = [f["loss"] for values in found.values() for f in values]
    worst = max(llm_step.difference(models, batch), np.ptp(losses) / max(losses))
    peaks = {name: [f["peak"] for f in values] for name, values in found.items()}
    steps = {n: np.median([f["peak"] - f["before"] for f in v]) for n, v in found.items()}
    return [
        common.make_row(
            "llm_memory",
            f"{llm_step.PEER}, vocabulary {vocab_size:,}",
            peaks[common.OURS],
            peaks["usual"],
            worst < llm_step.TOLERANCE,
            ("transformers", "peft", "torch"),
            f"{llm_step.describe(batch, models['usual'].llm)}; loss and gradients differ by at "
            f"most {worst:.0e}; peak of the whole process, weights and libraries too: ours "
            f"{np.median(peaks[common.OURS]):.2f} GB, theirs {np.median(peaks['usual']):.2f} GB; "
            f"of the step alone {steps[common.OURS]:.2f} and {steps['usual']:.2f} GB",
        )
    ]


if __name__ == "__main__":
    common.main(bench, {"llm_memory"})
