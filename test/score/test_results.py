import json
import subprocess

import pytest

from speechllm.errors import UserError
from speechllm.score import results
from speechllm.score.environment import git_commit
from speechllm.score.table import markdown_table


def row(system="ctc", lang="en", metric="wer", value=10.0, **kwargs):
    made_by = {"commit": "abc1234", "command": "./run.sh"}
    score = {"value": value, "low": value - 1, "high": value + 1, "num_utts": 5}
    names = {"system": system, "set": "test", "lang": lang, "metric": metric, "normalised": True}
    return names | score | made_by | kwargs


def names(rows):
    return [(r["system"], r["set"], r["metric"], r["value"]) for r in rows]


def test_merge_replaces_rows_of_the_same_system_and_set_in_their_place():
    old = [row("ctc"), row("ctc", metric="cer"), row("llm"), row("ctc", set="dev")]
    merged = results.merge(old, [row("ctc", value=9.0), row("beam")])
    assert names(merged) == [
        ("ctc", "test", "wer", 9.0),  # its CER row is gone: it was not scored again
        ("llm", "test", "wer", 10.0),
        ("ctc", "dev", "wer", 10.0),
        ("beam", "test", "wer", 10.0),
    ]


def test_merge_drops_comparisons_with_a_system_scored_anew():
    old = [
        row("ctc"),
        row("llm"),
        row("llm", metric="wer_vs_ctc"),
        row("llm", set="dev", metric="wer_vs_ctc"),
    ]
    merged = results.merge(old, [row("ctc", value=9.0)])
    assert ("llm", "test", "wer_vs_ctc", 10.0) not in names(merged)
    assert ("llm", "dev", "wer_vs_ctc", 10.0) in names(merged)


def test_files_are_written_whole_and_read_back(tmp_path):
    rows = [
        row(),
        row("llm", value=8.0),
        row("llm", metric="wer_vs_ctc", value=-20.0, low=None, high=None),
    ]
    text = results.write_results(tmp_path / "exp", rows)
    assert results.read_results(tmp_path / "exp" / "results.json") == rows
    assert (tmp_path / "exp" / "RESULTS.md").read_text() == text
    assert sorted(p.name for p in (tmp_path / "exp").iterdir()) == ["RESULTS.md", "results.json"]
    assert list(json.loads((tmp_path / "exp" / "results.json").read_text())[0]) == list(
        results.KEYS
    )


def cells(text, first):
    line = next(line for line in text.splitlines() if line.startswith(f"| {first} "))
    return [cell.strip() for cell in line.strip("|").split("|")]


def test_table_has_languages_in_order_and_the_average_last(tmp_path):
    rows = []
    for system, values in (("ctc", (12.0, 8.0, 10.0)), ("llm", (6.0, 6.0, 6.0))):
        rows += [
            row(system, lang, value=v) for lang, v in zip(("pl", "en", "avg"), values, strict=True)
        ]
    rows += [
        row("llm", lang, "wer_vs_ctc", v)
        for lang, v in (("pl", -50.0), ("en", -25.0), ("avg", -40.0))
    ]
    rows += [
        row("llm", "all", "empty", 2),
        row("llm", "all", "insertions", 7),
        row("ctc", "all", "empty", 0),
    ]
    text = results.write_results(tmp_path, rows)
    assert cells(text, "system") == ["system", "pl", "en", "avg"]
    assert cells(text, "ctc") == ["ctc", "12.00", "8.00", "10.00 [9.00, 11.00]"]
    assert cells(text, "llm against ctc") == [
        "llm against ctc",
        "-50.0 %",
        "-25.0 %",
        "-40.0 % [-41.0, -39.0]",
    ]
    assert "| llm    |          5 |   7 |     2 |" in text
    assert "| ctc    |          5 |   - |     0 |" in text
    assert "abc1234" in text and "    ./run.sh\n" in text


def test_one_language_has_no_average_column(tmp_path):
    text = results.write_results(tmp_path, [row(lang="en"), row(lang="avg")])
    assert cells(text, "ctc") == ["ctc", "10.00 [9.00, 11.00]"]


def test_an_average_over_fewer_languages_says_so(tmp_path):
    rows = [row("llm", lang=lang) for lang in ("de", "en", "fr", "avg")]
    text = results.write_results(tmp_path, [*rows, row("ctc", lang="fr"), row("ctc", lang="avg")])
    assert [line for line in text.splitlines() if " alone" in line] == [
        "avg of ctc: over fr alone."
    ]


def test_published_figures_stand_beside_ours_with_their_source(tmp_path):
    path = tmp_path / "published.tsv"
    path.write_text(
        "system\tlang\tvalue\tsource\nXLSR\tavg\t10.6\tunverified\nW\ten\t4\tsome paper\n"
    )
    rows = [row(lang=lang) for lang in ("en", "de", "avg")]
    text = results.write_results(tmp_path, rows, results.read_published(path))
    assert cells(text, "XLSR") == ["XLSR (unverified)", "", "", "10.60"]
    assert cells(text, "W") == ["W [1]", "4.00", "", ""]
    assert "[1] some paper" in text


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "no column 'system'"),
        ("system\tlang\tvalue\nA\ten\t1\n", "no column 'source'"),
        (
            "system\tlang\tvalue\tsource\nA\ten\t1\t\n",
            ":2: should have system, lang, value, source",
        ),
        ("system\tlang\tvalue\tsource\nA\ten\tten\tx\n", ":2: value 'ten' is no number"),
    ],
)
def test_published_figures_without_source_or_number_are_refused(tmp_path, content, message):
    (tmp_path / "p.tsv").write_text(content)
    with pytest.raises(UserError, match=message):
        results.read_published(tmp_path / "p.tsv")


@pytest.mark.parametrize("content", ["[{", '{"a": 1}', '[{"system": "ctc"}]'])
def test_a_broken_results_file_is_not_overwritten_silently(tmp_path, content):
    (tmp_path / "results.json").write_text(content)
    with pytest.raises(UserError, match="results.json: not .*; delete it and score again"):
        results.read_results(tmp_path / "results.json")


def test_table_columns_are_aligned():
    lines = markdown_table(["system", "en"], [["llm", "7.10"], ["漢字", "12.30"]]).splitlines()
    assert lines == [
        "| system |    en |",
        "| ------ | ----: |",
        "| llm    |  7.10 |",
        "| 漢字   | 12.30 |",
    ]


def test_commit_is_short_and_marks_changes(tmp_path):
    assert git_commit(tmp_path) == "unknown"
    who = ["-c", "user.name=a", "-c", "user.email=a@b"]

    def git(*args):
        subprocess.run(["git", "-C", str(tmp_path), *args], check=True, capture_output=True)

    (tmp_path / "file").write_text("1")
    git("init")
    git("add", "file")
    git(*who, "commit", "-m", "one")
    commit = git_commit(tmp_path)
    assert 4 <= len(commit) <= 12 and not commit.endswith("-dirty")
    (tmp_path / "other").write_text("untracked files do not count")
    assert git_commit(tmp_path) == commit
    (tmp_path / "file").write_text("2")
    assert git_commit(tmp_path) == f"{commit}-dirty"
