"""Training epochs over the corpus: the settings of the mini preset, one utterance list in two orders."""

import dataclasses
from pathlib import Path

import numpy as np
import torch
import yaml
from common import ROOT, largest_difference
from corpus import file_order

from speechllm.config import from_dict
from speechllm.data.manifest import Manifest
from speechllm.data.sampler import padding_share, plan_batches
from speechllm.data.tokenizer import CtcTokenizer
from speechllm.train import update
from speechllm.train.distributed import Setup

NUM_UTTS = 400  # in a timed epoch, about 15 minutes of audio
TOLERANCE = 1e-3  # of sums over hundreds of utterances in another order


def read_config(config_class, name: str):
    path = ROOT / "egs/mls/conf/mini" / name
    return from_dict(config_class, yaml.safe_load(path.read_text(encoding="utf-8")))


def shrink(config, small: bool):
    """The same config with a tiny encoder and batches, where sizes do not matter."""
    if not small:
        return config
    encoder = dataclasses.replace(config.encoder, dim=16, num_layers=4, num_heads=2, ffn_dim=32)
    return dataclasses.replace(config, encoder=encoder)


class Plans:
    """Our batches, and two plans in file order with a fixed batch size, over the same utterances.

    ``file_order`` has as many batches as ours. ``file_order_in_memory`` has the size at which even a batch of the
    longest utterances would hold no more frames than ours do: what fits where memory is the limit.

    Args:
        num_utts: utterances of the training set, evenly spread over it.
        batch_frames: what one of our batches holds at most.
    """

    def __init__(self, corpus: Path, num_utts: int, batch_frames: int):
        self.manifest = Manifest(corpus / "train" / "manifest.arrow")
        self.units = CtcTokenizer(corpus / "units.model")
        total = len(self.manifest)
        chosen = np.unique(np.linspace(0, total - 1, min(num_utts, total)).round().astype(int))
        self.ours = plan_batches(self.manifest.num_frames, batch_frames, 1, 0, chosen)
        self.file_order = file_order(chosen, -(-len(chosen) // len(self.ours)))
        longest = int(self.manifest.num_frames[chosen].max())
        self.file_order_in_memory = file_order(chosen, max(1, batch_frames // longest))
        self.hours = float(self.manifest.num_frames[chosen].sum()) / 360_000
        self.seconds = batch_frames // 100

    def describe(self, ours: list[float], theirs: list[float], plan: list[np.ndarray]) -> str:
        """What was compared, from the seconds of both sides' epochs and the batches of theirs."""
        speed = [self.hours * 3600 / np.median(took) for took in (ours, theirs)]
        shares = [padding_share(self.manifest.num_frames, p) for p in (self.ours, plan)]
        bound = (1 - shares[0]) / (1 - shares[1])
        return (
            f"{self.hours:.2f} h of the mini corpus, {len(self.ours)} and {len(plan)} "
            f"batches; ours {speed[0]:.0f} audio hours per hour and {shares[0]:.1%} padding, "
            f"theirs {speed[1]:.0f} and {shares[1]:.1%}, so that order alone can win {bound:.2f}"
        )


def run_epoch(model, loader, optimizer):
    """Train once through the batches, as the training loop does."""
    model.train()
    for number, batch in enumerate(loader):
        update.update(model, [batch], optimizer, step=number, setup=Setup(), grad_clip=5.0)


def totals(model, loader) -> list[torch.Tensor]:
    """Sums of loss and gradients over the batches, without dropout and SpecAugment."""
    model.eval()
    model.zero_grad(set_to_none=True)
    total = 0.0
    for batch in loader:
        loss, _, _ = model(**{k: v for k, v in batch.items() if k != "utt_ids"})
        loss.backward()
        total += loss.detach()
    gradients = [p.grad.clone() for p in model.parameters() if p.grad is not None]
    model.zero_grad(set_to_none=True)
    return [total, *gradients]


def difference(a: list[torch.Tensor], b: list[torch.Tensor]) -> float:
    """Greatest difference of two lists, relative to the greatest loss and the greatest gradient."""
    assert len(a) == len(b) > 1 and a[0] > 0  # otherwise this would prove nothing
    largest = max(float(x.abs().max()) for x in a[1:])
    gradients = max(largest_difference(x, y) for x, y in zip(a[1:], b[1:], strict=True))
    return max(float((a[0] - b[0]).abs() / a[0].abs()), gradients / largest)
