"""Tables of several runs: their rows, and the figures of the finished ones."""

import csv
import io
import json
import math
from dataclasses import MISSING, dataclass, field, fields
from pathlib import Path

import yaml

from speechllm.errors import UserError
from speechllm.score.results import KEYS, read_results
from speechllm.score.table import ERROR_METRICS, UNITS

ALIGNMENT = ("monotonicity", "sharpness")  # of analysis/alignment.json


@dataclass(frozen=True)
class TableRow:
    """One row of conf/<preset>/tables/<N>.yaml. Without options it is the run of the preset itself.

    Args:
        name: of its folder.
        label: of the row, or of the curve it belongs to where there is ``x``.
        x: its place on the axis, where that is a number.
        system: whose figures are shown, as in results.json.
        monolingual: one run per language, of the encoder alone.
        encoder: name of one of the table's encoders, which is pretrained once.
        llm: name of one of the table's small LLMs, or a Hugging Face name.
        llm_opts: overrides of train_llm.yaml.
        lm: CTC searched with n-gram LMs, those of the corpora's folder or of the training text.
        subset: limited supervision, as for run.sh; encoder and LLM are trained on so much.
        opts: further options of run.sh.
        run: name of the row whose run it shows another system of; all else is then that row's.
        published: figures of others for it by language or "avg", and in ``mark`` where they come from.
    """

    name: str
    label: str
    x: float | None = None
    system: str = "llm"
    monolingual: bool = False
    encoder: str = ""
    llm: str = ""
    llm_opts: str = ""
    lm: bool = False
    subset: str = ""
    opts: str = ""
    run: str = ""
    published: dict = field(default_factory=dict)

    @property
    def is_preset(self) -> bool:
        own = (self.monolingual, self.encoder, self.llm, self.llm_opts, self.lm, self.subset)
        return not any((*own, self.opts, self.run))


@dataclass(frozen=True)
class TableSpec:
    """A table.

    Args:
        encoders: overrides of train_ctc.yaml by name of the encoder.
        llms: overrides of llm.yaml by name of the small LLM.
        alignment: whether the similarity of speech positions and text is measured and shown too.
        metric: what it shows, as in results.json.
        others: published systems of which there is no row: ``label``, ``mark``, and figures by language or "avg".
        note: what is to be known when reading it, such as why it may differ from the paper's. It has no figures of
            ours, which the next run would change.
    """

    title: str
    axis: str
    rows: list[TableRow]
    encoders: dict[str, str] = field(default_factory=dict)
    llms: dict[str, str] = field(default_factory=dict)
    alignment: bool = False
    metric: str = "wer"
    others: list[dict] = field(default_factory=list)
    note: str = ""


@dataclass(frozen=True)
class Runs:
    """What all rows have in common.

    Args:
        number: of the table.
        tag: of the preset's own run, whose data, encoder and LLM are shared.
        llm: the LLM of rows that name none.
        more: further options of every command.
    """

    number: str
    preset: str
    tag: str
    corpora: str
    langs: list[str]
    llm: str
    more: list[str] = field(default_factory=list)

    def tag_of(self, *names: str) -> str:
        return "/".join([self.tag, "tables", *names])


def read_spec(path: Path) -> TableSpec:
    """Read a table's YAML.

    Raises:
        UserError: no such table; not YAML; a key that is missing or unknown; two rows of one name; keys that do not
            go together; the run of a row that is not there; published figures that are no mappings, have an
            empty key, or stand there twice; a note that is no text.
    """
    if not path.is_file():
        known = sorted(p.stem for p in path.parent.glob("*.yaml"))
        raise UserError(f"table {path.stem}: no {path}; there are tables {' '.join(known)}")
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except yaml.YAMLError as error:
        raise UserError(f"{path}: not YAML: {' '.join(str(error).split())}") from error
    found = values.pop("rows", None) if isinstance(values, dict) else None
    if not isinstance(found, list) or not all(isinstance(row, dict) for row in found):
        raise UserError(f"{path}: 'rows' should be a list of mappings, one for each row")
    rows = [make(TableRow, row, path) for row in found]
    names = [row.name for row in rows]
    if double := sorted({name for name in names if names.count(name) > 1}):
        raise UserError(f"{path}: row {double[0]} stands there twice")
    for row in rows:
        if (row.monolingual or row.lm or row.subset) and (row.opts or row.encoder):
            raise UserError(
                f"{path}: row {row.name}: monolingual, lm and subset go with neither opts nor encoder"
            )
    others = values.get("others") or []
    if not isinstance(others, list):
        raise UserError(f"{path}: 'others' should be a list of mappings, got {others!r}")
    needed = [(row.published, ("mark",)) for row in rows if row.published]
    for figure, keys in needed + [(figure, ("label", "mark")) for figure in others]:
        if not isinstance(figure, dict):
            raise UserError(f"{path}: published figures should be a mapping, got {figure!r}")
        if missing := [key for key in keys if not figure.get(key)]:
            raise UserError(
                f"{path}: published figures {figure}: key {missing[0]!r} is missing or empty"
            )
    labels = [figure["label"] for figure in others]
    if double := sorted({label for label in labels if labels.count(label) > 1}):
        raise UserError(f"{path}: {double[0]!r} stands in 'others' twice")
    own = {row.name for row in rows if not row.run and not row.is_preset}
    if unlike := [row for row in rows if row.run and row.run not in own]:
        raise UserError(
            f"{path}: row {unlike[0].name}: run {unlike[0].run!r} is no other row with a run of its own"
        )
    if not isinstance(values.get("note", ""), str):
        raise UserError(f"{path}: note: should be text, got {values['note']!r}")
    return make(TableSpec, values | {"rows": rows}, path)


