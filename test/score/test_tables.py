"""Tables of several runs: commands of the rows, and figures from their results."""

import csv
import json
import os
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

from speechllm.bin import table
from speechllm.bin.table_jobs import Job, plan, run_jobs
from speechllm.errors import UserError
from speechllm.score.results import KEYS
from speechllm.score.tables import Runs, read_spec

SPEC = {
    "title": "Things",
    "axis": "size",
    "rows": [
        {"name": "preset", "label": "as it is", "x": 1},
        {"name": "more", "label": "more", "x": 2, "llm_opts": "--a 1 --b '2 3'"},
        {"name": "own", "label": "own encoder", "x": 3, "encoder": "small", "llm": "tiny"},
        {"name": "opts", "label": "otherwise", "opts": "--phases llm"},
        {"name": "mono", "label": "one each", "system": "ctc", "monolingual": True},
        {
            "name": "hub",
            "label": "from the hub",
            "llm": "big/llm",
            "published": {"avg": 9.7, "mark": "unverified"},
        },
    ],
    "encoders": {"small": "--encoder.dim 8"},
    "llms": {"tiny": "--dim 16"},
}
RUNS = Runs("7", "mini", "t", "/corpora", ["en", "de"], "exp/t/base_llm", ["--ngpu", "0"])


@pytest.fixture
def spec_file(tmp_path):
    path = tmp_path / "7.yaml"
    path.write_text(yaml.safe_dump(SPEC))
    return path


def options_of(jobs, name):
    """The calls of a job as mappings from option to value."""
    calls = [call for job in jobs for call in job.calls if job.name == name]
    return [dict(zip(call[::2], call[1::2], strict=True)) for call in calls]


def test_rows_share_what_the_run_of_the_preset_has(spec_file):
    shared, jobs = plan(read_spec(spec_file), RUNS)
    assert [job.name for job in shared] == ["llms/tiny", "encoders/small"]
    assert options_of(jobs, "preset") == []
    (more,) = options_of(jobs, "more")
    assert more["--data"] == "data/t" and more["--ctc"] == "exp/t/ctc"
    assert more["--llm"] == "exp/t/base_llm" and more["--llm_opts"] == "--a 1 --b '2 3'"
    assert (more["--tag"], more["--stage"], more["--stop_stage"]) == ("t/tables/7/more", "5", "7")
    (hub,) = options_of(jobs, "hub")
    assert hub["--llm"] == "big/llm" and hub["--ctc"] == "exp/t/ctc"


def test_rows_can_have_options_of_their_own(spec_file):
    (row,) = options_of(plan(read_spec(spec_file), RUNS)[1], "opts")
    assert row["--phases"] == "llm" and row["--ctc"] == "exp/t/ctc"


def test_a_table_of_bleu_shows_raw_text(spec_file, tmp_path):
    spec_file.write_text(yaml.safe_dump({**SPEC, "metric": "bleu"}))
    (tmp_path / "exp/t").mkdir(parents=True)
    row = dict.fromkeys(KEYS, "") | {"system": "llm", "set": "test", "lang": "avg", "value": 31.5}
    row |= {"metric": "bleu", "normalised": False, "commit": "abc", "low": None, "high": None}
    rows = [row, row | {"metric": "wer", "normalised": True, "value": 9.0}]
    (tmp_path / "exp/t/results.json").write_text(json.dumps(rows))
    options = ["--spec", str(spec_file), "--preset", "mini", "--tag", "t", "--langs", "en"]
    table.main(["write", *options, "--exp", str(tmp_path / "exp")])
    text = (tmp_path / "exp/t/tables/7.md").read_text()
    assert "BLEU on test." in text and "31.50" in text and "9.00" not in text


