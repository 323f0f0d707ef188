"""N-best lists ranked by two scores: an LLM's and CTC's, or a decoder's and an LLM's; weights tuned on dev."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import product

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from speechllm.decode.ctc import BLANK_ID

WEIGHTS = tuple(round(0.05 * i, 2) for i in range(21))  # share of CTC that is tried
WORD_SCORES = (0.0, 0.5, 1.0, 2.0)  # reward per word that is tried
LENGTH_NORMS = (0.0, 0.5, 1.0)  # exponents of the number of words that are tried for translations


@dataclass(frozen=True)
class Weights:
    """Score of a hypothesis: (1 - ctc) log P_llm + ctc log P_ctc + word_score W, over W ^ length_norm with W words.

    So it is for an LLM's lists; ``ctc`` is the weight of whatever the second score is.
    """

    ctc: float = 0.0
    word_score: float = 0.0
    length_norm: float = 0.0


@torch.no_grad()
def ctc_scores(log_probs: Tensor, lens: Tensor, units: list[list[list[int]]]) -> list[list[float]]:
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
            blank=BLANK_ID,
            reduction="none",
        )
        scores.append((-losses).tolist())
    return scores


def combine(llm: list[float], ctc: list[float], num_words: list[int], weights: Weights):
    """Scores (N,) of one utterance's hypotheses."""
    num_words = np.array(num_words)
    scores = (1 - weights.ctc) * np.array(llm) + weights.word_score * num_words
    scores = scores + weights.ctc * np.array(ctc) if weights.ctc else scores
    return scores / np.maximum(num_words, 1) ** weights.length_norm


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
    cost: Callable[[list[int]], float],
    first: list[list[float]],
    second: list[list[float]],
    num_words: list[list[int]],
    length_norms: Iterable[float] = (0.0,),
) -> tuple[Weights, dict[Weights, float]]:
    """The weights whose choice costs least on a dev set, and the costs of all that were tried.

    Of equals, the smallest share of the second score wins, then the smallest reward and exponent.

    Args:
        cost: of the chosen places, such as their WER, or what is missing to a BLEU of 100.
        length_norms: exponents that are tried.
    """
    tried = {}
    for values in product(WEIGHTS, WORD_SCORES, length_norms):
        weights = Weights(*values)
        tried[weights] = cost(choose(first, second, num_words, weights))
    order = ("ctc", "word_score", "length_norm")
    return min(tried, key=lambda w: (tried[w], *(getattr(w, name) for name in order))), tried


@torch.no_grad()
def text_scores(llm, rows: list[list[int]], batch_tokens: int = 4000, device=None) -> list[float]:
    """log P of texts as an LLM reads them: the sum over all tokens of a row but its first.

    Args:
        llm: has ``embed``, ``hidden`` and ``logits``.
        rows: token ids, from the beginning of a text to its end.
        batch_tokens: tokens that are read at once, padding included.
    """
    scores, order = [0.0] * len(rows), sorted(range(len(rows)), key=lambda i: len(rows[i]))
    while order:
        longest = len(rows[order[-1]])
        size = max(1, batch_tokens // longest)
        batch, order = order[-size:], order[:-size]
        ids = torch.zeros(len(batch), longest, dtype=torch.long, device=device)
        labels = torch.full_like(ids, -1)
        for b, i in enumerate(batch):
            ids[b, : len(rows[i])] = torch.tensor(rows[i])
            labels[b, : len(rows[i])] = ids[b, : len(rows[i])]
        log_probs = llm.logits(llm.hidden(llm.embed(ids[:, :-1]))).log_softmax(-1)
        wanted = labels[:, 1:]
        picked = log_probs.gather(2, wanted.clamp(min=0)[..., None])[..., 0]
        sums = picked.masked_fill(wanted < 0, 0.0).double().sum(1)
        for i, value in zip(batch, sums.tolist(), strict=True):
            scores[i] = value
    return scores