def make(kind, values: dict, path: Path):
    """A dataclass from a mapping of its fields, of which those without default must be there."""
    known = {f.name for f in fields(kind)}
    needed = [f.name for f in fields(kind) if f.default is f.default_factory is MISSING]
    if missing := [name for name in needed if name not in values]:
        where = f"row {values['name']}" if "name" in values else kind.__name__
        raise UserError(f"{path}: {where}: key {missing[0]!r} is missing")
    if unknown := sorted(values.keys() - known):
        raise UserError(f"{path}: unknown key {unknown[0]!r}; known are {', '.join(sorted(known))}")
    return kind(**values)


def check_preset_run(runs: Runs, exp: Path):
    """Raise a UserError if the run that all rows share has another LLM or other languages than theirs.

    Of an LLM's folder the name counts: a run can be moved.
    """
    folder, hint = exp / runs.tag, "name those, or another run with --tag"
    config = folder / "llm/best/config.yaml"
    if config.is_file():
        llm = str(yaml.safe_load(config.read_text(encoding="utf-8"))["llm"])
        if llm != runs.llm and not (
            Path(llm).is_absolute() and Path(llm).name == Path(runs.llm).name
        ):
            raise UserError(f"--llm: {folder} was trained with {llm}, not {runs.llm}; {hint}")
    found = {r["lang"] for r in read_results(folder / "results.json")} - {"avg", "all"}
    if found and runs.langs and found != set(runs.langs):
        langs = " ".join(sorted(found))
        raise UserError(f"--langs: {folder} has {langs}, not {' '.join(runs.langs)}; {hint}")


def monolingual_tag(row: TableRow, lang: str, runs: Runs) -> str:
    return runs.tag_of(runs.number, f"{row.name}_{lang}")


def figures(row: TableRow, runs: Runs, exp: Path, metric: str = "wer") -> list[dict]:
    """The rows of results.json that a table row shows; none where it is not finished."""

    def read(tag: str) -> list[dict]:
        return [
            r
            for r in read_results(exp / tag / "results.json")
            if (r["system"], r["set"], r["metric"]) == (row.system, "test", metric)
            and r["normalised"] == (metric in ERROR_METRICS)
        ]

    if row.is_preset:
        return read(runs.tag)
    if not row.monolingual:
        return read(runs.tag_of(runs.number, row.run or row.name))
    found = [
        r
        for lang in runs.langs
        for r in read(monolingual_tag(row, lang, runs))
        if r["lang"] == lang
    ]
    if len(found) == len(runs.langs):
        found.append(found[0] | {"lang": "avg"} | mean_of_runs(found))
    return found


def mean_of_runs(found: list[dict]) -> dict[str, float]:
    """Mean of figures of independent runs; the half-widths of their intervals add in quadrature."""
    mean = sum(r["value"] for r in found) / len(found)
    down, up = (
        math.hypot(*(r["value"] - r[bound] for r in found)) / len(found)
        for bound in ("low", "high")
    )
    return {"value": mean, "low": mean - down, "high": mean + up}


def alignment(row: TableRow, runs: Runs, exp: Path) -> dict[str, float]:
    """Monotonicity and sharpness of a row's run over all languages; empty where it was not analysed."""
    tag = runs.tag if row.is_preset else runs.tag_of(runs.number, row.run or row.name)
    path = exp / tag / "analysis/alignment.json"
    if not path.is_file():
        return {}
    report = json.loads(path.read_text(encoding="utf-8"))
    return {name: report[name]["all"] for name in ALIGNMENT}


