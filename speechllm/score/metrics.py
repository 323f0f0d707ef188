"""The metrics by name: statistics that add up over utterances, and the value of their sum."""

from collections.abc import Callable
from typing import Protocol

import numpy as np

from speechllm.errors import UserError
from speechllm.score import wer
from speechllm.score.bleu import TranslationMetric
from speechllm.score.normalize import fold_space, normalize, split_chars, split_words


class Metric(Protocol):
    """What a new metric must have."""

    name: str
    is_error: bool  # lower is better; text is compared normalised and raw, changes are relative

    @property
    def signature(self) -> str:
        """How it was computed, where others need to know; known once ``stats`` was called."""

    def stats(self, refs: list[str], hyps: list[str], lang: str) -> np.ndarray:
        """Map U references and hypotheses to (U, K)."""

    def value(self, sums: np.ndarray) -> np.ndarray:
        """Map (..., K) to (...)."""


class ErrorRate:
    """WER or CER in percent; statistics are jiwer's hits, substitutions, deletions, insertions."""

    is_error = True
    signature = ""

    def __init__(self, name: str, split: Callable[[str, str], list[str]]):
        self.name = name
        self.split = split

    def align(self, refs: list[str], hyps: list[str], lang: str) -> wer.Alignment:
        """Align U references and hypotheses word by word (or character by character)."""
        return wer.align(
            [self.split(ref, lang) for ref in refs], [self.split(hyp, lang) for hyp in hyps]
        )

    def stats(self, refs: list[str], hyps: list[str], lang: str) -> np.ndarray:
        return self.align(refs, hyps, lang).counts

    def value(self, sums: np.ndarray) -> np.ndarray:
        return wer.error_rate(sums)


# Its title in tables, and what makes it, given BLEU's tokenizer.
METRICS: dict[str, tuple[str, Callable[[str], Metric]]] = {
    "wer": ("WER (%)", lambda _: ErrorRate("wer", split_words)),
    "cer": ("CER (%)", lambda _: ErrorRate("cer", split_chars)),
    "bleu": ("BLEU", lambda tokenize: TranslationMetric("bleu", tokenize)),
    "chrf": ("chrF2", lambda _: TranslationMetric("chrf")),
}


def make_metric(name: str, tokenize: str = "13a") -> Metric:
    """Look a metric up.

    Args:
        tokenize: sacreBLEU's tokenizer, for "bleu" alone.

    Raises:
        UserError: no such metric or tokenizer.
    """
    if name not in METRICS:
        raise UserError(f"metric {name!r} is none of {' '.join(METRICS)}")
    return METRICS[name][1](tokenize)


def prepare(texts: list[str], lang: str, normalised: bool) -> list[str]:
    """Bring U texts of one language into the form in which they are compared."""
    return [normalize(text, lang) if normalised else fold_space(text) for text in texts]
