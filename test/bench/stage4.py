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
IN_MEMORY = f"{PEER} that fits the longest utterances into as many frames"
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
        rows += compare(model, make_optimizer(model, config.optim), plans, small)
    return rows


def compare(model, optimizer, plans: epochs.Plans, small: bool) -> list[common.Row]:
    dataset = CtcDataset(plans.manifest, plans.units)
    orders = {
        common.OURS: plans.ours,
        PEER: plans.file_order,
        IN_MEMORY: plans.file_order_in_memory,
    }

    def load(plan):
        return make_loader(dataset, plan, collate_ctc)

    sums = {name: epochs.totals(model, load(plan)) for name, plan in orders.items()}
    runs = {
        name: lambda plan=plan: epochs.run_epoch(model, load(plan), optimizer)
        for name, plan in orders.items()
    }
    took = common.in_turns(runs, 1 if small else 3, None)  # the sums were the warm-up
    rows = []
    for name in (PEER, IN_MEMORY):
        worst = epochs.difference(sums[common.OURS], sums[name])
        rows.append(
            common.make_row(
                "stage4",
                f"{name}, {plans.seconds} s in a batch",
                took[common.OURS],
                took[name],
                worst < epochs.TOLERANCE,
                ("torch",),
                f"{plans.describe(took[common.OURS], took[name], orders[name])}; with reading, "
                f"SpecAugment and optimizer; sums of loss and gradients differ by at most {worst:.0e}",
            )
        )
    return rows


if __name__ == "__main__":
    common.main(bench, {"stage4"})