def test_own_encoders_and_llms_are_made_before_they_are_used(spec_file):
    shared, jobs = plan(read_spec(spec_file), RUNS)
    (llm,), (encoder,) = options_of(shared, "llms/tiny"), options_of(shared, "encoders/small")
    (row,) = options_of(jobs, "own")
    assert llm["--mini_llm_opts"] == "--dim 16" and llm["--stop_stage"] == "3"
    assert encoder["--ctc_opts"] == "--encoder.dim 8" and encoder["--stop_stage"] == "4"
    assert {job.name: job.needs for job in jobs if job.needs} == {
        "own": ("llms/tiny", "encoders/small")
    }
    assert row["--llm"] == f"exp/{llm['--tag']}/base_llm"
    assert row["--ctc"] == f"exp/{encoder['--tag']}/ctc"


def test_a_row_can_show_another_system_of_a_row_s_run(spec_file, tmp_path, capsys):
    more, own = SPEC["rows"][1], {"name": "cascade", "label": "cascade", "run": "more"}
    spec_file.write_text(yaml.safe_dump(SPEC | {"rows": [more, own | {"system": "cascade"}]}))
    spec = read_spec(spec_file)
    assert [job.name for job in plan(spec, RUNS)[1]] == ["more"]
    assert plan(spec, RUNS, only="cascade") == plan(spec, RUNS, only="more")
    folder = tmp_path / "t/tables/7/more"
    write_results(folder, {"en": 3.0, "avg": 3.0})
    both = json.loads((folder / "results.json").read_text())
    both += [row | {"system": "cascade", "value": 5.0} for row in both]
    (folder / "results.json").write_text(json.dumps(both))
    options = ["--spec", str(spec_file), "--preset", "mini", "--tag", "t", "--langs", "en"]
    table.main(["write", *options, "--exp", str(tmp_path)])
    text = capsys.readouterr().out
    assert "| 2 | more | 3.00 |" in text and "|  | cascade | 5.00 |" in text


def test_a_table_without_numbers_on_its_axis_names_the_rows_by_it(spec_file, tmp_path, capsys):
    spec_file.write_text(yaml.safe_dump(SPEC | {"rows": [{"name": "a", "label": "as it is"}]}))
    write_results(tmp_path / "t", {"en": 3.0, "avg": 3.0})
    options = ["--spec", str(spec_file), "--preset", "mini", "--tag", "t", "--langs", "en"]
    table.main(["write", *options, "--exp", str(tmp_path)])
    text = capsys.readouterr().out
    assert "| size | en | avg |" in text and "| as it is | 3.00 |" in text
    assert "Published figures for these rows are not known to us." in text


@pytest.mark.parametrize(("corpora", "lm"), [("/corpora", "/corpora"), ("", "train")])
def test_rows_with_lms_search_again_with_the_shared_encoder(spec_file, corpora, lm):
    row = {"name": "lms", "label": "with LMs", "system": "ctc+lm", "lm": True}
    spec_file.write_text(yaml.safe_dump(SPEC | {"rows": [row]}))
    runs = Runs("7", "mini", "t", corpora, ["en", "de"], "exp/t/base_llm", ["--ngpu", "0"])
    shared, jobs = plan(read_spec(spec_file), runs)
    assert not shared and options_of(jobs, "lms") == [
        {
            "--preset": "mini",
            "--data": "data/t",
            "--ngpu": "0",
            "--tag": "t/tables/7/lms",
            "--ctc": "exp/t/ctc",
            "--llm": "exp/t/base_llm",
            "--lm": lm,  # the corpora's own, or those of the training text
            "--stage": "6",
            "--stop_stage": "7",
        }
    ]


def test_rows_of_limited_supervision_train_everything_on_less(spec_file):
    rows = [
        {"name": "hour", "label": "an hour", "subset": "1h"},
        {
            "name": "least",
            "label": "less",
            "subset": "10min",
            "llm_opts": "--a 1",
            "llm": "big/llm",
        },
    ]
    spec_file.write_text(yaml.safe_dump(SPEC | {"rows": rows}))
    shared, jobs = plan(read_spec(spec_file), RUNS)
    hour = {
        "--preset": "mini",
        "--ngpu": "0",
        "--corpora": "/corpora",
        "--langs": "en de",
        "--tag": "t/tables/7/hour",
        "--llm": "exp/t/base_llm",
        "--subset": "1h",
        "--llm_opts": "",
        "--stage": "1",
        "--stop_stage": "7",
    }
    least = {"--tag": "t/tables/7/least", "--llm": "big/llm", "--subset": "10min"}
    assert not shared and options_of(jobs, "hour") == [hour]  # neither data nor encoder of another
    assert options_of(jobs, "least") == [hour | least | {"--llm_opts": "--a 1"}]


