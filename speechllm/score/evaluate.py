"""Scores of several systems on one test set, with intervals, as rows for results.json."""

import math

import numpy as np

from speechllm.score import significance, wer
from speechllm.score.inputs import Reference
from speechllm.score.metrics import Metric, prepare

AVERAGE = "avg"  # lang of the plain mean over languages
ALL = "all"  # lang of a count over all languages


def score_rows(
    reference: Reference,
    hyps: dict[str, list[str]],
    metric: Metric,
    normalised: bool,
    baseline: str | None = None,
    num_samples: int = significance.NUM_SAMPLES,
) -> list[dict]:
    """Score every system per language and on average.

    Args:
        hyps: system -> its hypotheses in the order of the reference.
        baseline: system with which the others are compared, in rows with the metric
            "<metric>_vs_<baseline>": the change in percent of its errors, for BLEU in points.

    Returns:
        rows with system, lang, metric, normalised, value, low, high, num_utts
    """
    cells = {
        system: _cells(reference, texts, metric, normalised, num_samples)
        for system, texts in hyps.items()
    }
    rows = []
    for system, by_lang in cells.items():
        for lang, (value, samples, num_utts) in by_lang.items():
            row = {"system": system, "lang": lang, "normalised": normalised, "num_utts": num_utts}
            if metric.signature:
                row["signature"] = metric.signature
            rows.append(row | {"metric": metric.name} | _numbers(value, samples))
            if baseline in cells and system != baseline:
                base_value, base_samples, _ = cells[baseline][lang]
                numbers = _numbers(
                    change(metric, base_value, value), change(metric, base_samples, samples)
                )
                if numbers["value"] is not None:  # it is infinite over a baseline without errors
                    rows.append(row | {"metric": f"{metric.name}_vs_{baseline}"} | numbers)
    return rows


def count_rows(
    reference: Reference,
    hyps: list[str],
    system: str,
    metric: Metric,
    degenerate: dict[str, list[int]],
) -> list[dict]:
    """Count substitutions, deletions, insertions and degenerate hypotheses over all languages.

    Args:
        degenerate: from ``degenerate.find_degenerate``.

    Returns:
        rows with system, lang "all", metric (the thing counted), normalised, value, num_utts
    """
    counts = {kind: len(where) for kind, where in degenerate.items()}
    if metric.is_error:
        sums = np.zeros(4, dtype=np.int64)
        for lang in reference.order:
            refs, own = texts_of_lang(reference, hyps, lang, normalised=True)
            sums += metric.stats(refs, own, lang).sum(axis=0)
        counts |= {
            "ref_words" if metric.name == "wer" else "ref_chars": int(wer.ref_len(sums)),
            "substitutions": int(sums[wer.SUBSTITUTIONS]),
            "deletions": int(sums[wer.DELETIONS]),
            "insertions": int(sums[wer.INSERTIONS]),
        }
    row = {"system": system, "lang": ALL, "normalised": True, "low": None, "high": None}
    return [row | {"metric": name, "value": n, "num_utts": len(hyps)} for name, n in counts.items()]


def texts_of_lang(
    reference: Reference, hyps: list[str], lang: str, normalised: bool
) -> tuple[list[str], list[str]]:
    """References and hypotheses of one language, in the form in which they are compared."""
    where = reference.of_lang(lang)
    return (
        prepare([reference.texts[i] for i in where], lang, normalised),
        prepare([hyps[i] for i in where], lang, normalised),
    )


def language_seed(lang: str) -> list[int]:
    """Languages are drawn independently of each other, but alike for every system."""
    return [significance.SEED, *lang.encode()]


def change(metric: Metric, base, own):
    """How much values differ from a baseline's: percent of its errors, or points."""
    return significance.relative_change(base, own) if metric.is_error else own - base


def _cells(
    reference: Reference,
    hyps: list[str],
    metric: Metric,
    normalised: bool,
    num_samples: int,
) -> dict[str, tuple[float, np.ndarray, int]]:
    """Per language and on average: value, bootstrap samples (num_samples,), utterances."""
    cells = {}
    for lang in reference.order:
        stats = metric.stats(*texts_of_lang(reference, hyps, lang, normalised), lang)
        groups = significance.speaker_groups(
            [reference.spk_ids[i] for i in reference.of_lang(lang)]
        )
        sums = significance.resampled_sums(stats, groups, num_samples, language_seed(lang))
        cells[lang] = float(metric.value(stats.sum(axis=0))), metric.value(sums), len(stats)
    values, samples, num_utts = zip(*cells.values(), strict=True)
    cells[AVERAGE] = float(np.mean(values)), np.mean(samples, axis=0), sum(num_utts)
    return cells


def _numbers(value, samples: np.ndarray) -> dict[str, float | None]:
    low, high = significance.interval(samples)
    return {"value": _finite(value), "low": _finite(low), "high": _finite(high)}


def _finite(value) -> float | None:
    return round(float(value), 4) if math.isfinite(value) else None
