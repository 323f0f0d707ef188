"""RESULTS.md from the rows of results.json."""

import unicodedata
from datetime import date

from speechllm.score import environment
from speechllm.score.evaluate import ALL, AVERAGE
from speechllm.score.metrics import METRICS, make_metric

CHAT_UNITS = {
    "accuracy": "right answers (%)",
    "perplexity": "perplexity of the text prompt's answers",
    "agreement": "answers that read as the text prompt's (%)",
    "kl": "divergence from the text prompt (nats per token)",
    "equal_logits": "text prompts with the same logits, bit by bit (%)",
}
UNITS = CHAT_UNITS | {name: title for name, (title, _) in METRICS.items()}
ERROR_METRICS = tuple(name for name in METRICS if make_metric(name).is_error)
COUNTS = {
    "ref_words": "words",
    "ref_chars": "characters",
    "substitutions": "sub",
    "deletions": "del",
    "insertions": "ins",
    "empty": "empty",
    "looping": "looping",
    "truncated": "truncated",
    "wrong_language": "wrong language",
}


def render(rows: list[dict], published: list[dict]) -> str:
    """The whole of RESULTS.md: one table per set and metric, counts, commands."""
    about = [
        date.today().isoformat(),
        f"commit {', '.join(_unique(row['commit'] for row in rows))}",
        environment.machine(),
        environment.versions(),
    ]
    parts = ["# Results", "; ".join(about) + "."]
    for set_name in _unique(row["set"] for row in rows):
        parts += render_set(rows, set_name, published)
    commands = _unique(line for row in rows for line in row["command"].split(" && "))
    parts += ["## Commands", "\n".join(f"    {command}" for command in commands)]
    return "\n\n".join(parts) + "\n"


def render_set(rows: list[dict], set_name: str, published: list[dict]) -> list[str]:
    """Titles, tables and remarks of one set, as paragraphs."""
    rows = [row for row in rows if row["set"] == set_name]
    parts = []
    for metric in UNITS:
        mine = [row for row in rows if row["metric"].partition("_vs_")[0] == metric]
        if mine:
            others = [p for p in published if (p["set"], p["metric"]) == (set_name, metric)]
            parts += [f"## {set_name}: {UNITS[metric]}", *_score_table(mine, metric, others)]
    if parts:
        parts.append(_about_table(rows))
    if counts := _count_table(rows):
        parts += [f"## {set_name}: errors and degenerate outputs", counts]
    return parts


def _score_table(rows: list[dict], metric: str, published: list[dict]) -> list[str]:
    """The table, then remarks: sources of published figures, figures of raw text, signatures."""
    raw = [row for row in rows if not row["normalised"]]
    shown = [row for row in rows if row["normalised"]] or raw
    langs = _unique(row["lang"] for row in shown if row["lang"] != AVERAGE)
    columns = [*langs, AVERAGE] if len(langs) > 1 else langs
    body, notes = [], []
    for system, name in _unique((row["system"], row["metric"]) for row in shown):
        by_lang = {r["lang"]: r for r in shown if (r["system"], r["metric"]) == (system, name)}
        baseline = name.partition("_vs_")[2]
        form = "{:.2f}" if not baseline else "{:+.1f} %" if metric in ERROR_METRICS else "{:+.2f}"
        cells = [form.format(by_lang[lang]["value"]) if lang in by_lang else "" for lang in columns]
        if columns[-1] in by_lang:
            cells[-1] += _interval(by_lang[columns[-1]], form.removesuffix(" %"))
        label = f"{system} against {baseline}" if baseline else system
        body.append([label, *cells])
        known = [lang for lang in langs if lang in by_lang]
        # of an earlier run with other languages
        if AVERAGE in by_lang and known and known != langs:
            notes.append(f"avg of {label}: over {' '.join(known)} alone.")
    sources = _unique(p["source"] for p in published if p["source"] != "unverified")
    for system, source in _unique((p["system"], p["source"]) for p in published):
        values = {
            p["lang"]: p["value"]
            for p in published
            if (p["system"], p["source"]) == (system, source)
        }
        mark = f"[{sources.index(source) + 1}]" if source in sources else "(unverified)"
        cells = [f"{values[lang]:.2f}" if lang in values else "" for lang in columns]
        body.append([f"{system} {mark}", *cells])
    notes += [f"[{i}] {source}" for i, source in enumerate(sources, 1)]
    if raw is not shown and raw:
        last = [row for row in raw if row["lang"] == columns[-1] and row["metric"] == metric]
        figures = ", ".join(f"{row['system']} {row['value']:.2f}" for row in last)
        notes.append(f"Raw text, {columns[-1]}: {figures}.")
    notes += _unique(row["signature"] for row in shown if row.get("signature"))
    return [markdown_table(["system", *columns], body), *notes]