def test_monolingual_rows_have_their_own_data(spec_file):
    _, jobs = plan(read_spec(spec_file), RUNS)
    calls = options_of(jobs, "mono_en") + options_of(jobs, "mono_de")
    assert [call["--langs"] for call in calls] == ["en", "en", "de", "de"]
    for call in calls:
        assert call["--corpora"] == "/corpora" and "--data" not in call
    stages = [(call["--stage"], call["--stop_stage"]) for call in calls[:2]]
    assert stages == [("1", "4"), ("6", "7")]  # without an LLM


def test_plan_is_printed_as_shell_words(spec_file, capsys):
    table.main(
        ["plan", "--spec", str(spec_file), "--preset", "mini", "--tag", "t", "--row", "more"]
    )
    (line,) = capsys.readouterr().out.splitlines()
    name, script, *options = shlex.split(line)
    assert (name, script) == ("more:", "./run.sh")
    assert options[options.index("--llm_opts") + 1] == "--a 1 --b '2 3'"


@pytest.fixture
def recipe(tmp_path, monkeypatch):
    """A folder whose run.sh notes when it begins and ends, with how many threads, and may fail or take long."""
    script = tmp_path / "run.sh"
    script.write_text(
        "#!/bin/bash\n"
        'echo "begin $1 ${OMP_NUM_THREADS}" >>calls; sleep "$2"\n'
        '[ "${3-}" != bad ] || { echo "no luck"; exit 1; }\n'
        'echo "end $1" >>calls\n'
    )
    script.chmod(0o755)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_jobs_run_side_by_side_and_one_that_fails_stops_itself_alone(recipe, capsys):
    jobs = [
        Job("a", [["a1", "0.6"], ["a2", "0"]]),
        Job("b/x", [["b1", "0", "bad"], ["b2", "0"]]),
        Job("c", [["c1", "0"]]),
    ]
    assert run_jobs(jobs, 2, recipe / "log", num_threads=5) == ["b/x"]
    calls = (recipe / "calls").read_text().splitlines()
    assert {"begin a1 2", "begin b1 2"} == set(calls[:2])
    assert calls.index("end c1") < calls.index("end a1") < calls.index("begin a2 2")
    assert not any("b2" in call for call in calls)
    said = capsys.readouterr().out
    assert "b/x: failed: no luck" in said and "a: done in" in said
    assert (recipe / "log/b_x.log").read_text() == "no luck\n"


def test_a_job_waits_for_what_it_needs_while_others_do_not(recipe, capsys):
    jobs = [
        Job("encoder", [["encoder", "0.6"]]),
        Job("llm", [["llm", "0", "bad"]]),
        Job("on_encoder", [["on_encoder", "0"]], ("encoder",)),
        Job("on_both", [["on_both", "0"]], ("encoder", "llm")),
        Job("free", [["free", "0"]]),
    ]
    assert run_jobs(jobs, 2, recipe / "log", num_threads=2) == ["llm", "on_both"]
    calls = [call.removesuffix(" 1") for call in (recipe / "calls").read_text().splitlines()]
    assert calls[2:] == [
        "begin free",
        "end free",
        "end encoder",
        "begin on_encoder",
        "end on_encoder",
    ]
    assert set(calls[:2]) == {"begin encoder", "begin llm"}
    assert "on_both: left out, as it needs encoder llm" in capsys.readouterr().out


