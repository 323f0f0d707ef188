"""An epoch of stage 4, CTC: batches of similar lengths against file order and a fixed size."""

from pathlib import Path

import common
import epochs
import torch

from speechllm import build
from speechllm.bin.training import hidden_matrices
from speechllm.config import TrainCtcConfig
from speechllm.data.cmvn import load_cmvn
from speechllm.data.collate import collate_ctc, make_loader
from speechllm.data.dataset import CtcDataset
from speechllm.train.muon import MuonAdamW

PEER = "the same encoder, file order and fixed batch size"
FACTORS = (1, 4)  # of the preset's batches: a GPU takes larger ones, and these have more padding


def make_optimizer(model, settings):
    """The preset's, at a rate that leaves the weights as they are."""
    matrices = hidden_matrices(model)
    ids = {id(p) for p in matrices}
    others = [p for p in model.parameters() if id(p) not in ids]
    return MuonAdamW(matrices, others, settings.muon_lr * 1e-6, settings.lr * 1e-6)


def bench(corpus: Path, small: bool) -> list[common.Row]:
    config = epochs.shrink(epochs.read_config(TrainCtcConfig, "train_ctc.yaml"), small)
    cmvn = load_cmvn(corpus / "train" / "cmvn.ark")
    batch_frames = 300 if small else config.data.batch_frames
    rows = []
    for factor in FACTORS:
        plans = epochs.Plans(corpus, 6 if small else epochs.NUM_UTTS, batch_frames * factor)
        torch.manual_seed(0)
        model = build.build_ctc_model(config, plans.units.vocab_size, len(cmvn[0]), cmvn)
        model.flat_start = 0
        rows.append(compare(model, make_optimizer(model, config.optim), plans, small))
    return rows


def compare(model, optimizer, plans: epochs.Plans, small: bool) -> common.Row:
    dataset = CtcDataset(plans.manifest, plans.units)

    def load(plan):
        return make_loader(dataset, plan, collate_ctc)

    worst = epochs.difference(*(epochs.totals(model, load(p)) for p in plans.both))
    runs = {
        name: lambda plan=plan: epochs.run_epoch(model, load(plan), optimizer)
        for name, plan in zip((common.OURS, PEER), plans.both, strict=True)
    }
    took = common.in_turns(runs, 1 if small else 4)
    return common.make_row(
        "stage4",
        f"{PEER}, {plans.seconds} s in a batch",
        took[common.OURS],
        took[PEER],
        worst < epochs.TOLERANCE,
        ("torch",),
        f"{plans.describe(took[common.OURS], took[PEER], plans.file_order)}; with reading, "
        f"SpecAugment and optimizer; sums of loss and gradients differ by at most {worst:.0e}",
    )


if __name__ == "__main__":
    common.main(bench, {"stage4"})
