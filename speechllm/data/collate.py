"""Utterances to padded batches; the keys are the names of the models' arguments."""

from collections.abc import Callable

import numpy as np
import torch
from torch.nn.utils.rnn import pad_sequence
from torch.utils.data import DataLoader, Dataset


def pad_feats(feats: list[torch.Tensor], device=None) -> tuple[torch.Tensor, torch.Tensor]:
    """Pad features (T_b, F) on the right with zeros: (B, T, F), (B,)."""
    lens = torch.tensor([len(f) for f in feats], device=device)
    return pad_sequence(feats, batch_first=True).to(device), lens


def collate_ctc(utts: list[dict]) -> dict:
    """Pad features and units on the right.

    Returns:
        utt_ids: list of B names, for logs and error messages
        feats: (B, T, F), 0 where padded
        feat_lens: (B,)
        units: (B, U), 0 where padded; the CTC loss reads only unit_lens of them
        unit_lens: (B,)
    """
    feats, feat_lens = pad_feats([u["feats"] for u in utts])
    return {
        "utt_ids": [u["utt_id"] for u in utts],
        "feats": feats,
        "feat_lens": feat_lens,
        "units": pad_sequence([u["units"] for u in utts], batch_first=True),
        "unit_lens": torch.tensor([len(u["units"]) for u in utts]),
    }


def collate_llm(utts: list[dict]) -> dict:
    """Pad all audio parts of all utterances into one batch of S; prompts and targets stay lists.

    Returns:
        utt_ids: list of B names
        feats: (S, T, F), 0 where padded
        feat_lens: (S,)
        prompts: B lists of parts, a LongTensor of token ids or the index of an audio part in 0..S-1
        targets: B LongTensors
        units, unit_lens: (S, U) and (S,) as for CTC, of the audio parts, if the utterances have units
        target_masking: (B,) share of the target to hide, if the utterances have one
        text_prompts: B lists of LongTensors, if the utterances have a text prompt
    """
    feats, prompts = [], []
    for utt in utts:
        first = len(feats)
        prompts.append([first + p if isinstance(p, int) else p for p in utt["prompt"]])
        feats += utt["feats"]
    padded, feat_lens = pad_feats(feats)
    batch = {
        "utt_ids": [u["utt_id"] for u in utts],
        "feats": padded,
        "feat_lens": feat_lens,
        "prompts": prompts,
        "targets": [u["target"] for u in utts],
    }
    if "text_prompt" in utts[0]:
        batch["text_prompts"] = [u["text_prompt"] for u in utts]
    if "units" in utts[0]:
        units = [part for utt in utts for part in utt["units"]]
        batch["units"] = pad_sequence(units, batch_first=True)
        batch["unit_lens"] = torch.tensor([len(part) for part in units])
    if "masking" in utts[0]:
        batch["target_masking"] = torch.tensor([utt["masking"] for utt in utts])
    return batch


def make_loader(
    dataset: Dataset, batches: list[np.ndarray], collate: Callable, num_workers: int = 0
) -> DataLoader:
    """Load planned batches in their order; 0 workers load in the process itself."""
    return DataLoader(
        dataset,
        batch_sampler=batches,
        collate_fn=collate,
        num_workers=num_workers,
        pin_memory=torch.cuda.is_available(),
    )