def test_jobs_are_stopped_where_the_table_is_interrupted(recipe):
    options = ["--preset", "mini", "--tag", "t", "--spec"]
    (recipe / "conf").mkdir()
    rows = [{"name": "a", "label": "a", "opts": "--x 1"}]
    (recipe / "conf/1.yaml").write_text(yaml.safe_dump({"title": "T", "axis": "x", "rows": rows}))
    (recipe / "run.sh").write_text("#!/bin/bash\necho $$ >pid; sleep 60; touch survived\n")
    command = [sys.executable, "-m", "speechllm.bin.table", "run", *options, "conf/1.yaml"]
    env = os.environ | {"PYTHONPATH": str(Path(table.__file__).parents[2])}
    process = subprocess.Popen(command, env=env, stderr=subprocess.PIPE)
    while not (recipe / "pid").exists() or not (recipe / "pid").read_text().strip():
        time.sleep(0.05)
        assert process.poll() is None
    process.send_signal(signal.SIGTERM)
    assert process.wait(30) == 130
    with pytest.raises(ProcessLookupError):
        for _ in range(600):  # until it has been waited for
            os.kill(int((recipe / "pid").read_text()), 0)
            time.sleep(0.05)


def write_results(folder, values, system="llm"):
    """A results.json with these test WERs by language, and figures that no table shows."""
    folder.mkdir(parents=True)
    rows = []
    for lang, value in values.items():
        row = dict.fromkeys(KEYS, "") | {"system": system, "set": "test", "lang": lang}
        row |= {"metric": "wer", "normalised": True, "value": value, "commit": "abc"}
        row |= {"low": value - 1, "high": value + 2}
        rows += [row, row | {"set": "dev", "value": 99.0}, row | {"system": "x", "value": 98.0}]
    (folder / "results.json").write_text(json.dumps(rows))


def test_table_shows_what_is_finished(spec_file, tmp_path, capsys):
    exp = tmp_path / "exp"
    write_results(exp / "t", {"en": 4.0, "de": 6.0, "avg": 5.0})
    write_results(exp / "t/tables/7/hub", {"en": 3.0, "de": 3.5, "avg": 3.25})
    for lang, value in (("en", 7.0), ("de", 8.0)):
        write_results(exp / f"t/tables/7/mono_{lang}", {lang: value, "avg": value}, "ctc")
    options = ["--spec", spec_file, "--preset", "mini", "--tag", "t", "--langs", "en de"]
    table.main(["write", *map(str, options), "--exp", str(exp)])
    text = (exp / "t/tables/7.md").read_text()
    assert text.strip() == capsys.readouterr().out.strip()
    assert "| 1 | as it is | 4.00 | 6.00 | 5.00 [4.00, 7.00] |" in text
    assert "| 2 | more (not finished) |  |  |  |" in text
    assert "|  | one each | 7.00 | 8.00 | 7.50 [6.79, 8.91] |" in text  # 1 / sqrt(2), 2 / sqrt(2)
    assert "3.25 [2.25, 5.25] |" in text and "99" not in text
    rows = json.loads((exp / "t/tables/7.json").read_text())
    assert {(r["row"], r["lang"]): r["value"] for r in rows}["mono", "avg"] == 7.5
    with (exp / "t/tables/7.csv").open() as file:
        assert [r["row"] for r in csv.DictReader(file) if r["lang"] == "avg"] == [
            "preset",
            "mono",
            "hub",
        ]
    assert (exp / "t/tables/7.png").read_bytes()[:4] == b"\x89PNG"


