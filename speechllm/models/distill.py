"""What an LLM thinks of an answer after text, as a target for what it thinks after audio."""

import torch
from torch import Tensor


@torch.no_grad()
def top_log_probs(llm, hidden: Tensor, num_tokens: int) -> tuple[Tensor, Tensor]:
    """The most likely next tokens at M positions: hidden states (M, H) to log-probabilities and ids (M, K).

    Args:
        llm: has ``logits``, and ``positions_at_once``.
        num_tokens: K, so that a vocabulary of 150,000 need not be kept for every position.
    """
    found = []
    for part in hidden.split(llm.positions_at_once):
        log_probs = llm.logits(part).log_softmax(-1)
        found.append(log_probs.topk(min(num_tokens, log_probs.size(-1))))
    return torch.cat([f.values for f in found]), torch.cat([f.indices for f in found])


def divergence(log_probs: Tensor, token_ids: Tensor, logits: Tensor) -> Tensor:
    """KL divergence at M positions, of a distribution given by its likeliest tokens to that of logits: (M,).

    All other tokens count as one, which has the rest of the probability; with all tokens given it is the exact value.

    Args:
        log_probs, token_ids: (M, K) of the first distribution.
        logits: (M, V) of the second.
    """
    others = logits.log_softmax(-1).gather(1, token_ids)
    probs = log_probs.exp()
    kl = (probs * (log_probs - others)).sum(-1)
    if token_ids.size(1) < logits.size(1):
        rest, other_rest = (
            (1 - p.sum(-1)).clamp(min=torch.finfo(p.dtype).eps) for p in (probs, others.exp())
        )
        kl = kl + rest * (rest.log() - other_rest.log())
    return kl
