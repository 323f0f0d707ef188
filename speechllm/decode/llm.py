"""Autoregressive search with an LLM over a batch of prompts of different lengths."""

from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import Tensor


@dataclass
class Hypothesis:
    """One output: ids without the end token, the sum of their log-probabilities (with the end's), and how it ended."""

    token_ids: list[int] = field(default_factory=list)
    score: float = 0.0
    status: str = "ok"  # or "max_length": stopped by the length limit


def penalise_repetition(logits: Tensor, seen: Tensor, penalty: float) -> Tensor:
    """Make tokens that were generated before less likely (arXiv:1909.05858, section 4.1).

    Args:
        logits: (B, V).
        seen: (B, V) boolean, True for tokens of the row's own output; the prompt does not count.
        penalty: positive logits are divided by it, negative ones multiplied.
    """
    return torch.where(seen, torch.where(logits > 0, logits / penalty, logits * penalty), logits)


@torch.inference_mode()
def greedy(
    llm,
    rows: list[Tensor],
    max_tokens: list[int],
    eos_id: int,
    speech: list[Tensor] | None = None,
    repetition_penalty: float = 1.0,
    choose: Callable | None = None,
) -> list[Hypothesis]:
    """The most likely token at every step until the end token or a row's own limit.

    Rows leave the batch as they finish, so that a long one does not make short ones wait.

    Args:
        llm: has ``start``, ``step`` and ``select``.
        rows: B prompts (L_b, H).
        max_tokens: per row the greatest number of output tokens, without the end token.
        speech: per row the audio part numbers (L_b,) where attention over audio is not causal.
        choose: from log-probabilities (B', V) and the numbers of these rows to other tokens (B',), see ``sampler``.
    """
    hyps = [Hypothesis() for _ in rows]
    logits, state = llm.start(rows, speech)
    active = list(range(len(rows)))
    seen = torch.zeros_like(logits, dtype=torch.bool) if repetition_penalty != 1.0 else None
    while True:
        if seen is not None:
            logits = penalise_repetition(logits, seen, repetition_penalty)
        log_probs = logits.log_softmax(-1)
        tokens = log_probs.argmax(-1) if choose is None else choose(log_probs, active)
        scores = log_probs.gather(1, tokens[:, None])[:, 0]
        keep = []
        for i, (b, token, score) in enumerate(
            zip(active, tokens.tolist(), scores.tolist(), strict=True)
        ):
            hyp = hyps[b]
            hyp.score += score
            if token == eos_id:
                continue
            if len(hyp.token_ids) == max_tokens[b]:
                hyp.score -= score  # the token is not part of the output
                hyp.status = "max_length"
                continue
            hyp.token_ids.append(token)
            keep.append(i)
        if not keep:
            return hyps
        if len(keep) < len(active):
            kept = torch.tensor(keep, device=tokens.device)
            llm.select(state, kept)
            active, tokens = [active[i] for i in keep], tokens[kept]
            seen = None if seen is None else seen[kept]
        if seen is not None:
            seen[torch.arange(len(active)), tokens] = True
        logits = llm.step(state, tokens)


def sampler(seeds: list[int], temperature: float, top_p: float = 1.0) -> Callable:
    """The function ``choose`` of ``greedy`` that draws tokens, the same for a row in whatever batch it is.

    A token takes one random number of the row's own, which says how much of the probability lies before it.

    Args:
        seeds: one per row.
        temperature: above 0; below 1 likely tokens become likelier.
        top_p: draw from the likeliest tokens that have this much probability together (arXiv:1904.09751).
    """
    generators = [torch.Generator().manual_seed(seed) for seed in seeds]

    def choose(log_probs: Tensor, rows: list[int]) -> Tensor:
        probs, token_ids = (log_probs / temperature).softmax(-1).sort(-1, descending=True)
        probs = probs.double()  # of which a large vocabulary has many small ones to add up
        probs = probs.masked_fill(probs.cumsum(-1) - probs >= top_p, 0.0)
        sums = probs.cumsum(-1)
        draws = [torch.rand(1, dtype=torch.float64, generator=generators[b]) for b in rows]
        drawn = torch.stack(draws).to(sums.device) * sums[:, -1:]
        return token_ids.gather(1, torch.searchsorted(sums, drawn, right=True))[:, 0]

    return choose