def test_tables_with_alignment_analyse_every_row_and_show_it(spec_file, tmp_path, capsys):
    spec_file.write_text(yaml.safe_dump(SPEC | {"alignment": True, "rows": SPEC["rows"][:2]}))
    _, jobs = plan(read_spec(spec_file), RUNS)
    (preset,), (more,) = options_of(jobs, "preset"), options_of(jobs, "more")
    assert (preset["--tag"], preset["--stage"], preset["--stop_stage"]) == ("t", "8", "8")
    assert "--analysis_opts" not in preset  # as run.sh itself would do it, so that it is done once
    assert more["--stop_stage"] == "8" and "--listen_utts 0" in more["--analysis_opts"]
    exp = tmp_path / "exp"
    for tag, value in (("t", 0.9), ("t/tables/7/more", 0.5)):
        write_results(exp / tag, {"en": 4.0, "avg": 5.0})
        (exp / tag / "analysis").mkdir()
        report = {"monotonicity": {"all": value}, "sharpness": {"all": 2 * value}}
        (exp / tag / "analysis/alignment.json").write_text(json.dumps(report))
    options = ["--spec", spec_file, "--preset", "mini", "--tag", "t", "--langs", "en"]
    table.main(["write", *map(str, options), "--exp", str(exp)])
    text = capsys.readouterr().out
    assert "| en | avg | monotonicity | sharpness |" in text
    assert "| 2 | more | 4.00 | 5.00 [4.00, 7.00] | 0.500 | 1.000 |" in text
    with (exp / "t/tables/7.csv").open() as file:
        shown = {r["row"]: r["monotonicity"] for r in csv.DictReader(file) if r["lang"] == "avg"}
    assert shown == {"preset": "0.9", "more": "0.5"}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"rows": [{"name": "a"}]}, "row a: key 'label' is missing"),
        ({"rows": 3}, "'rows' should be a list"),
        ({"rows": [{"name": "a", "label": "a", "colour": 1}]}, "unknown key 'colour'"),
        ({"rows": [{"name": "a", "label": "a"}] * 2}, "row a stands there twice"),
        ({"rows": [{"name": "a", "label": "a", "encoder": "e"}]}, "no encoder 'e'"),
        ({"rows": [{"name": "a", "label": "a", "run": "b"}]}, "row a: run 'b' is no other row"),
        ({"rows": [{"name": "a", "label": "a", "lm": True, "opts": "--x"}]}, "neither opts nor"),
        ({"rows": [{"name": "a", "label": "a", "published": {"avg": 1}}]}, "key 'mark' is missing"),
        ({"others": [{"name": "a", "mark": "b", "avg": 1}]}, "key 'label' is missing"),
        ({"others": [{"label": "a", "mark": ""}]}, "key 'mark' is missing or empty"),
        ({"others": [{"label": "a", "mark": "b"}] * 2}, "'a' stands in 'others' twice"),
        ({"others": ["x"]}, "published figures should be a mapping, got 'x'"),
        ({"others": {"label": "a"}}, "'others' should be a list of mappings"),
        ({"rows": [{"name": "a", "label": "a", "published": "x"}]}, "be a mapping, got 'x'"),
        ({"note": ["a", "b"]}, r"note: should be text, got \['a', 'b'\]"),
        ({"notes": "a"}, "unknown key 'notes'"),
    ],
    ids=str,
)
def test_wrong_tables_are_one_clear_line(spec_file, change, message):
    spec_file.write_text(yaml.safe_dump(SPEC | change))
    with pytest.raises(UserError, match=message):
        plan(read_spec(spec_file), RUNS)


def test_unknown_tables_and_rows_are_named(spec_file):
    with pytest.raises(UserError, match="table 8: .*there are tables 7"):
        read_spec(spec_file.with_name("8.yaml"))
    with pytest.raises(UserError, match="no row 'z'; it has preset more own opts mono hub"):
        plan(read_spec(spec_file), RUNS, only="z")


@pytest.mark.parametrize(
    ("llm", "langs", "message"),
    [
        ("exp/t/base_llm", "en de", None),
        ("other/base_llm", "en de", None),  # as after a move
        ("exp/u/big_llm", "en de", "--llm: .*/t was trained with /runs/t/base_llm, not exp/u/big"),
        ("exp/t/base_llm", "en", "--langs: .*/t has de en, not en; "),
    ],
)
def test_the_shared_run_must_be_of_the_same_llm_and_languages(
    llm, langs, message, spec_file, tmp_path
):
    write_results(tmp_path / "t", {"en": 4.0, "de": 6.0, "avg": 5.0, "all": 5.2})
    (tmp_path / "t/llm/best").mkdir(parents=True)
    (tmp_path / "t/llm/best/config.yaml").write_text("llm: /runs/t/base_llm\n")
    options = ["--spec", str(spec_file), "--preset", "mini", "--tag", "t", "--exp", str(tmp_path)]
    options = ["plan", *options, "--llm", llm, "--langs", langs]
    if message is None:
        return table.main(options)
    with pytest.raises(UserError, match=message):
        table.main(options)


