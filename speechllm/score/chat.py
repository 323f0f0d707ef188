"""Scores of systems that answer dialogues: right answers, perplexity, agreement with the text prompt's answers."""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from speechllm.errors import UserError
from speechllm.score import significance
from speechllm.score.answers import is_right, is_same
from speechllm.score.bleu import TranslationMetric
from speechllm.score.degenerate import find_degenerate
from speechllm.score.evaluate import ALL, AVERAGE
from speechllm.score.inputs import read_table
from speechllm.score.metrics import ErrorRate, prepare
from speechllm.score.normalize import split_words
from speechllm.score.perplexity import perplexity_of_sums
from speechllm.score.results import replace_text

SYSTEMS = ("text", "cascade", "audio", "cascade-llm")


@dataclass(frozen=True)
class Question:
    """What a dialogue asks; ``answer`` is "" where no right one is known."""

    dialogue_id: str
    answer: str
    aliases: tuple[str, ...]
    kind: str


@dataclass(frozen=True)
class Answer:
    """What a system said in a dialogue, and its scores of the answer that the text prompt gets.

    Args:
        status: "ok", or "max_length".
        reference: the text prompt's answer; None where there is no text prompt, and then nll and kl are empty.
        nll, kl: per token of the reference -log p, and the divergence from the text prompt's distribution.
        spoken: what is said in the dialogue's audio parts.
        heard: what stood in the prompt in the place of audio.
    """

    text: str
    status: str
    reference: str | None
    nll: tuple[float, ...]
    kl: tuple[float, ...]
    spoken: tuple[str, ...]
    heard: tuple[str, ...]


def write_answers(folder: Path, dialogue_ids: list[str], answers: list[Answer]) -> None:
    """Write text, utt2status and scores.jsonl, which ``read_answers`` reads."""
    folder.mkdir(parents=True, exist_ok=True)
    by_id = dict(sorted(zip(dialogue_ids, answers, strict=True)))
    names = ("reference", "nll", "kl", "spoken", "heard")
    scores = [{"id": i} | {name: getattr(a, name) for name in names} for i, a in by_id.items()]
    lines = [json.dumps(values, ensure_ascii=False) + "\n" for values in scores]
    replace_text(folder / "scores.jsonl", "".join(lines))
    statuses = (f"{i} {a.status}\n" for i, a in by_id.items())
    replace_text(folder / "utt2status", "".join(statuses))
    texts = (" ".join([i, *a.text.split()]) + "\n" for i, a in by_id.items())
    replace_text(folder / "text", "".join(texts))


def read_answers(folder: Path, dialogue_ids: list[str]) -> list[Answer]:
    """The answers of a system, in the order of the dialogues.

    Raises:
        UserError: a file is missing or damaged, or a dialogue has no answer.
    """
    texts, statuses = read_table(folder / "text"), read_table(folder / "utt2status")
    try:
        with open(folder / "scores.jsonl", encoding="utf-8") as file:
            lines = file.readlines()  # unlike splitlines, at ends of lines alone
    except FileNotFoundError:
        raise UserError(f"{folder}/scores.jsonl: no such file; run converse again") from None
    scores = {}
    for number, line in enumerate(lines, 1):
        try:
            values = json.loads(line)
        except json.JSONDecodeError:
            where = f"{folder}/scores.jsonl:{number}"
            raise UserError(f"{where}: not JSON; run converse again") from None
        scores[values["id"]] = values
    answers = []
    for dialogue_id in dialogue_ids:
        if not all(dialogue_id in table for table in (texts, statuses, scores)):
            raise UserError(f"{folder}: no answer to dialogue {dialogue_id}; run converse again")
        values = scores[dialogue_id]
        answers.append(
            Answer(
                texts[dialogue_id],
                statuses[dialogue_id],
                values["reference"],
                tuple(values["nll"]),
                tuple(values["kl"]),
                tuple(values["spoken"]),
                tuple(values["heard"]),
            )
        )
    return answers


class Share:
    """A quotient of sums: statistics (U, 2) are what is counted and out of how much."""

    def __init__(self, scale: float = 1.0):
        self.scale = scale

    def value(self, sums: np.ndarray) -> np.ndarray:
        """Map (..., 2) to (...)."""
        with np.errstate(divide="ignore", invalid="ignore"):
            return self.scale * (sums[..., 0] / sums[..., 1])


