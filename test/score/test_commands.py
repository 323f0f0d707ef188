"""speechllm.bin.score, compare and rescore on a small made-up test set."""

import json
import random
import shutil
import subprocess
import sys

import numpy as np
import pytest

from speechllm.bin import compare, rescore, score
from speechllm.errors import UserError
from speechllm.score import nbest

WORDS = {
    "en": "the old captain sells seven red apples near the harbour it's".split(),
    "de": "der alte Kapitän verkauft sieben rote Äpfel am Hafen größer".split(),
    "zh": "老 船 长 在 港 口 卖 七 个 红 苹 果".split(),
}


@pytest.fixture
def exp(tmp_path):
    """ref/ has 20 utterances of 4 speakers in each language; good/ and bad/ make errors."""
    rng = random.Random(0)
    lines = {name: [] for name in ("text", "utt2lang", "utt2spk", "good", "bad", "status")}
    for lang, words in WORDS.items():
        gap = "" if lang == "zh" else " "
        for i in range(20):
            spk_id = f"{lang}_{i % 4:06d}"
            utt_id = f"{spk_id}_{i:04d}"
            ref = rng.choices(words, k=6)
            good = [words[0] if rng.random() < 0.1 else word for word in ref]
            bad = [words[0] if rng.random() < 0.4 else word for word in ref]
            if i == 7:
                bad = []
            if i == 8:
                bad += bad[-1:] * 9
            lines["text"].append(f"{utt_id} {gap.join(ref)}")
            lines["utt2lang"].append(f"{utt_id} {lang}")
            lines["utt2spk"].append(f"{utt_id} {spk_id}")
            lines["good"].append(f"{utt_id} {gap.join(good).lower()}")
            lines["bad"].append(f"{utt_id} {gap.join(bad).upper()}.".replace(" .", ""))
            lines["status"].append(f"{utt_id} {'max_length' if i == 8 else 'ok'}")
    for path, name in (
        ("ref/text", "text"),
        ("ref/utt2lang", "utt2lang"),
        ("ref/utt2spk", "utt2spk"),
        ("good/text", "good"),
        ("bad/text", "bad"),
        ("bad/utt2status", "status"),
    ):
        (tmp_path / path).parent.mkdir(exist_ok=True)
        (tmp_path / path).write_text("\n".join(lines[name]) + "\n")
    return tmp_path


def run_score(exp, *extra, set_name="test", hyp=("ctc=bad", "llm=good")):
    hyps = [item.replace("=", f"={exp}/") for item in hyp]
    args = ["--ref", f"{exp}/ref", "--hyp", *hyps, "--set", set_name, "--out", f"{exp}/out", *extra]
    score.main([*args, "--num_samples", "200"])
    return json.loads((exp / "out" / "results.json").read_text())


def value(rows, **wanted):
    (row,) = [r for r in rows if wanted.items() <= r.items()]
    return row["value"]


def test_rows_per_language_and_their_plain_mean(exp):
    rows = run_score(exp, "--langs", "zh en de")
    for system in ("ctc", "llm"):
        for metric in ("wer", "cer"):
            for normalised in (True, False):
                cells = {
                    "system": system,
                    "metric": metric,
                    "normalised": normalised,
                    "set": "test",
                }
                langs = [value(rows, lang=lang, **cells) for lang in ("zh", "en", "de")]
                assert value(rows, lang="avg", **cells) == pytest.approx(np.mean(langs), abs=1e-4)
    ctc, llm = (
        value(rows, system=s, lang="avg", metric="wer", normalised=True) for s in ("ctc", "llm")
    )
    assert llm < ctc
    change = value(rows, system="llm", lang="avg", metric="wer_vs_ctc", normalised=True)
    assert change == pytest.approx(100 * (llm - ctc) / ctc, abs=1e-3)
    # a Chinese character is a word, so that there WER and CER are one
    zh = {"system": "llm", "lang": "zh", "normalised": True}
    assert value(rows, metric="wer", **zh) == value(rows, metric="cer", **zh) < 30
    for row in rows:
        assert row["low"] is None or row["low"] <= row["value"] <= row["high"]
        assert row["num_utts"] == (60 if row["lang"] in ("avg", "all") else 20)


def test_degenerate_hypotheses_are_counted(exp):
    rows = run_score(exp)
    for kind, count in (("empty", 3), ("looping", 3), ("truncated", 3)):
        assert value(rows, system="ctc", metric=kind) == count
    assert value(rows, system="llm", metric="looping") == 0
    assert not [r for r in rows if r["system"] == "llm" and r["metric"] == "truncated"]


