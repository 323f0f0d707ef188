"""The folder of one training run: whose it is, where it stands, which checkpoints it keeps."""

import json
import math
import os
import re
import shutil
from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

import torch
import yaml
from torch import Tensor

from speechllm.errors import UserError
from speechllm.train import checkpoint


@dataclass
class Progress:
    """Where a run stands."""

    step: int = 0
    epoch: int = 0
    micro_batches: int = 0  # of this epoch that are learnt, per process
    world_size: int = 1  # processes that this count is for
    validated: int = 0  # the latest step that was validated
    best: list = field(default_factory=list)  # [score, step], the lowest score first
    metrics_bytes: int = 0  # of metrics.jsonl, up to this step

    def spread(self, world_size: int):
        """Go on with another number of processes, from about the same place in the epoch."""
        self.micro_batches = self.micro_batches * self.world_size // world_size
        self.world_size = world_size

    def enter(self, score: float, keep_best: int) -> bool:
        """Whether the present step, with its score, is among the best; of equals the later."""
        self.best.append([score if math.isfinite(score) else math.inf, self.step])
        self.best = sorted(self.best, key=lambda entry: (entry[0], -entry[1]))[: max(keep_best, 1)]
        return any(step == self.step for _, step in self.best)


class ExpDir:
    """A folder with config.yaml, metrics.jsonl, tensorboard/ and checkpoints step_<N>/ last/ best/.

    Args:
        path: the folder; other files in it (a log, decoded text) are never touched.
        config_text: YAML; a folder belongs to one config.
        files: copied into every checkpoint, see ``checkpoint.write``.
    """

    def __init__(
        self, path: str | Path, config_text: str, files: Mapping[str, str | Path] | None = None
    ):
        self.path, self.config_text = Path(path), config_text
        self.files = {name: Path(source) for name, source in (files or {}).items()}
        self.last, self.best = self.path / "last", self.path / "best"
        self.config = self.path / "config.yaml"

    def step(self, step: int) -> Path:
        return self.path / f"step_{step:06d}"

    def open(self, may_change: Collection[str] = (), overwrite: bool = False):
        """Take possession: check the config against the folder's, repair what a kill left.

        Args:
            may_change: dotted config keys that may differ when a run is resumed; one names all
                keys below it.
            overwrite: clear a former run away, whatever its config.

        Raises:
            UserError: the folder holds a run with another config; a file to be copied is missing.
        """
        for name, source in self.files.items():
            if not source.exists():
                raise UserError(f"{source}: not found, but each checkpoint holds it as {name}")
        if self.config.exists() and not overwrite:
            former = self.config.read_text(encoding="utf-8")
            if difference := first_difference(former, self.config_text, may_change):
                raise UserError(
                    f"{self.path} holds a run with another config ({difference}); "
                    "choose a new --exp_dir or pass --overwrite true"
                )
        self.path.mkdir(parents=True, exist_ok=True)
        for folder in (self.last, self.best):
            checkpoint.recover(folder)
        if overwrite:
            self._clear()
        self._drop_all_but(self._read_progress().best if self.last.exists() else [])
        unfinished = self.config.with_name("config.yaml.tmp")
        unfinished.write_text(self.config_text, encoding="utf-8")
        os.replace(unfinished, self.config)

    def _clear(self):
        """Remove the former run; its config goes last, so that a half cleared folder is no other's."""
        for folder in (self.last, self.best):
            if folder.exists():
                gone = folder.with_name(f"{folder.name}.tmp")  # half a folder never has its name
                os.rename(folder, gone)
                shutil.rmtree(gone)
        self._drop_all_but([])
        shutil.rmtree(self.path / "tensorboard", ignore_errors=True)
        for file in (self.path / "metrics.jsonl", self.config):
            file.unlink(missing_ok=True)

    def load_last(self) -> tuple[dict[str, Tensor], dict, Progress] | None:
        """Weights, optimizer state and progress of ``last/``; None where nothing is saved yet."""
        if not self.last.exists():
            return None
        weights = checkpoint.read(self.last)
        optimizer_state = torch.load(
            self.last / "optimizer.pt", map_location="cpu", weights_only=True
        )
        return weights, optimizer_state, self._read_progress()

    def _read_progress(self) -> Progress:
        return Progress(**json.loads((self.last / "progress.json").read_text(encoding="utf-8")))

    def write(self, path: Path, weights: Mapping[str, Tensor]):
        """A checkpoint of weights alone."""
        checkpoint.write(path, weights, self.config_text, self.files)

    def write_step(self, step: int, weights: Mapping[str, Tensor]):
        """A checkpoint that may become one of the best."""
        self.write(self.step(step), weights)

    def write_last(self, weights: Mapping[str, Tensor], optimizer_state: dict, progress: Progress):
        """What the run goes on from; then drop each ``step_<N>/`` that is not among the best."""

        def more(folder: Path):
            torch.save(optimizer_state, folder / "optimizer.pt")
            (folder / "progress.json").write_text(
                json.dumps(asdict(progress)) + "\n", encoding="utf-8"
            )

        checkpoint.write(self.last, weights, self.config_text, self.files, more)
        self._drop_all_but(progress.best)

    def _drop_all_but(self, best: list):
        kept = {self.step(step) for _, step in best}
        for folder in self.path.iterdir():
            if folder not in kept and re.fullmatch(r"step_\d+(\.tmp)?", folder.name):
                shutil.rmtree(folder, ignore_errors=True)


def flatten(values, prefix: str = "") -> dict:
    """Nested dictionaries as one, with dotted keys."""
    if not isinstance(values, dict):
        return {prefix: values}
    flat = {}
    for key, value in values.items():
        flat |= flatten(value, f"{prefix}.{key}" if prefix else str(key))
    return flat


def first_difference(old_text: str, new_text: str, may_change: Collection[str] = ()) -> str | None:
    """The first key whose value differs between two YAML texts, with both values.

    Keys in the section ``config`` are named as on the command line, without it.

    >>> first_difference("optim: {lr: 1e-4, accum: 1}", "optim: {lr: 5e-5, accum: 1}")
    'optim.lr 1e-4, now 5e-5'
    """
    old, new = (flatten(yaml.safe_load(text)) for text in (old_text, new_text))
    for key in (*old, *(key for key in new if key not in old)):
        if any(f"{key}.".startswith(f"{free}.") for free in may_change):
            continue
        if old.get(key) != new.get(key) or (key in old) != (key in new):
            name = key.removeprefix("config.")
            return f"{name} {_shown(old, key)}, now {_shown(new, key)}"
    return None


def _shown(flat: dict, key: str) -> str:
    if key not in flat:
        return "not set"
    return (
        yaml.safe_dump(flat[key], default_flow_style=True, allow_unicode=True)
        .removesuffix("...\n")
        .strip()
    )
