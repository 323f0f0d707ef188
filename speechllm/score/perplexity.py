"""Perplexity, one definition for all: exp of the mean negative log-likelihood of a token."""

from collections.abc import Iterable, Sequence

import numpy as np


def perplexity(token_nlls: Iterable[Sequence[float]]) -> float:
    """Perplexity of a corpus.

    Args:
        token_nlls: per utterance an array of -log p (natural logarithm) of each of its tokens.
            Every token weighs the same, whatever the length of its utterance.

    Raises:
        ValueError: there is no token.
    """
    nlls = [np.asarray(nll, dtype=np.float64).ravel() for nll in token_nlls]
    sums = np.array([sum(nll.sum() for nll in nlls), sum(len(nll) for nll in nlls)])
    if sums[1] == 0:
        raise ValueError("perplexity of no token")
    return float(perplexity_of_sums(sums))


def perplexity_of_sums(sums: np.ndarray) -> np.ndarray:
    """Map (..., 2), the sum of -log p and the number of tokens, to perplexities (...); of no token it is nan."""
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        return np.exp(sums[..., 0] / sums[..., 1])
