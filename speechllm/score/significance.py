"""How sure a score or a difference is: bootstrap intervals, paired bootstrap, MAPSSWE."""

import math
from dataclasses import dataclass

import numpy as np

MIN_SPEAKERS = 10
NUM_SAMPLES = 1000
LEVEL = 0.95
SEED = 2307  # the same draws for every system, so that their samples are paired


def speaker_groups(spk_ids: list[str]) -> np.ndarray | None:
    """Group numbers (U,) by speaker, or None where fewer than 10 say too little of others."""
    speakers, groups = np.unique(np.asarray(spk_ids), return_inverse=True)
    return groups if len(speakers) >= MIN_SPEAKERS else None


def resampled_sums(
    stats: np.ndarray,
    groups: np.ndarray | None = None,
    num_samples: int = NUM_SAMPLES,
    seed: int = SEED,
) -> np.ndarray:
    """Sums over corpora drawn with replacement (Bisani and Ney, ICASSP 2004).

    Args:
        stats: (U, K) what adds up over utterances, such as error counts.
        groups: (U,) numbers from 0; whole groups (speakers) are drawn instead of utterances.

    Returns:
        (num_samples, K); the draws depend on the number of utterances or groups and the seed alone.
    """
    if groups is not None:
        grouped = np.zeros((groups.max() + 1, stats.shape[1]))
        np.add.at(grouped, groups, stats)
        stats = grouped
    rng = np.random.default_rng(seed)
    num_units = len(stats)
    sums = np.empty((num_samples, stats.shape[1]))
    for start in range(0, num_samples, 100):  # bounds the memory on large test sets
        size = min(100, num_samples - start)
        times_drawn = rng.multinomial(num_units, np.full(num_units, 1 / num_units), size=size)
        sums[start : start + size] = times_drawn @ stats.astype(np.float64)
    return sums


def interval(samples: np.ndarray, level: float = LEVEL) -> tuple[float, float]:
    """Percentile interval of bootstrap samples (R,); a bound is infinite where so many samples are."""
    tail = 100 * (1 - level) / 2
    # Between an infinite sample and its neighbour there is nothing to interpolate.
    method = "linear" if np.isfinite(samples).all() else "inverted_cdf"
    low, high = np.percentile(samples, [tail, 100 - tail], method=method)
    return float(low), float(high)


def relative_change(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """100 (b - a) / a, percent; 0 where both are 0, infinite where only a is."""
    a, b = np.asarray(a, dtype=np.float64), np.asarray(b, dtype=np.float64)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(a == b, 0.0, 100.0 * (b - a) / a)


def p_value(differences: np.ndarray) -> float:
    """Two-sided p of a paired bootstrap: how often the samples (R,) of a difference change sign.

    Never below 1 / (R + 1), which is all that R samples can show.
    """
    samples = len(differences)
    beyond = min(np.sum(differences <= 0), np.sum(differences >= 0))
    return float(min(1.0, max(2 * beyond, 1) / (samples + 1)))


@dataclass(frozen=True)
class MatchedPairs:
    """Outcome of MAPSSWE: ``z`` is negative where system b makes fewer errors, or None; p is two-sided."""

    num_segments: int
    mean_difference: float  # errors of b minus errors of a, per segment
    z: float | None
    p: float


def mapsswe(
    slots_a: list[np.ndarray], slots_b: list[np.ndarray], min_good: int = 2
) -> MatchedPairs:
    """Matched pairs sentence-segment word error test (Gillick and Cox, ICASSP 1989).

    A segment holds errors of either system and ends where ``min_good`` neighbouring words are right
    in both, with nothing inserted between them. Given the same alignments, segments and z are those
    of NIST's sc_stats, but for the sign of z. Where all segments differ by the same number of errors, their deviation
    is 0 and there is no z: p is then that of the exact sign test, 2 (1 / 2) ^ segments, which is 1 for a single one.

    Args:
        slots_a, slots_b: per utterance where the errors lie, see ``wer.Alignment.slots``.
    """
    differences: list[int] = []
    for a, b in zip(slots_a, slots_b, strict=True):
        differences += _segment_differences(a, b, min_good)
    n = len(differences)
    mean = float(np.mean(differences)) if n else 0.0
    if mean == 0:
        return MatchedPairs(n, mean, 0.0, 1.0)
    if len(set(differences)) == 1:
        return MatchedPairs(n, mean, None, 2.0 ** (1 - n))
    z = mean / (float(np.std(differences, ddof=1)) / math.sqrt(n))
    return MatchedPairs(n, mean, z, math.erfc(abs(z) / math.sqrt(2)))


def _segment_differences(a: np.ndarray, b: np.ndarray, min_good: int) -> list[int]:
    """Errors of b minus errors of a in each segment of one utterance."""
    wrong = np.flatnonzero((a + b) > 0)
    if len(wrong) == 0:
        return []
    right_words = np.cumsum(
        np.arange(len(a)) % 2 * ((a + b) == 0)
    )  # right in both, up to each slot
    starts = np.flatnonzero(np.diff(right_words[wrong]) >= min_good) + 1
    segment_of_error = np.zeros(len(wrong), dtype=np.int64)
    segment_of_error[starts] = 1
    return [int(d) for d in np.bincount(np.cumsum(segment_of_error), weights=(b - a)[wrong])]
