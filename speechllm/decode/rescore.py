"""N-best lists of an LLM rescored with CTC: scores, combination, weights tuned on dev."""

from dataclasses import dataclass
from itertools import product

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

WEIGHTS = tuple(round(0.05 * i, 2) for i in range(21))  # share of CTC that is tried
WORD_SCORES = (0.0, 0.5, 1.0, 2.0)  # reward per word that is tried


@dataclass(frozen=True)
class Weights:
    """Score of a hypothesis: (1 - ctc) log P_llm + ctc log P_ctc + word_score times its words."""

    ctc: float = 0.0
    word_score: float = 0.0


@torch.no_grad()
def ctc_scores(
    log_probs: Tensor, lens: Tensor, units: list[list[list[int]]], blank_id: int = 0
) -> list[list[float]]:
    """log P_ctc of hypotheses, summed over their alignments; -inf where one has too many units for the audio.

    Args:
        log_probs: (B, T, V).
        lens: (B,).
        units: per utterance the CTC units of each hypothesis.
    """
    scores = []
    for row, n, hyps in zip(log_probs.float(), lens.tolist(), units, strict=True):
        if n == 0:
            scores.append([-float("inf") if hyp else 0.0 for hyp in hyps])
            continue
        target_lens = torch.tensor([len(hyp) for hyp in hyps], device=row.device)
        losses = F.ctc_loss(
            row[:n, None].expand(-1, len(hyps), -1),
            torch.tensor([unit for hyp in hyps for unit in hyp], device=row.device).long(),
            torch.full_like(target_lens, n),
            target_lens,
            blank=blank_id,
            reduction="none",
        )
        scores.append((-losses).tolist())
    return scores


def combine(llm: list[float], ctc: list[float], num_words: list[int], weights: Weights):
    """Scores (N,) of one utterance's hypotheses."""
    scores = (1 - weights.ctc) * np.array(llm) + weights.word_score * np.array(num_words)
    return scores + weights.ctc * np.array(ctc) if weights.ctc else scores


def order(llm: list[float], ctc: list[float], num_words: list[int], weights: Weights) -> list[int]:
    """The places of one utterance's hypotheses, best first; equals stay as they are."""
    return (-combine(llm, ctc, num_words, weights)).argsort(kind="stable").tolist()


def choose(
    llm: list[list[float]], ctc: list[list[float]], num_words: list[list[int]], weights: Weights
) -> list[int]:
    """Per utterance the place of the best hypothesis; of equals, the first."""
    return [
        int(combine(*scores, weights).argmax()) for scores in zip(llm, ctc, num_words, strict=True)
    ]


def tune(
    llm: list[list[float]],
    ctc: list[list[float]],
    num_words: list[list[int]],
    num_errors: list[list[int]],
    ctc_weights: tuple[float, ...] = WEIGHTS,
    word_scores: tuple[float, ...] = WORD_SCORES,
) -> tuple[Weights, dict[Weights, int]]:
    """The weights whose choice makes the fewest errors on a dev set, and the errors of all that were tried.

    Of equals, the smallest share of CTC wins, and then the smallest reward.

    Args:
        num_errors: per utterance the errors of each hypothesis against the reference.
    """
    tried = {}
    for weights in (Weights(*pair) for pair in product(ctc_weights, word_scores)):
        best = choose(llm, ctc, num_words, weights)
        tried[weights] = int(sum(row[i] for row, i in zip(num_errors, best, strict=True)))
    return min(tried, key=lambda w: (tried[w], w.ctc, w.word_score)), tried