def _about_table(rows: list[dict]) -> str:
    if any(row["metric"] in CHAT_UNITS for row in rows):
        sentences = ["Answers are compared in lower case without punctuation."]
        if names := _unique(row["system"] for row in rows if row.get("match") == "contains"):
            sentences.append(
                f"Right answers of {', '.join(names)}: what is expected stands in them as whole words"
                " (--match contains)."
            )
        sentences.append(
            "avg: plain mean over the columns. In brackets: 95 % bootstrap interval, by dialogue."
            " against: difference in points."
        )
        return " ".join(sentences)
    sentences = []
    if any(row["metric"] in ERROR_METRICS for row in rows):
        sentences.append("Error rates: both sides in lower case without punctuation, unless raw.")
    sentences.append(
        "avg: plain mean over languages. In brackets: 95 % bootstrap interval, by speaker in"
        " languages with 10 speakers or more, else by utterance."
    )
    if any("_vs_" in row["metric"] and row["metric"].startswith(ERROR_METRICS) for row in rows):
        sentences.append("against: relative change of the error rate, below zero = fewer errors.")
    return " ".join(sentences)


def _count_table(rows: list[dict]) -> str:
    counts: dict[str, dict[str, dict]] = {}
    for row in rows:
        if row["lang"] == ALL and row["metric"] in COUNTS:
            counts.setdefault(row["system"], {})[row["metric"]] = row
    if not counts:
        return ""
    names = [name for name in COUNTS if any(name in by_name for by_name in counts.values())]
    body = []
    for system, by_name in counts.items():
        num_utts = next(iter(by_name.values()))["num_utts"]
        cells = (str(by_name[name]["value"]) if name in by_name else "-" for name in names)
        body.append([system, str(num_utts), *cells])
    return markdown_table(["system", "utterances", *(COUNTS[name] for name in names)], body)


def _interval(row: dict, form: str) -> str:
    if row["low"] is None or row["high"] is None:
        return ""
    return f" [{form.format(row['low'])}, {form.format(row['high'])}]"


def markdown_table(header: list[str], body: list[list[str]]) -> str:
    """A markdown table with aligned columns, so that it reads well in a terminal too."""
    columns = zip(header, *body, strict=True)
    widths = [max(display_width(cell) for cell in column) for column in columns]
    rule = ["-" * widths[0], *("-" * (width - 1) + ":" for width in widths[1:])]
    return "\n".join(f"| {' | '.join(_pad(row, widths))} |" for row in [header, rule, *body])


def _pad(row: list[str], widths: list[int]) -> list[str]:
    spaces = [" " * (width - display_width(cell)) for cell, width in zip(row, widths, strict=True)]
    return [row[0] + spaces[0], *(s + cell for s, cell in zip(spaces[1:], row[1:], strict=True))]


def display_width(text: str) -> int:
    """Columns that a terminal gives to a text: two to Chinese characters, none to accents."""
    return sum(
        0 if unicodedata.combining(char) else 2 if unicodedata.east_asian_width(char) in "WF" else 1
        for char in text
    )


def _unique(items) -> list:
    return list(dict.fromkeys(items))