def test_published_figures_stand_below_ours(spec_file, tmp_path, capsys):
    others = [{"label": "theirs", "avg": 3.5, "mark": "a paper"}]
    spec_file.write_text(yaml.safe_dump(SPEC | {"others": others}))
    for tag in ("t", "t/tables/7/hub"):
        write_results(tmp_path / tag, {"en": 4.0, "avg": 5.0})
    options = ["--spec", str(spec_file), "--preset", "mini", "--tag", "t", "--langs", "en"]
    table.main(["write", *options, "--exp", str(tmp_path)])
    lines = capsys.readouterr().out.splitlines()
    hub = next(i for i, line in enumerate(lines) if "from the hub" in line)
    assert lines[hub + 1] == "|  | published (unverified) |  | 9.7 |"
    assert "|  | published: theirs (a paper) |  | 3.5 |" in lines
    assert lines.count("Published figures for the other rows are not known to us.") == 1


def write_table(spec_file, exp, langs) -> tuple[str, list[dict], list[dict]]:
    """The table that is written: markdown, JSON and CSV."""
    options = ["--spec", str(spec_file), "--preset", "mini", "--tag", "t", "--langs", langs]
    table.main(["write", *options, "--exp", str(exp)])
    with (exp / "t/tables/7.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    return (
        (exp / "t/tables/7.md").read_text(),
        json.loads((exp / "t/tables/7.json").read_text()),
        rows,
    )


PUBLISHED = [
    {"name": "done", "label": "made", "published": {"en": 1.5, "avg": 2.5, "mark": "a"}},
    {
        "name": "todo",
        "label": "to be made",
        "opts": "--x 1",
        "published": {"en": 3.5, "fr": 7.5, "avg": 4.5, "mark": "b"},
    },
]
OTHERS = [{"label": "theirs", "en": 5.5, "fr": 8.5, "avg": 6.5, "mark": "c"}]


@pytest.fixture
def plotted(monkeypatch):
    """Rows that were given to the plot."""
    seen = []
    monkeypatch.setattr("speechllm.analysis.curves.plot_table", lambda rows, *_: seen.extend(rows))
    return seen


def test_published_figures_without_ours_are_in_csv_and_json_but_not_in_the_plot(
    spec_file, tmp_path, plotted
):
    spec = SPEC | {"rows": PUBLISHED, "others": OTHERS, "note": "N."}
    spec_file.write_text(yaml.safe_dump(spec, sort_keys=False))
    write_results(tmp_path / "t", {"en": 4.0, "avg": 5.0})
    text, as_json, as_csv = write_table(spec_file, tmp_path, "en")
    expected = [
        # row, label, system, language, ours, published, mark; French is not a language of the run
        ("done", "made", "llm", "en", 4.0, 1.5, "a"),
        ("done", "made", "llm", "avg", 5.0, 2.5, "a"),
        ("todo", "to be made", "llm", "en", None, 3.5, "b"),
        ("todo", "to be made", "llm", "avg", None, 4.5, "b"),
        ("", "theirs", "published", "en", None, 5.5, "c"),
        ("", "theirs", "published", "avg", None, 6.5, "c"),
    ]
    names = ("row", "label", "system", "lang", "value", "published", "mark")
    assert [tuple(r[name] for name in names) for r in as_json] == expected
    assert [tuple(r[name] for name in names) for r in as_csv] == [
        tuple("" if value is None else str(value) for value in row) for row in expected
    ]
    assert all(r.keys() == as_json[0].keys() for r in as_json)  # whoever reads them finds all keys
    assert {(r["note"], r["metric"], r["set"]) for r in as_json} == {("N.", "wer", "test")}
    assert {(r["low"], r["commit"]) for r in as_json if r["value"] is None} == {(None, None)}
    assert [r["value"] for r in plotted] == [5.0]
    assert text.splitlines()[4:] == [
        "| size | en | avg |",
        "|---|---|---|",
        "| made | 4.00 | 5.00 [4.00, 7.00] |",
        "| published (a) | 1.5 | 2.5 |",
        "| to be made (not finished) |  |  |",
        "| published (b) | 3.5 | 4.5 |",
        "| published: theirs (c) | 5.5 | 6.5 |",
        "",
        "N.",
        "",
        "Commit abc.",
    ]