def test_normalisation_removes_case_and_full_stops(exp):
    rows = run_score(exp, hyp=["bad=bad"])
    raw, normalised = (
        value(rows, system="bad", lang="en", metric="wer", normalised=form)
        for form in (False, True)
    )
    assert raw > 100 > normalised  # it shouts


def test_calls_for_several_sets_add_up(exp, capsys):
    run_score(exp, set_name="dev")
    rows = run_score(exp, set_name="test")
    again = run_score(exp, set_name="test", hyp=["llm=good"])
    assert {r["set"] for r in rows} == {"dev", "test"}
    assert [r for r in again if r["set"] == "dev"] == [r for r in rows if r["set"] == "dev"]
    text = (exp / "out" / "RESULTS.md").read_text()
    assert text.index("## dev: WER (%)") < text.index("## test: WER (%)")
    assert "## dev" not in capsys.readouterr().out.split("wrote")[-2]


def test_report_lies_in_the_hypothesis_folder(exp):
    run_score(exp)
    report = (exp / "bad" / "wer.txt").read_text()
    assert "| all " in report
    assert "looping: 3 de_000000_0008 en_000000_0008 zh_000000_0008" in report
    worst = report[report.index("with most errors") :]
    assert worst.count("ref: ") >= 20 and "de_000000_0008: sub " in worst
    assert "most frequent substitutions" in report and " -> the\n" in report
    assert (exp / "bad" / "cer.txt").exists()


def test_commands_are_kept_with_the_rows(exp):
    (exp / "commands").write_text("# how\n./run.sh --stage 1\n\n./run.sh --stage 7\n")
    rows = run_score(exp, "--commands", f"{exp}/commands")
    assert {r["command"] for r in rows} == {"./run.sh --stage 1 && ./run.sh --stage 7"}
    text = (exp / "out" / "RESULTS.md").read_text()
    assert text.endswith("## Commands\n\n    ./run.sh --stage 1\n    ./run.sh --stage 7\n")


def test_bleu_rows_carry_their_signature(exp):
    rows = run_score(exp, "--metrics", "bleu,chrf", "--baseline", "ctc")
    bleu = [r for r in rows if r["metric"] == "bleu"]
    assert len(bleu) == 2 * 4 and all("tok:13a" in r["signature"] for r in bleu)
    ctc, llm = (value(rows, system=s, lang="avg", metric="bleu") for s in ("ctc", "llm"))
    change = value(rows, system="llm", lang="avg", metric="bleu_vs_ctc")
    assert change == pytest.approx(llm - ctc, abs=1e-3)
    assert "tok:13a" in (exp / "out" / "RESULTS.md").read_text()


def test_results_do_not_change_from_run_to_run(exp):
    assert run_score(exp) == run_score(exp)


@pytest.mark.parametrize(
    ("extra", "message"),
    [
        (["--metrics", "wer,mer"], "metric 'mer' is none of"),
        (["--metrics", ""], "--metrics should name one"),
        (["--baseline", "aed"], "--baseline aed: is none of --hyp"),
        (["--langs", "en fr"], "no utterance of language 'fr', only de en zh"),
        (["--commands", "nowhere"], "nowhere: no such file"),
        (["--hyp", "good"], "--hyp good: should be SYSTEM=DIR"),
        (["--hyp", "a=x", "a=y"], "system a a second time"),
        (["--hyp", "a=nowhere"], "nowhere/text: no such file"),
    ],
)
def test_wrong_options_stop_before_anything_is_written(exp, extra, message):
    with pytest.raises(UserError, match=message):
        run_score(exp, *extra)
    assert not (exp / "out").exists() and not (exp / "bad" / "wer.txt").exists()


def run_compare(exp, capsys, a, b, *extra):
    args = ["--ref", f"{exp}/ref", "--hyp_a", f"{exp}/{a}", "--hyp_b", f"{exp}/{b}"]
    compare.main([*args, "--num_samples", "500", *extra])
    lines = capsys.readouterr().out.splitlines()
    table = [
        [c.strip() for c in line.strip("|").split("|")] for line in lines if line.startswith("|")
    ]
    return {cells[0]: cells[1:] for cells in table}


