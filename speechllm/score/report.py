"""The detailed error report of one system: totals, worst utterances, most frequent confusions."""

from collections import Counter

import numpy as np

from speechllm.score import wer
from speechllm.score.inputs import Reference
from speechllm.score.metrics import ErrorRate, prepare
from speechllm.score.table import display_width, markdown_table

NUM_WORST = 20
NUM_CONFUSIONS = 20
LINE_WIDTH = 100

Pairs = list[tuple[str, str]]  # (reference word, hypothesis word), "" for none


def error_report(
    reference: Reference,
    hyps: list[str],
    metric: ErrorRate,
    degenerate: dict[str, list[int]],
) -> str:
    """Report the errors of a system in normalised text.

    Args:
        hyps: in the order of the reference.
        degenerate: from ``degenerate.find_degenerate``.
    """
    totals = []
    utts: list[tuple[str, np.ndarray, Pairs]] = []
    for lang in reference.order:
        where = reference.of_lang(lang)
        refs, own = ([texts[i] for i in where] for texts in (reference.texts, hyps))
        alignment = metric.align(prepare(refs, lang, True), prepare(own, lang, True), lang)
        totals.append((lang, alignment.counts))
        for k, i in enumerate(where):
            utts.append((reference.utt_ids[i], alignment.counts[k], alignment.pairs(k)))
    utts.sort(key=lambda utt: (-wer.num_errors(utt[1]), -wer.error_rate(utt[1]), utt[0]))

    gap = " " if metric.name == "wer" else ""
    parts = [_totals_table(metric.name, totals)]
    for kind, positions in degenerate.items():
        names = [reference.utt_ids[i] for i in positions[:NUM_WORST]]
        more = ["..."] if len(positions) > NUM_WORST else []
        parts.append(" ".join([f"{kind.replace('_', ' ')}: {len(positions)}", *names, *more]))
    parts.append(f"{NUM_WORST} utterances with most errors")
    parts += [_utterance(*utt, gap) for utt in utts[:NUM_WORST] if wer.num_errors(utt[1])]
    wrong = Counter((ref, hyp) for _, _, pairs in utts for ref, hyp in pairs if ref != hyp)
    for title, kept in (
        ("substitutions (reference -> hypothesis)", [p for p in wrong if all(p)]),
        ("deletions", [p for p in wrong if not p[1]]),
        ("insertions", [p for p in wrong if not p[0]]),
    ):
        parts += [f"most frequent {title}", _frequent({pair: wrong[pair] for pair in kept})]
    return "\n\n".join(parts) + "\n"


def _totals_table(name: str, totals: list[tuple[str, np.ndarray]]) -> str:
    body = [_total(lang, counts) for lang, counts in totals]
    if len(totals) > 1:
        body.append(_total("all", np.concatenate([counts for _, counts in totals])))
    unit = "words" if name == "wer" else "characters"
    counted = ["utterances", unit, "hits", "sub", "del", "ins"]
    return markdown_table(["language", *counted, name.upper(), "utterances with errors"], body)


def _total(lang: str, counts: np.ndarray) -> list[str]:
    sums = counts.sum(axis=0)
    share_wrong = 100 * np.mean(wer.num_errors(counts) > 0)
    numbers = [len(counts), wer.ref_len(sums), *sums]
    return [lang, *map(str, numbers), f"{wer.error_rate(sums):.2f} %", f"{share_wrong:.1f} %"]


def _utterance(utt_id: str, counts: np.ndarray, pairs: Pairs, gap: str) -> str:
    """One aligned utterance; stars stand for a missing word, S D I below mark the errors."""
    _, substitutions, deletions, insertions = counts
    errors = f"sub {substitutions} del {deletions} ins {insertions} of {wer.ref_len(counts)}"
    lines = [f"{utt_id}: {errors}"]
    rows = ["", "", ""]
    for ref, hyp in pairs:
        width = max(display_width(ref), display_width(hyp))
        if rows[0] and display_width(rows[0]) + len(gap) + width > LINE_WIDTH - len("ref: "):
            lines += _lines(rows)
            rows = ["", "", ""]
        mark = " " if ref == hyp else "S" if ref and hyp else "D" if ref else "I"
        for k, cell in enumerate((ref or "*" * width, hyp or "*" * width, mark)):
            rows[k] += cell + " " * (width - display_width(cell)) + gap
    return "\n".join(lines + _lines(rows))


def _lines(rows: list[str]) -> list[str]:
    ref, hyp, marks = (row.rstrip() for row in rows)
    return [f"ref: {ref}", f"hyp: {hyp}", *([f"     {marks}"] if marks else [])]


def _frequent(counts: dict[tuple[str, str], int]) -> str:
    ranked = sorted(counts.items(), key=lambda item: (-item[1], item[0]))[:NUM_CONFUSIONS]
    lines = []
    for pair, count in ranked:
        words = ("<space>" if word == " " else word for word in pair if word)
        lines.append(f"{count:6d}  {' -> '.join(words)}")
    return "\n".join(lines) or "  none"
