"""Word and character errors by jiwer, utterance by utterance."""

from dataclasses import dataclass

import jiwer
import numpy as np

HITS, SUBSTITUTIONS, DELETIONS, INSERTIONS = range(4)  # columns of the counts


@dataclass(frozen=True)
class Alignment:
    """References and hypotheses of U utterances, aligned.

    Args:
        refs, hyps: per utterance its words (or characters).
        chunks: per utterance jiwer's alignment chunks.
        counts: (U, 4) hits, substitutions, deletions, insertions.
    """

    refs: list[list[str]]
    hyps: list[list[str]]
    chunks: list[list[jiwer.AlignmentChunk]]
    counts: np.ndarray

    def pairs(self, index: int) -> list[tuple[str, str]]:
        """(reference word, hypothesis word) along one alignment; "" stands for no word."""
        ref, hyp = self.refs[index], self.hyps[index]
        pairs: list[tuple[str, str]] = []
        for chunk in self.chunks[index]:
            r = ref[chunk.ref_start_idx : chunk.ref_end_idx]
            h = hyp[chunk.hyp_start_idx : chunk.hyp_end_idx]
            pairs += zip(r or [""] * len(h), h or [""] * len(r), strict=True)
        return pairs

    def slots(self, index: int) -> np.ndarray:
        """Where the errors of one utterance lie: (2R + 1,) for R reference words.

        Entry 2r + 1 is 1 if word r is wrong, entry 2r counts the insertions before word r.
        """
        slots = np.zeros(2 * len(self.refs[index]) + 1, dtype=np.int64)
        word = 0
        for ref, hyp in self.pairs(index):
            if ref:
                slots[2 * word + 1] = ref != hyp
                word += 1
            else:
                slots[2 * word] += 1
        return slots


def align(refs: list[list[str]], hyps: list[list[str]]) -> Alignment:
    """Align U pairs of word (or character) lists with the fewest errors.

    An empty reference stays in: every word of its hypothesis is an insertion.

    Raises:
        ValueError: the two lists differ in length.
    """
    if len(refs) != len(hyps):
        raise ValueError(f"{len(refs)} references but {len(hyps)} hypotheses")
    counts = np.zeros((len(refs), 4), dtype=np.int64)
    if not refs:
        return Alignment(refs, hyps, [], counts)
    output = jiwer.process_words(refs, hyps, _already_split, _already_split)
    column = {"equal": HITS, "substitute": SUBSTITUTIONS, "delete": DELETIONS, "insert": INSERTIONS}
    for row, chunks in zip(counts, output.alignments, strict=True):
        for c in chunks:
            row[column[c.type]] += max(
                c.ref_end_idx - c.ref_start_idx, c.hyp_end_idx - c.hyp_start_idx
            )
    return Alignment(refs, hyps, output.alignments, counts)


def num_errors(counts: np.ndarray) -> np.ndarray:
    """Map counts (..., 4) to substitutions + deletions + insertions (...)."""
    return counts[..., SUBSTITUTIONS] + counts[..., DELETIONS] + counts[..., INSERTIONS]


def ref_len(counts: np.ndarray) -> np.ndarray:
    """Map counts (..., 4) to the number of reference words (...)."""
    return counts[..., HITS] + counts[..., SUBSTITUTIONS] + counts[..., DELETIONS]


def error_rate(counts: np.ndarray) -> np.ndarray:
    """Map counts (..., 4), summed over a corpus, to the error rate in percent (...).

    Where there is no reference word at all, every insertion counts 100, as in jiwer.
    """
    return 100.0 * num_errors(counts) / np.maximum(ref_len(counts), 1)


def _already_split(sentences: list[list[str]]) -> list[list[str]]:
    return sentences