def test_compare_finds_a_clear_difference_by_every_test(exp, capsys):
    table = run_compare(exp, capsys, "bad", "good", "--langs", "en de zh")
    assert list(table) == ["lang", "----", "en", "de", "zh", "avg"]
    *_, p_utt, _, p_spk, _, z, p_segment = table["avg"]
    assert max(float(p) for p in (p_utt, p_spk, p_segment)) < 0.01
    assert float(z) < -3
    assert table["avg"][:2] == ["60", "12"]


def test_compare_finds_no_difference_of_a_system_with_itself(exp, capsys):
    table = run_compare(exp, capsys, "good", "good")
    assert table["avg"][4:9] == ["+0.0 %", "[+0.0, +0.0]", "1.0000", "[+0.0, +0.0]", "1.0000"]
    assert table["avg"][-1] == "1.0000"


def test_compare_draws_no_speakers_where_there_is_one_only(exp, capsys):
    path = exp / "ref/utt2spk"
    of_en = [line.split()[0] for line in path.read_text().splitlines() if line.startswith("en")]
    assert len(of_en) > 1
    lines = [
        u if not u.startswith("en") else f"{u.split()[0]} en" for u in path.read_text().splitlines()
    ]
    path.write_text("\n".join(lines) + "\n")
    table = run_compare(exp, capsys, "bad", "good", "--langs", "en de")
    assert table["en"][1] == "1" and table["en"][7:9] == table["avg"][7:9] == ["-", "-"]
    assert float(table["de"][8]) < 0.05 and float(table["en"][6]) < 0.05


def test_compare_agrees_with_score_on_the_interval(exp, capsys):
    rows = run_score(exp)
    (row,) = [
        r for r in rows if r["lang"] == "avg" and r["metric"] == "wer_vs_ctc" and r["normalised"]
    ]
    low, high = run_compare(exp, capsys, "bad", "good")["avg"][5].strip("[]").split(",")
    assert float(low) == pytest.approx(row["low"], abs=5)
    assert float(high) == pytest.approx(row["high"], abs=5)


def test_compare_with_a_system_without_errors_prints_numbers(exp, capsys):
    refs = {line.split()[0]: line for line in (exp / "ref/text").read_text().splitlines()}
    for name, num_wrong in (("right", 0), ("nearly", 1)):
        (exp / name).mkdir()
        lines = [f"{u} xx" if i < num_wrong else refs[u] for i, u in enumerate(sorted(refs))]
        (exp / name / "text").write_text("\n".join(lines) + "\n")
    args = ["--ref", f"{exp}/ref", "--num_samples", "500", "--langs", "de"]
    for a, b, change, bounds in (
        ("nearly", "right", "-100.0 %", "[-100.0, +0.0]"),
        ("right", "nearly", "+inf %", "[+0.0, +inf]"),
        ("nearly", "good", None, "+inf]"),  # one wrong utterance is not drawn in a third of samples
    ):
        compare.main([*args, "--hyp_a", f"{exp}/{a}", "--hyp_b", f"{exp}/{b}"])
        text = capsys.readouterr().out
        (line,) = (line for line in text.splitlines() if line.startswith("| de"))
        row = [cell.strip() for cell in line.split("|")]
        assert "nan" not in text and ("inf: a makes no error" in text) == ("inf" in bounds)
        assert change is None or row[6] == change
        assert row[7].endswith(bounds)


def test_compare_takes_bleu_without_segments(exp, capsys):
    table = run_compare(exp, capsys, "bad", "good", "--metric", "bleu", "--langs", "en")
    assert list(table) == ["lang", "----", "en"] and len(table["en"]) == 9


@pytest.mark.parametrize("module", ["score", "compare"])
def test_help_imports_nothing_heavy(module):
    code = (
        f"import sys, speechllm.bin.{module} as m\n"
        "try: m.main(['--help'])\n"
        "except SystemExit: pass\n"
        "print(sorted({'numpy', 'jiwer', 'torch', 'sacrebleu'} & sys.modules.keys()))"
    )
    out = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True
    ).stdout
    assert out.splitlines()[-1] == "[]" and "usage" in out


