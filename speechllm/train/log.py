"""What a run tells: console lines, metrics.jsonl and TensorBoard, the same numbers in each."""

import json
import math
import os
import resource
import sys
import time
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import nn

from speechllm.train.exp_dir import Progress

NOT_STATS = ("loss", "weight", "frames", "padded_frames")


def say(text: str):
    """Print at once, so that a log file can be followed."""
    print(text, flush=True)


def describe(model: nn.Module) -> str:
    """How many parameters learn, in all and by top-level module."""

    def count(module):
        parameters = list(module.parameters())
        return sum(p.numel() for p in parameters if p.requires_grad), sum(
            p.numel() for p in parameters
        )

    lines = ["parameters: {:,} learn, of {:,}".format(*count(model))]
    for name, child in model.named_children():
        if count(child)[1]:
            lines.append("  {}: {:,} of {:,}".format(name, *count(child)))
    return "\n".join(lines)


def duration(seconds: float) -> str:
    """
    >>> duration(3725)
    '1:02:05'
    """
    minutes, seconds = divmod(round(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02d}:{seconds:02d}"


class RunLog:
    """Collects what steps report and tells it at intervals; silent but on the main process.

    Args:
        exp_dir: where metrics.jsonl and tensorboard/ go on.
        is_main: whether this process tells anything.
        progress: ``step`` and ``metrics_bytes``: where to go on. metrics.jsonl is cut to this
            length, as what a killed run told after its last save is told again.
        done: share of the whole run that lies behind.
        tensorboard: whether to write curves for it.
    """

    def __init__(
        self,
        exp_dir: Path,
        is_main: bool,
        progress: Progress,
        done: float = 0.0,
        tensorboard: bool = True,
    ):
        self.is_main, self.start, self.start_done = is_main, time.monotonic(), done
        self.writer = self.metrics = None
        if is_main:
            self.metrics = open(exp_dir / "metrics.jsonl", "a+b")
            self.metrics.truncate(min(progress.metrics_bytes, self.metrics_bytes()))
            if tensorboard:
                self.writer = open_tensorboard(exp_dir / "tensorboard", progress.step)
        self.restart()

    def restart(self):
        """Begin an interval; what lay before (a validation) does not count into its speed."""
        self.sums, self.grad_norms, self.interval_start = Counter(), [], time.monotonic()

    def add(self, sums: Mapping[str, float], grad_norm: float):
        """Count one step's totals over micro-batches and processes, see ``update``."""
        self.sums.update(sums)
        self.grad_norms.append(grad_norm)

    def steps(self, step: int, max_steps: int, epoch: float, lr: float, done: float):
        """Tell the interval's averages and begin the next.

        Args:
            epoch: with the share of the present one, e.g. 2.25.
            done: share of the run, for the time left.
        """
        if self.is_main and self.grad_norms:
            sums, seconds = self.sums, time.monotonic() - self.interval_start
            weight = max(sums["weight"], 1)
            numbers = {"epoch": epoch, "loss": sums["loss"] / weight}
            numbers |= {
                name: value / weight for name, value in sums.items() if name not in NOT_STATS
            }
            numbers |= {"lr": lr, "grad_norm": sum(self.grad_norms) / len(self.grad_norms)}
            if sums["padded_frames"]:
                numbers["frames_per_second"] = sums["frames"] / seconds
                numbers["padding"] = 1 - sums["frames"] / sums["padded_frames"]
            else:
                numbers["weight_per_second"] = sums["weight"] / seconds
            numbers["memory_gb"] = peak_memory_gb()
            self._tell(step, numbers, f"/{max_steps}", f"  left {self._time_left(done)}")
        self.restart()

    def valid(self, step: int, scores: Mapping[str, float], note: str = "", prefix: str = "valid_"):
        """Tell a validation's scores."""
        if self.is_main:
            self._tell(step, {f"{prefix}{name}": value for name, value in scores.items()}, "", note)
        self.restart()

    def _time_left(self, done: float) -> str:
        """From the share of the run that this process has seen, validations included."""
        return duration(
            (time.monotonic() - self.start) * (1 - done) / max(done - self.start_done, 1e-9)
        )

    def _tell(self, step: int, numbers: Mapping[str, float], before: str, after: str):
        numbers = {name: float(f"{float(value):.5g}") for name, value in numbers.items()}
        say(
            f"step {step}{before}  "
            + "  ".join(f"{name} {value:.5g}" for name, value in numbers.items())
            + after
        )
        finite = {
            name: value if math.isfinite(value) else None for name, value in numbers.items()
        }  # JSON has no nan
        self.metrics.write((json.dumps({"step": step, **finite}) + "\n").encode())
        self.metrics.flush()
        for name, value in numbers.items() if self.writer else ():
            self.writer.add_scalar(name, value, step)

    def metrics_bytes(self) -> int:
        """Length of metrics.jsonl."""
        return self.metrics.seek(0, os.SEEK_END) if self.metrics else 0

    def close(self):
        for output in (self.metrics, self.writer):
            if output is not None:
                output.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


def open_tensorboard(folder: Path, step: int):
    """A writer that hides what was written after ``step``; None without TensorBoard."""
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        say("no TensorBoard curves: pip install tensorboard; the same numbers are in metrics.jsonl")
        return None
    return SummaryWriter(folder, purge_step=step + 1)


def peak_memory_gb() -> float:
    """Highest so far: of the GPU where there is one, of this process otherwise."""
    if torch.cuda.is_available():
        return torch.cuda.max_memory_allocated() / 2**30
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (
        2**30 if sys.platform == "darwin" else 2**20
    )
