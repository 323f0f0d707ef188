"""Autoregressive search with an LLM over a batch of prompts of different lengths."""

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
) -> list[Hypothesis]:
    """The most likely token at every step until the end token or a row's own limit.

    Rows leave the batch as they finish, so that a long one does not make short ones wait.

    Args:
        llm: has ``start``, ``step`` and ``select``.
        rows: B prompts (L_b, H).
        max_tokens: per row the greatest number of output tokens, without the end token.
        speech: per row the audio part numbers (L_b,) where attention over audio is not causal.
    """
    hyps = [Hypothesis() for _ in rows]
    logits, state = llm.start(rows, speech)
    active = list(range(len(rows)))
    seen = torch.zeros_like(logits, dtype=torch.bool)
    while True:
        if repetition_penalty != 1.0:
            logits = penalise_repetition(logits, seen, repetition_penalty)
        log_probs = logits.log_softmax(-1)
        scores, tokens = log_probs.max(-1)
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
            active, tokens, seen = [active[i] for i in keep], tokens[kept], seen[kept]
        seen[torch.arange(len(active)), tokens] = True
        logits = llm.step(state, tokens)