@pytest.fixture
def decoded(tmp_path):
    """ref/ of two utterances; dev/ and test/ with lists in which the LLM prefers what CTC did not hear."""
    (tmp_path / "ref").mkdir()
    tables = {"text": ("a b", "c d e"), "utt2lang": ("en", "en"), "utt2spk": ("s", "s")}
    for name, values in tables.items():
        lines = [f"s-{i} {value}" for i, value in enumerate(values)]
        (tmp_path / "ref" / name).write_text("\n".join(lines) + "\n")
    texts = [["a b b", "a b"], ["c d e", "c e", "d e"]]
    scores = {"llm": [[-1.0, -3.0], [-1.0, -4.0, -0.5]], "ctc": [[-9.0, -2.0], [-1.0, -6.0, -4.0]]}
    for part in ("dev", "test"):
        nbest.write_nbest(tmp_path / part / "nbest", nbest.Nbest(["s-0", "s-1"], texts, scores))
        (tmp_path / part / "text").write_text("s-0 a b b\ns-1 c d e\n")
    return tmp_path


def run_rescore(folder, *extra):
    options = ["--ref", folder / "ref", "--hyp", folder / "dev", "--out", folder / "out", *extra]
    rescore.main([str(word) for word in (*options, folder / "test")])
    return json.loads((folder / "out/weights.json").read_text())


def test_rescoring_finds_weights_that_lose_no_word(decoded, capsys):
    report = run_rescore(decoded)
    rates = report["wer_of_dev"]
    assert rates["oracle"] == rates["rescored"] == 0
    assert rates["as decoded"] == pytest.approx(100 * 1 / 5)
    assert rates["LLM alone"] == pytest.approx(100 * 2 / 5)
    assert 0 < report["ctc_weight"] < 1
    for part in ("dev", "test"):
        assert (decoded / "out" / part / "text").read_text() == "s-0 a b\ns-1 c d e\n"
    assert "rescored 0.00" in capsys.readouterr().out


def test_rates_are_the_plain_mean_over_languages_as_in_the_results(decoded, capsys):
    """German has one word, English three; each is half of the mean, on dev and on the test set with a reference."""
    (decoded / "ref/text").write_text("s-0 ja\ns-1 c d e\n")
    (decoded / "ref/utt2lang").write_text("s-0 de\ns-1 en\n")
    shutil.copytree(decoded / "ref", decoded / "test_ref")
    (decoded / "test_ref/text").write_text("s-0 a b\ns-1 c x\n")
    report = run_rescore(decoded, "--test_ref", decoded / "test_ref")
    # "a b b" is three errors of one word, "a b" two, "d e" one of three
    rates = {"as decoded": 300, "LLM alone": 300 + 100 / 3, "rescored": 200, "oracle": 200}
    assert report["wer_of_dev"] == pytest.approx({name: rate / 2 for name, rate in rates.items()})
    assert min(cost for *_, cost in report["costs_of_tried"]) == 100
    # of test, "a b b" is one error of two words, and "c e" the best of "c d e", "c e" and "d e"
    rates = {"as decoded": 50 + 100, "LLM alone": 50 + 100, "rescored": 0 + 100, "oracle": 0 + 50}
    assert report["wer_of_test"] == pytest.approx({name: rate / 2 for name, rate in rates.items()})
    assert "test, WER: as decoded 75.00, LLM alone 75.00, rescored 50.00, oracle 25.00" in (
        capsys.readouterr().out
    )
    out = decoded / "scored"
    for part, ref in (("dev", "ref"), ("test", "test_ref")):
        folders = [f"rescored={decoded}/out/{part}", f"decoded={decoded}/{part}"]
        options = ["--ref", f"{decoded}/{ref}", "--set", part, "--out", f"{out}", "--hyp", *folders]
        score.main([*options, "--num_samples", "10"])
        rows = json.loads((out / "results.json").read_text())
        for system, name in (("rescored", "rescored"), ("decoded", "as decoded")):
            cells = {"system": system, "lang": "avg", "metric": "wer", "normalised": True}
            rate = value(rows, set=part, **cells)
            assert rate == pytest.approx(report[f"wer_of_{part}"][name], abs=1e-3)


