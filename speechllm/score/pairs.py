"""Two systems on the same utterances: how much they differ, and how sure that is."""

from dataclasses import dataclass

import numpy as np

from speechllm.score import significance
from speechllm.score.evaluate import AVERAGE, change, language_seed, texts_of_lang
from speechllm.score.inputs import Reference
from speechllm.score.metrics import ErrorRate, Metric
from speechllm.score.table import UNITS, markdown_table


@dataclass(frozen=True)
class Comparison:
    """Systems a and b in one language or on average.

    Args:
        by_utt, by_spk: bootstrap samples (R, 2) of both values, drawn by utterance and by speaker; by_spk is None where
            a language has one speaker only, of whom every draw is the same.
        num_spks: speakers drawn from; few of them make the draw by speaker coarse.
        matched_pairs: MAPSSWE over all segments of these utterances; None but for error rates.
    """

    lang: str
    num_utts: int
    num_spks: int
    value_a: float
    value_b: float
    by_utt: np.ndarray
    by_spk: np.ndarray | None
    matched_pairs: significance.MatchedPairs | None


def compare(
    reference: Reference,
    hyps_a: list[str],
    hyps_b: list[str],
    metric: Metric,
    normalised: bool,
    num_samples: int = 10 * significance.NUM_SAMPLES,
) -> list[Comparison]:
    """Compare two systems per language and, where there are several, on their plain mean.

    Args:
        hyps_a, hyps_b: in the order of the reference.
    """
    comparisons = []
    all_slots: tuple[list, list] = ([], [])
    for lang in reference.order:
        texts = [texts_of_lang(reference, hyps, lang, normalised) for hyps in (hyps_a, hyps_b)]
        stats = [metric.stats(refs, hyps, lang) for refs, hyps in texts]
        spk_ids = [reference.spk_ids[i] for i in reference.of_lang(lang)]
        _, speakers = np.unique(spk_ids, return_inverse=True)
        matched_pairs = None
        if isinstance(metric, ErrorRate):
            alignments = [metric.align(refs, hyps, lang) for refs, hyps in texts]
            slots = [[a.slots(i) for i in range(len(a.refs))] for a in alignments]
            matched_pairs = significance.mapsswe(*slots)
            for kept, new in zip(all_slots, slots, strict=True):
                kept += new
        num_spks = int(speakers.max()) + 1
        by_utt = _samples(metric, stats, None, num_samples, lang)
        by_spk = _samples(metric, stats, speakers, num_samples, lang) if num_spks > 1 else None
        values = [float(metric.value(s.sum(axis=0))) for s in stats]
        comparisons.append(
            Comparison(lang, len(spk_ids), num_spks, *values, by_utt, by_spk, matched_pairs)
        )
    if len(comparisons) > 1:
        comparisons.append(
            _average(comparisons, significance.mapsswe(*all_slots) if all_slots[0] else None)
        )
    return comparisons


def _samples(
    metric: Metric, stats: list[np.ndarray], groups, num_samples: int, lang: str
) -> np.ndarray:
    sums = significance.resampled_sums(
        np.concatenate(stats, axis=1), groups, num_samples, language_seed(lang)
    )
    return np.stack([metric.value(half) for half in np.split(sums, 2, axis=1)], axis=1)


def _average(comparisons: list[Comparison], matched_pairs) -> Comparison:
    def mean(name):
        return np.mean([getattr(c, name) for c in comparisons], axis=0)

    return Comparison(
        AVERAGE,
        sum(c.num_utts for c in comparisons),
        sum(c.num_spks for c in comparisons),
        float(mean("value_a")),
        float(mean("value_b")),
        mean("by_utt"),
        None if any(c.by_spk is None for c in comparisons) else mean("by_spk"),
        matched_pairs,
    )


def describe(comparisons: list[Comparison], metric: Metric) -> str:
    """The table that speechllm.bin.compare prints, with lines on how to read it."""
    header = ["lang", "utts", "spks", f"{UNITS[metric.name]} a", "b"]
    header += ["b against a" if metric.is_error else "b - a"]
    header += ["by utterance", "p utt", "by speaker", "p spk"]
    if metric.is_error:
        header += ["segments", "Z", "p seg"]
    notes = [
        f"{'Relative change in percent' if metric.is_error else 'Difference in points'},"
        f" 95 % intervals, two-sided p by paired bootstrap of {len(comparisons[0].by_utt)} samples."
    ]
    if metric.is_error:
        notes.append("Segments, Z, p: MAPSSWE; Z below 0 where b makes fewer errors.")
        if any(c.matched_pairs.z is None for c in comparisons):
            notes.append(
                "Z none: all segments differ by the same; p is that of the exact sign test."
            )
    if any(c.by_spk is None for c in comparisons):
        notes.append("By speaker -: there, or in one of the languages, is one speaker only.")
    if few := [
        c.lang
        for c in comparisons
        if c.by_spk is not None and c.num_spks < significance.MIN_SPEAKERS
    ]:
        notes.append(
            f"Trust the draw by speaker little where there are fewer than"
            f" {significance.MIN_SPEAKERS}: {' '.join(few)}."
        )
    rows = [_row(c, metric) for c in comparisons]
    if any("inf" in cell for row in rows for cell in row[1:]):
        notes.append("inf: a makes no error there, of which the change could be a share.")
    table = markdown_table(header, rows)
    return "\n".join([table, "", *notes])


def _row(c: Comparison, metric: Metric) -> list[str]:
    form = "{:+.1f} %" if metric.is_error else "{:+.2f}"
    cells = [c.lang, str(c.num_utts), str(c.num_spks), f"{c.value_a:.2f}", f"{c.value_b:.2f}"]
    cells.append(form.format(change(metric, c.value_a, c.value_b)))
    for samples in (c.by_utt, c.by_spk):
        if samples is None:
            cells += ["-", "-"]
            continue
        bounds = significance.interval(change(metric, *samples.T))
        cells.append(f"[{', '.join(form.removesuffix(' %').format(bound) for bound in bounds)}]")
        cells.append(f"{significance.p_value(samples[:, 1] - samples[:, 0]):.4f}")
    if pairs := c.matched_pairs:
        z = "none" if pairs.z is None else f"{pairs.z:.2f}"
        cells += [str(pairs.num_segments), z, f"{pairs.p:.4f}"]
    return cells