def collect(spec: TableSpec, runs: Runs, exp: Path) -> list[dict]:
    """All figures of a table: ``{row, label, x, system, lang, value, low, high, published, mark, note, ...}``.

    What is published beside no figure of ours, for an unfinished row or of a system without a row, has the value None;
    of systems without a row ``row`` is "" and ``system`` "published". Languages that are not the run's are left out.
    """
    found = {row.name: figures(row, runs, exp, spec.metric) for row in spec.rows}
    langs = set(runs.langs) or {r["lang"] for rows in found.values() for r in rows}

    def published_of(values: dict) -> dict[str, dict]:
        return {
            lang: {"published": value, "mark": values["mark"]}
            for lang, value in values.items()
            if lang not in ("label", "mark") and (not langs or lang in {*langs, "avg"})
        }

    no_figure = dict.fromkeys(KEYS) | {"set": "test", "metric": spec.metric}
    out = []
    for row in spec.rows:
        similar = alignment(row, runs, exp) if spec.alignment else {}
        about = {"row": row.name, "label": row.label, "x": row.x, "published": None, "mark": ""}
        published = published_of(row.published)
        for r in found[row.name]:
            more = similar if r["lang"] == "avg" else {}
            out.append(about | published.pop(r["lang"], {}) | more | r)
        for lang, more in published.items():
            out.append(about | more | no_figure | {"system": row.system, "lang": lang})
    for values in spec.others:
        about = {"row": "", "label": values["label"], "x": None}
        for lang, more in published_of(values).items():
            out.append(about | more | no_figure | {"system": "published", "lang": lang})
    return [record | {"note": spec.note.strip()} for record in out]


def markdown(spec: TableSpec, number: str, rows: list[dict]) -> str:
    """The table: a line for each row, which says so if it has no figures, and below it what is published for it.

    Below all rows stands the table's note.
    """
    ours = [r for r in rows if r["value"] is not None]
    langs = dict.fromkeys(r["lang"] for r in ours + rows)
    langs = sorted(langs, key=lambda lang: lang in ("avg", "all"))  # after the languages
    more = list(ALIGNMENT) if spec.alignment else []
    about = f"{UNITS[spec.metric]} on test."
    if more:
        about += " Monotonicity, sharpness: of the similarity of speech positions and text."
    lines = [f"# Table {number}: {spec.title}", "", about, ""]
    numbered = any(row.x is not None for row in spec.rows)
    lines.append(f"| {' | '.join([spec.axis, *(['row'] if numbered else []), *langs, *more])} |")
    lines.append("|" + "---|" * (len(langs) + len(more) + 1 + numbered))

    def add(x: str, label: str, cells: list[str]):
        lines.append(f"| {' | '.join([*([x] if numbered else []), label, *cells])} |")

    def add_published(label: str, found: list[dict]):
        values = {r["lang"]: str(r["published"]) for r in found if r["published"] is not None}
        if values:
            mark = next(r["mark"] for r in found if r["mark"])
            cells = [values.get(lang, "") for lang in langs]
            add("", f"{label} ({mark})", cells + [""] * len(more))

    for row in spec.rows:
        found = {r["lang"]: r for r in ours if r["row"] == row.name}
        cells = [cell(found[lang]) if lang in found else "" for lang in langs]
        average = found.get("avg", {})
        cells += [f"{average[n]:.3f}" if average.get(n) is not None else "" for n in more]
        label = row.label if found else f"{row.label} (not finished)"
        add("" if row.x is None else f"{row.x:g}", label, cells)
        add_published("published", [r for r in rows if r["row"] == row.name])
    for label in (values["label"] for values in spec.others):
        found = [r for r in rows if (r["row"], r["label"]) == ("", label)]
        add_published(f"published: {label}", found)
    known = {r["row"] for r in rows if r["published"] is not None}
    if not known >= {row.name for row in spec.rows}:
        lines += [
            "",
            f"Published figures for {'the other' if known else 'these'} rows are not known to us.",
        ]
    lines += ["", spec.note.strip()] if spec.note.strip() else []
    commits = sorted({r["commit"] for r in ours})
    return "\n".join([*lines, "", f"Commit {', '.join(commits) or 'none'}."]) + "\n"


def cell(figure: dict) -> str:
    """A figure, with its interval where it is an average."""
    if figure["lang"] == "avg" and figure["low"] is not None:
        return f"{figure['value']:.2f} [{figure['low']:.2f}, {figure['high']:.2f}]"
    return f"{figure['value']:.2f}"


def as_csv(rows: list[dict]) -> str:
    columns = ["row", "label", "x", "system", "lang", "value", "low", "high", "published", "mark"]
    columns += [name for name in ALIGNMENT if any(name in row for row in rows)]
    out = io.StringIO()
    writer = csv.DictWriter(out, columns, extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return out.getvalue()