def statistics(
    questions: list[Question],
    answers: list[Answer],
    system: str,
    lang: str,
    match: str = "exact",
) -> dict:
    """Per metric its statistics (U, K) and what turns their sum into a value.

    Perplexity is exp of the mean -log p of a token of the text prompt's answers, their ends included; kl the mean
    divergence from the text prompt's distribution at these tokens, in nats. Without text prompts both are left out, and
    agreement too.
    """
    sizes = np.array([len(a.nll) for a in answers], dtype=np.float64)
    nll, kl = (np.array([sum(getattr(a, name)) for a in answers]) for name in ("nll", "kl"))
    found = {}
    if all(question.answer for question in questions):
        right = [
            is_right(a.text, q.answer, q.aliases, lang, match)
            for q, a in zip(questions, answers, strict=True)
        ]
        found["accuracy"] = np.stack([right, np.ones(len(right))], 1), Share(100.0).value
    compared = all(a.reference is not None for a in answers)
    if compared:
        found["perplexity"] = np.stack([nll, sizes], 1), perplexity_of_sums
    if compared and system != "text":
        same = [is_same(a.text, a.reference, lang) for a in answers]
        found["agreement"] = np.stack([same, np.ones(len(same))], 1), Share(100.0).value
        found["kl"] = np.stack([kl, sizes], 1), Share().value
        chrf = TranslationMetric("chrf")
        refs, hyps = [a.reference for a in answers], [a.text for a in answers]
        found["chrf"] = chrf.stats(refs, hyps), chrf.value
    if system.startswith("cascade"):
        wer = ErrorRate("wer", split_words)
        pairs = [(ref, hyp) for a in answers for ref, hyp in zip(a.spoken, a.heard, strict=True)]
        refs, hyps = (prepare([pair[i] for pair in pairs], lang, True) for i in (0, 1))
        if pairs and all(ref for ref, _ in pairs):
            found["wer"] = wer.stats(refs, hyps, lang), wer.value
    return found


def chat_rows(
    questions: list[Question],
    answers: dict[tuple[str, str], list[Answer]],
    lang: str,
    baseline: str = "cascade",
    num_samples: int = significance.NUM_SAMPLES,
    match: str = "exact",
) -> list[dict]:
    """Rows for results.json, with intervals by bootstrap over dialogues.

    Args:
        answers: of each system, and column of the table that it belongs to.
        baseline: the system that right answers are compared with, in rows "accuracy_vs_<baseline>": points.
        match: which answers are right, see ``is_right``; rows of right answers note it where it is not "exact".
    """
    cells: dict[tuple[str, str], dict[str, tuple]] = {}
    for (system, column), found in answers.items():
        for metric, (stats, value) in statistics(questions, found, system, lang, match).items():
            sums = significance.resampled_sums(stats, num_samples=num_samples)
            cell = float(value(stats.sum(0))), value(sums), len(stats)
            cells.setdefault((system, metric), {})[column] = cell
    for by_column in cells.values():
        values, samples, sizes = zip(*by_column.values(), strict=True)
        by_column[AVERAGE] = float(np.mean(values)), np.mean(samples, axis=0), sum(sizes)
    rows = []
    for (system, metric), by_column in cells.items():
        base = cells.get((baseline, metric), {}) if metric == "accuracy" else {}
        for column, (value, samples, size) in by_column.items():
            row = {"system": system, "lang": column, "num_utts": size}
            row["normalised"] = metric in ("accuracy", "agreement", "wer")
            row |= {"match": match} if metric == "accuracy" and match != "exact" else {}
            rows.append(row | {"metric": metric} | numbers(value, samples))
            if column in base and system != baseline:
                change = numbers(value - base[column][0], samples - base[column][1])
                rows.append(row | {"metric": f"{metric}_vs_{baseline}"} | change)
    return rows


def kind_rows(
    questions: list[Question], answers: dict[str, list[Answer]], lang: str, match: str = "exact"
) -> list[dict]:
    """Rows of right answers with the kinds of questions as columns."""
    rows = []
    kinds = {question.kind for question in questions if question.kind}
    for kind in sorted(kinds) if len(kinds) > 1 else []:
        chosen = [i for i, question in enumerate(questions) if question.kind == kind]
        some = [questions[i] for i in chosen]
        of_kind = {(system, kind): [found[i] for i in chosen] for system, found in answers.items()}
        rows += [
            row
            for row in chat_rows(some, of_kind, lang, baseline="", match=match)
            if row["metric"] == "accuracy" and row["lang"] == kind
        ]
    return rows


def count_rows(answers: dict[str, list[Answer]], lang: str) -> list[dict]:
    """Rows that count empty, looping and truncated answers."""
    rows = []
    for system, found in answers.items():
        langs, refs = [lang] * len(found), [a.reference or "" for a in found]
        statuses = [a.status for a in found]
        kinds = find_degenerate(refs, [a.text for a in found], langs, statuses)
        for name in ("empty", "looping", "truncated"):
            row = {"system": system, "lang": ALL, "metric": name, "value": len(kinds[name])}
            rows.append(
                row | {"normalised": True, "low": None, "high": None, "num_utts": len(found)}
            )
    return rows


def frozen_row(same: list[bool], set_name: str) -> dict:
    """Row for results.json: percent of prompts that get bit by bit the logits of the LLM before training."""
    row = {"system": "llm", "set": set_name, "lang": ALL}
    row |= {"metric": "equal_logits", "normalised": False, "num_utts": len(same)}
    return row | {"value": 100 * sum(same) / len(same), "low": None, "high": None}


def numbers(value: float, samples: np.ndarray) -> dict:
    low, high = significance.interval(samples)
    finite = [round(float(v), 4) if np.isfinite(v) else None for v in (value, low, high)]
    return dict(zip(("value", "low", "high"), finite, strict=True))