def test_a_table_of_nothing_but_published_figures_can_be_written(spec_file, tmp_path, plotted):
    spec = SPEC | {"rows": PUBLISHED, "others": OTHERS}
    spec_file.write_text(yaml.safe_dump(spec, sort_keys=False))
    text, as_json, as_csv = write_table(spec_file, tmp_path, "")
    assert "| published (b) | 3.5 | 7.5 | 4.5 |" in text and "Commit none." in text
    assert "| published: theirs (c) | 5.5 | 8.5 | 6.5 |" in text
    published = [1.5, 2.5, 3.5, 7.5, 4.5, 5.5, 8.5, 6.5]
    assert [r["published"] for r in as_json] == [float(r["published"]) for r in as_csv] == published
    assert not plotted and not any(r["value"] for r in as_csv)


@pytest.mark.parametrize(
    ("rows", "others", "line"),
    [
        ([{"name": "done", "label": "made"}], [], "for these rows are"),
        ([{"name": "done", "label": "made"}], OTHERS, "for the other rows are"),
        ([*PUBLISHED[:1], {"name": "b", "label": "b", "opts": "--x 1"}], [], "for the other rows"),
        (PUBLISHED, [], None),
        ([{"name": "done", "label": "made"}], [{"label": "x", "fr": 1, "mark": "c"}], "for these"),
    ],
    ids=["none", "others", "some", "all", "of other languages"],
)
def test_one_line_says_of_which_rows_nothing_published_is_known(
    rows, others, line, spec_file, tmp_path, plotted
):
    spec_file.write_text(yaml.safe_dump(SPEC | {"rows": rows, "others": others}))
    write_results(tmp_path / "t", {"en": 4.0, "avg": 5.0})
    text = write_table(spec_file, tmp_path, "en")[0]
    (*said,) = (t for t in text.splitlines() if "not known" in t)
    assert len(said) == (line is not None) and all(line in t for t in said)


@pytest.mark.parametrize("note", ["", "Here it may differ:\nthe world is small.\n"])
def test_the_note_of_a_table_stands_below_it(spec_file, tmp_path, capsys, note):
    spec_file.write_text(yaml.safe_dump(SPEC | {"note": note} if note else SPEC))
    write_results(tmp_path / "t", {"en": 3.0, "avg": 3.0})
    options = ["--spec", str(spec_file), "--preset", "mini", "--tag", "t", "--langs", "en"]
    table.main(["write", *options, "--exp", str(tmp_path)])
    text = capsys.readouterr().out
    *_, last_row = (at for at, line in enumerate(text.splitlines()) if line.startswith("|"))
    below = "\n".join(text.splitlines()[last_row + 1 :])
    others = "Published figures for the other rows are not known to us.\n\n"
    assert below.strip() == others + f"{note.strip()}\n\nCommit abc.".strip()
    figures = json.loads((tmp_path / "t/tables/7.json").read_text())
    assert figures and {figure["note"] for figure in figures} == {note.strip()}


def test_a_note_changes_no_command(spec_file):
    without = plan(read_spec(spec_file), RUNS)
    spec_file.write_text(yaml.safe_dump(SPEC | {"note": "Some words."}))
    assert plan(read_spec(spec_file), RUNS) == without