def test_a_reward_per_word_counts_characters_of_scripts_without_spaces(decoded):
    """Neither score alone finds what was said; a reward of 2 for each character does."""
    texts, said = ["一", "一二三", "一二三四"], "s-0 一二三\ns-1 一二三\n"
    scores = {name: [[-1.0, -4.0, -9.0]] * 2 for name in ("llm", "ctc")}
    for part in ("dev", "test"):
        lists = nbest.Nbest(["s-0", "s-1"], [texts] * 2, scores)
        nbest.write_nbest(decoded / part / "nbest", lists)
    (decoded / "ref/text").write_text(said)
    (decoded / "ref/utt2lang").write_text("s-0 zh\ns-1 zh\n")
    report = run_rescore(decoded)
    assert report["word_score"] == 2 and report["wer_of_dev"]["rescored"] == 0
    assert (decoded / "out/test/text").read_text() == said


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--scores", "llm"], "--scores llm: should be two names"),
        (["--scores", "decoder,llm"], "no decoder_score; it has ctc, llm"),
        (["--hyp", "greedy"], "nbest"),
        (["--hyp", "beams"], "no ctc_score; decode with num_beams"),
        (["--hyp", "other"], "2 of 2 utterances have no hypothesis, first: s-0"),
        (["--hyp", "deeper/test"], "OUT/test is already that of .*deeper/test; call the command"),
        (["--test_ref", "ref2"], "--test_ref .*ref2: its utterances are not those of a decoded"),
    ],
    ids=str,
)
def test_rescoring_says_what_is_missing(decoded, options, message):
    (decoded / "greedy").mkdir()
    (decoded / "greedy/text").write_text("s-0 a b\ns-1 c d e\n")
    shutil.copytree(decoded / "dev", decoded / "beams")
    (decoded / "beams/nbest/ctc_score").unlink()
    lists = nbest.Nbest(["t-0"], [["a"]], {"llm": [[0.0]], "ctc": [[0.0]]})
    nbest.write_nbest(decoded / "other/nbest", lists)
    (decoded / "other/text").write_text("t-0 a\n")
    shutil.copytree(decoded / "dev", decoded / "deeper/test")
    shutil.copytree(decoded / "ref", decoded / "ref2")
    for name in ("text", "utt2lang", "utt2spk"):
        (decoded / "ref2" / name).write_text("t-0 t\n")
    words = [
        w if w.startswith("--") or "," in w or w == "llm" else str(decoded / w) for w in options
    ]
    with pytest.raises(UserError, match=message):
        run_rescore(decoded, *words)


def test_a_decoders_lists_are_rescored_by_bleu(decoded):
    """The weights found are as good on dev as the best of all choices, and better than the decoder alone."""
    texts = [["a b c d f", "a b c d e"], ["f g h i j", "f g h i k", "x"]]
    scores = {
        "decoder": [[-1.0, -1.5], [-2.0, -9.0, -1.9]],
        "llm": [[-7.0, -3.0], [-2.0, -2.5, -30.0]],
    }
    refs = "s-0 a b c d e\ns-1 f g h i j\n"
    (decoded / "ref/text").write_text(refs)
    for part in ("dev", "test"):
        nbest.write_nbest(decoded / part / "nbest", nbest.Nbest(["s-0", "s-1"], texts, scores))
    report = run_rescore(decoded, "--scores", "decoder,llm", "--metric", "bleu")
    rates = report["bleu_of_dev"]
    assert rates["rescored"] == pytest.approx(100) and rates["decoder alone"] < 50
    assert 0 < report["llm_weight"] < 1 and "oracle" not in rates
    for part in ("dev", "test"):
        assert (decoded / "out" / part / "text").read_text() == refs


def test_lists_are_rescored_with_the_tokenizer_of_their_language(decoded):
    scores = {"llm": [[-1.0], [-1.0]], "ctc": [[-1.0], [-1.0]]}
    texts = [["他们今天在港口卖苹果"], ["我们明天在学校学习"]]
    (decoded / "ref/text").write_text("s-0 他们今天在港口卖香蕉\ns-1 我们明天在学校唱歌\n")
    for part in ("dev", "test"):
        nbest.write_nbest(decoded / part / "nbest", nbest.Nbest(["s-0", "s-1"], texts, scores))
    found = []
    for tokenize in ("13a", "zh"):
        report = run_rescore(decoded, "--metric", "bleu", "--tokenize", tokenize)
        found.append(report["bleu_of_dev"]["as decoded"])
    assert found[0] < 50 < found[1]


def test_transcripts_are_scored_beside_translations(exp):
    """--text names the table of the references."""
    (exp / "ref/text.src").write_text((exp / "good/text").read_text())
    rows = run_score(exp, "--text", "text.src", "--metrics", "wer")
    cells = {"lang": "avg", "metric": "wer", "normalised": True}
    assert value(rows, system="llm", **cells) == 0 < value(rows, system="ctc", **cells)
