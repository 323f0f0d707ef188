"""A tiny model, its data and its training, for the tests here and the processes they start."""

import torch
from torch import nn

from speechllm.train import distributed, optim
from speechllm.train.loop import train
from speechllm.train.muon import MuonAdamW

CONFIG = "optim: {lr: 1e-2}\nmodel: tiny\n"


class TinyModel(nn.Module):
    """Guess a number per frame; a frozen input layer, two layers for FSDP, batch norm if asked."""

    def __init__(self, dropout: float = 0.0, batch_norm: bool = False):
        super().__init__()
        torch.manual_seed(1)
        self.frozen = nn.Linear(5, 8).requires_grad_(False)
        self.layers = nn.ModuleList(nn.Linear(8, 8) for _ in range(2))
        self.norm = nn.BatchNorm1d(8) if batch_norm else nn.Identity()
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(8, 1)

    def fsdp_layers(self):
        return list(self.layers)

    def guess(self, feats):
        x = self.frozen(feats)
        for layer in self.layers:
            x = x + torch.tanh(layer(x))
        x = self.dropout(self.norm(x.flatten(0, 1)).view(x.shape))
        return self.head(x)[..., 0]

    def forward(self, feats, feat_lens, targets):
        mask = torch.arange(feats.size(1)) < feat_lens[:, None]
        errors = ((self.guess(feats) - targets) ** 2)[mask]
        return errors.sum(), int(feat_lens.sum()), {"near": (errors < 0.25).float().mean()}


def utterances(epoch: int, num: int) -> list[tuple]:
    """(utt_id, feats (T, 5), targets (T,)) of unequal lengths."""
    generator = torch.Generator().manual_seed(epoch)
    utts = []
    for i in range(num):
        feats = torch.randn(2 + 5 * i % 7, 5, generator=generator)
        utts.append((f"e{epoch}_u{i}", feats, feats.sum(1).sin()))
    return utts


def collate(utts: list[tuple]) -> dict:
    pad = nn.utils.rnn.pad_sequence
    return {
        "utt_ids": [utt_id for utt_id, _, _ in utts],
        "feats": pad([feats for _, feats, _ in utts], batch_first=True),
        "feat_lens": torch.tensor([len(feats) for _, feats, _ in utts]),
        "targets": pad([targets for _, _, targets in utts], batch_first=True),
    }


def batches(batch_size: int, num: int = 24, rank: int = 0, world_size: int = 1, spoil=None):
    """An ``epoch_batches``; ``spoil`` is an utterance whose features become NaN."""

    def epoch_batches(epoch: int, skip: int) -> list[dict]:
        utts = utterances(epoch, num)
        utts = [(u, f * torch.nan if u == spoil else f, t) for u, f, t in utts]
        groups = [collate(utts[i : i + batch_size]) for i in range(0, num, batch_size)]
        return groups[rank::world_size][skip:]

    return epoch_batches


def valid_loss(model: nn.Module) -> float:
    """Through a method that is not ``forward``, as decoding does."""
    batch = collate(utterances(99, 6))
    with torch.no_grad():
        return float(((model.guess(batch["feats"]) - batch["targets"]) ** 2).mean())


def run(
    exp_dir,
    setup=None,
    parallel="ddp",
    model=None,
    epoch_batches=None,
    lr=1e-2,
    muon=False,
    **settings,
):
    """Train a tiny model; returns it, unwrapped, and the progress."""
    setup = setup or distributed.Setup()
    model = distributed.wrap(model or TinyModel(), setup, parallel)
    optimizer, schedule = optim.make(
        model.parameters(), lr=lr, warmup_steps=2, schedule="cosine", max_steps=20, weight_decay=0.1
    )
    core = distributed.unwrap(model)
    if muon:
        matrices = [layer.weight for layer in core.layers]
        others = [p for p in core.parameters() if p.requires_grad and p.ndim < 2]
        optimizer = MuonAdamW(matrices, [*others, core.head.weight], 2e-2, lr, 0.1)
    defaults = {
        "config_text": CONFIG,
        "max_steps": 4,
        "tensorboard": False,
        "validate": lambda step: {"loss": valid_loss(core)},
    }
    epoch_batches = epoch_batches or batches(6)
    settings = {**defaults, **settings}
    progress = train(
        model, epoch_batches, optimizer, schedule, setup=setup, exp_dir=exp_dir, **settings
    )
    return core, progress
