"""An epoch of stage 4, CTC: batches of similar lengths against file order and a fixed size."""

from pathlib import Path

import common
import epochs
import numpy as np
import torch

from speechllm import build
from speechllm.bin.training import hidden_matrices
from speechllm.config import TrainCtcConfig
from speechllm.data.cmvn import load_cmvn
from speechllm.data.collate import collate_ctc, make_loader
from speechllm.data.dataset import CtcDataset
from speechllm.train.muon import MuonAdamW

PEER = "the same encoder, file order and fixed batch size"


def make_optimizer(model, settings):
    """The preset's, at a rate that leaves the weights as they are."""
    matrices = hidden_matrices(model)
    ids = {id(p) for p in matrices}
    others = [p for p in model.parameters() if id(p) not in ids]
    return MuonAdamW(matrices, others, settings.muon_lr * 1e-6, settings.lr * 1e-6)


def bench(corpus: Path, small: bool) -> list[common.Row]:
    config = epochs.shrink(epochs.read_config(TrainCtcConfig, "train_ctc.yaml"), small)
    plans = epochs.Plans(corpus, 6 if small else 600, 300 if small else config.data.batch_frames)
    cmvn = load_cmvn(corpus / "train" / "cmvn.ark")
    torch.manual_seed(0)
    model = build.build_ctc_model(config, plans.units.vocab_size, len(cmvn[0]), cmvn)
    model.flat_start = 0
    optimizer = make_optimizer(model, config.optim)
    dataset = CtcDataset(plans.manifest, plans.units)

    def load(plan):
        return make_loader(dataset, plan, collate_ctc)

    ordered = {common.OURS: plans.ours, PEER: plans.file_order}
    sums = [epochs.totals(model, load(plan)) for plan in ordered.values()]
    worst = epochs.difference(*sums)
    runs = {
        name: lambda plan=plan: epochs.run_epoch(model, load(plan), optimizer)
        for name, plan in ordered.items()
    }
    took = common.in_turns(runs, 1 if small else 5)
    speed = {name: plans.hours * 3600 / np.median(values) for name, values in took.items()}
    return [
        common.make_row(
            "stage4",
            PEER,
            took[common.OURS],
            took[PEER],
            worst < epochs.TOLERANCE,
            ("torch",),
            f"{plans.describe(speed, common.OURS, PEER)}; with reading, SpecAugment and optimizer; "
            f"sums of loss and gradients differ by at most {worst:.0e}",
        )
    ]


if __name__ == "__main__":
    common.main(bench, {"stage4"})
