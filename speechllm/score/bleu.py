"""BLEU and chrF by sacreBLEU, split into statistics that add up over utterances."""

import numpy as np
from sacrebleu.metrics import BLEU, CHRF

from speechllm.errors import UserError

TOKENIZERS = ("13a", "intl", "zh", "char", "ja-mecab", "ko-mecab", "none")


class TranslationMetric:
    """Corpus BLEU or chrF from summed statistics, so that a bootstrap need not count n-grams again.

    Args:
        name: "bleu" or "chrf".
        tokenize: sacreBLEU's tokenizer of the target language ("13a", "zh", ...); chrF has none.

    Raises:
        UserError: a tokenizer that sacreBLEU has not, or whose package is missing.
    """

    is_error = False

    def __init__(self, name: str, tokenize: str = "13a"):
        self.name = name
        if tokenize not in TOKENIZERS:
            raise UserError(f"BLEU tokenizer {tokenize!r} is none of {' '.join(TOKENIZERS)}")
        try:
            # force: say nothing about references that are tokenized already
            self.scorer = BLEU(tokenize=tokenize, force=True) if name == "bleu" else CHRF()
        except (ImportError, RuntimeError) as error:
            raise UserError(f"BLEU tokenizer {tokenize}: {' '.join(str(error).split())}") from error

    def stats(self, refs: list[str], hyps: list[str], lang: str = "") -> np.ndarray:
        """Map U references and hypotheses, untokenized, to (U, K) statistics."""
        return np.asarray(self.scorer._extract_corpus_statistics(hyps, [refs]), dtype=np.float64)

    def value(self, sums: np.ndarray) -> np.ndarray:
        """Map statistics summed over corpora (..., K) to scores from 0 to 100 (...)."""
        flat = sums.reshape(-1, sums.shape[-1])
        scores = [self.scorer._compute_score_from_stats(row.tolist()).score for row in flat]
        return np.asarray(scores).reshape(sums.shape[:-1])

    @property
    def signature(self) -> str:
        """sacreBLEU's signature, known once ``stats`` has been called."""
        return f"{self.name} {self.scorer.get_signature()}"
