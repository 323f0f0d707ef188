"""egs/mls from the first stage to the last with a few training steps, again, and with changes."""

import json
import re
import shlex
import shutil
import tarfile

import pytest
import yaml
from recipes.conftest import run

from speechllm.bin import analyse, compile_manifest, decode, decode_ngram, longform, train_ctc
from speechllm.data.tables import read_table, write_table
from speechllm.errors import UserError
from speechllm.score.nbest import read_nbest

SMALL = [
    "--langs", "en de",
    "--tag", "small",
    "--corpus_opts", "--train_hours 0.06 --dev_utts 4 --test_utts 4 --speakers 6",
    "--mini_llm_opts", "--max_steps 4 --num_sentences 60 --dim 32 --ffn_dim 48 --vocab_size 400",
    "--ctc_opts", "--optim.max_steps 4 --train.valid_every 2 --train.log_every 1 --flat_start 2",
    "--llm_opts", "--optim.max_steps 3 --train.valid_every 3 --train.log_every 1",
]  # fmt: skip


@pytest.fixture(scope="module")
def finished(toolkit):
    """The recipe folder after all stages, and what they printed."""
    recipe = toolkit / "egs" / "mls"
    return recipe, run(recipe / "run.sh", *SMALL)


def stages(output: str) -> dict[int, str]:
    """Stage number to the rest of its line."""
    return {int(n): rest for n, rest in re.findall(r"stage (\d): (.*)", output)}


def test_all_stages_end_in_a_results_table(finished):
    recipe, output = finished
    assert sorted(stages(output)) == list(range(10))
    rows = json.loads((recipe / "exp/small/results.json").read_text())
    found = {(r["system"], r["set"], r["lang"], r["metric"]) for r in rows if r["normalised"]}
    for system in ("ctc", "llm"):
        for part in ("dev", "test"):
            for lang in ("en", "de", "avg"):
                for metric in ("wer", "cer"):
                    assert (system, part, lang, metric) in found
    assert (recipe / "exp/small/RESULTS.md").read_text().strip() in output
    for row in rows:  # one command made all stages
        assert shlex.split(row["command"])[1:] == SMALL
    for part in ("dev", "test"):
        refs = (recipe / f"data/small/{part}/text").read_text().splitlines()
        for system in ("ctc", "llm"):
            hyps = (recipe / f"exp/small/decode/{system}/{part}/text").read_text().splitlines()
            assert [line.split()[0] for line in hyps] == [line.split()[0] for line in refs]


def test_small_llm_never_reads_dev_or_test_sentences(finished):
    recipe, _ = finished
    from speechllm.mini.grammar import sentences

    command = (recipe / "exp/small/log/base_llm.log").read_text().splitlines()[0]
    options = shlex.split(command.removeprefix("# "))
    given = dict(zip(options, options[1:], strict=False))
    assert given["--text"] == "data/small/train/text" and given["--langs"] == "en de"
    assert not any("dev" in word or "/test" in word for word in options)
    read = set(read_table(recipe / given["--text"]).values())
    for lang in given["--langs"].split():
        read |= {s.text for s in sentences(lang, 60, seed=1, split="train")}
    for part in ("dev", "test"):
        assert not read & set(read_table(recipe / f"data/small/{part}/text").values())


def test_second_run_skips_everything_and_says_so(finished):
    recipe, _ = finished
    before = (recipe / "exp/small/llm/best/model.safetensors").stat().st_mtime_ns
    rest = stages(run(recipe / "run.sh", *SMALL))
    assert len(rest) == 10 and all("skipped" in line for line in rest.values())
    assert (recipe / "exp/small/llm/best/model.safetensors").stat().st_mtime_ns == before


def test_two_processes_decode_as_one_does(finished):
    recipe, _ = finished
    texts = sorted((recipe / "exp/small/decode").glob("*/*/text"))
    before = [path.read_text() for path in texts]
    options = [*SMALL, "--decode_nj", "2", "--force", "true", "--stage", "6", "--stop_stage", "6"]
    run(recipe / "run.sh", *options)
    assert len(texts) == 4 and [path.read_text() for path in texts] == before


def test_a_table_trains_its_row_on_the_shared_data_and_scores_both(finished):
    recipe, _ = finished
    row = {"name": "rank0", "label": "0", "x": 0}
    row["llm_opts"] = "--lora.rank 0 --optim.max_steps 2 --train.valid_every 2"
    spec = {"title": "Rank", "axis": "rank", "rows": [row, {"name": "own", "label": "8", "x": 8}]}
    path = recipe / "conf/mini/tables/90.yaml"
    path.write_text(yaml.safe_dump(spec))
    try:
        run(recipe / "run_table.sh", "--table", "90", "--langs", "en de", "--tag", "small")
    finally:
        path.unlink()
    rows = json.loads((recipe / "exp/small/tables/90.json").read_text())
    assert {(r["row"], r["lang"]) for r in rows} == {
        (name, lang) for name in ("rank0", "own") for lang in ("en", "de", "avg")
    }
    hyps = recipe / "exp/small/tables/90/rank0/decode/llm/test"
    report = (hyps.parents[2] / "results.json").read_text()
    (wer,) = (
        r
        for r in json.loads(report)
        if (r["system"], r["set"], r["lang"]) == ("llm", "test", "avg")
        and (r["metric"], r["normalised"]) == ("wer", True)
    )
    assert wer["value"] == next(
        r["value"] for r in rows if (r["row"], r["lang"]) == ("rank0", "avg")
    )
    config = yaml.safe_load((hyps.parents[2] / "llm/best/config.yaml").read_text())
    assert config["config"]["lora"]["rank"] == 0
    assert set(read_table(hyps / "text")) == set(read_table(recipe / "data/small/test/text"))


def test_beams_write_nbest_lists_whose_first_is_the_text(finished, tmp_path):
    recipe, _ = finished
    options = ["--config", recipe / "conf/mini/decode.yaml", "--num_beams", "3"]
    options += ["--repetition_penalty", "3"]  # or an LLM of four steps never ends
    options += ["--model", recipe / "exp/small/llm", "--out", tmp_path, recipe / "data/small/test"]
    decode.main([str(word) for word in options])
    texts = read_table(tmp_path / "test/text")
    lists = read_nbest(tmp_path / "test/nbest", list(texts))
    assert all(1 <= len(hyps) <= 3 for hyps in lists.texts)
    assert any(len(hyps) > 1 for hyps in lists.texts)
    assert lists.chosen([0] * len(texts)) == texts
    for scores, hyps in zip(lists.scores["llm"], lists.texts, strict=True):
        assert len(scores) == len(hyps) == len(set(hyps))


def test_packed_model_decodes_from_anywhere(finished, tmp_path):
    recipe, _ = finished
    with tarfile.open(recipe / "exp/small/pack.tar.gz") as archive:
        archive.extractall(tmp_path, filter="data")
    base_llm = recipe / "exp/small/base_llm"
    base_llm.rename(recipe / "exp/small/elsewhere")
    options = ["--config", recipe / "conf/mini/decode.yaml", "--model", tmp_path / "model"]
    data_dir = recipe / "data/small/test"
    try:
        decode.main([str(word) for word in (*options, "--out", tmp_path / "out", data_dir)])
    finally:
        (recipe / "exp/small/elsewhere").rename(base_llm)
    expected = (recipe / "exp/small/decode/llm/test/text").read_text()
    assert (tmp_path / "out/test/text").read_text() == expected


def test_changed_config_makes_its_stage_and_the_following_stale(finished):
    recipe, _ = finished
    with (recipe / "conf/mini/decode.yaml").open("a") as file:
        file.write("repetition_penalty: 1.1\n")
    rest = stages(run(recipe / "run.sh", *SMALL, "--stage", "4", "--stop_stage", "7"))
    assert sorted(rest) == [4, 5, 6, 7]
    assert "skipped" in rest[4] and "skipped" in rest[5]
    assert "stale" in rest[6]


def test_two_processes_train_both_models(finished):
    recipe, _ = finished
    options = [*SMALL, "--nproc", "2", "--force", "true", "--stage", "4", "--stop_stage", "5"]
    assert sorted(stages(run(recipe / "run.sh", *options))) == [4, 5]
    for name in ("train_ctc", "train_llm"):
        assert "1 x 2 processes" in (recipe / f"exp/small/log/{name}.log").read_text()


@pytest.mark.parametrize(("corpus", "langs"), [("digits", "en"), ("mls", "en de")])
def test_real_speech_starts_from_the_other_runs_encoder(finished, shared, corpus, langs):
    recipe, _ = finished
    options = ["--corpora", str(shared / "corpora" / corpus), "--langs", langs, "--tag", corpus]
    options += ["--init_encoder", "exp/small/ctc", *SMALL[4:], "--stop_stage", "7"]
    options += ["--decode_opts", "--num_beams 1 --ctc_weight 0 --max_tokens_per_second 1"]
    run(recipe / "run.sh", *options)
    rows = json.loads((recipe / f"exp/{corpus}/results.json").read_text())
    refs = read_table(recipe / f"data/{corpus}/test/text")
    wer = {(r["system"], r["lang"]): r for r in rows if r["set"] == "test" and r["metric"] == "wer"}
    assert {lang for _, lang in wer} == {*langs.split(), "avg"}
    assert wer["llm", "avg"]["num_utts"] == wer["ctc", "avg"]["num_utts"] == len(refs)


def test_greedy_decoding_does_not_depend_on_the_batches(finished, tmp_path):
    recipe, _ = finished
    texts = []
    for batch_frames in (300, 30000):
        options = ["--num_beams", 1, "--repetition_penalty", 1.5, "--batch_frames", batch_frames]
        options += ["--model", recipe / "exp/small/llm", "--out", tmp_path / str(batch_frames)]
        decode.main([str(word) for word in (*options, recipe / "data/small/test")])
        texts.append((tmp_path / str(batch_frames) / "test/text").read_text())
        assert not (tmp_path / str(batch_frames) / "test/nbest").exists()
    assert texts[0] == texts[1]


def test_drafts_of_ctc_leave_greedy_decoding_as_it_is(finished, tmp_path, capsys):
    recipe, _ = finished
    texts = []
    for drafts in ("true", "false"):
        options = ["--num_beams", 1, "--ctc_drafts", drafts, "--max_tokens_per_second", 3]
        options += ["--model", recipe / "exp/small/llm", "--out", tmp_path / drafts]
        decode.main([str(word) for word in (*options, recipe / "data/small/test")])
        assert ("LLM passes per utterance" in capsys.readouterr().out) == (drafts == "true")
        texts.append((tmp_path / drafts / "test/text").read_text())
    assert texts[0] == texts[1]


def test_stage_8_says_what_noise_does(finished):
    recipe, _ = finished
    report = json.loads((recipe / "exp/small/analysis/robustness.json").read_text())
    assert report["num_utts"] == 8
    for case in report["conditions"]:
        assert case.keys() == {"kind", "level", "ctc", "llm"} and case["llm"] > 0
    assert (recipe / "exp/small/analysis/robustness.png").read_bytes()[:4] == b"\x89PNG"


def test_analysis_leaves_out_what_is_longer_than_a_window(finished, tmp_path, capsys):
    recipe, _ = finished
    frames = [int(n) for n in read_table(recipe / "data/small/test/utt2num_frames").values()]
    window = sorted(frames)[len(frames) // 2]
    options = ["--num_plots", 1, "--listen_utts", 0, "--robust_utts", 2, "--window", window / 100]
    options += ["--overlap", 0, "--fbank_config", recipe / "conf/mini/fbank.yaml"]
    options += ["--model", recipe / "exp/small/llm", "--max_tokens_per_second", 1]
    options += ["--out", tmp_path, recipe / "data/small/test"]
    analyse.main([str(word) for word in options])
    kept = sum(n <= window for n in frames)
    assert 0 < kept < len(frames)
    assert json.loads((tmp_path / "alignment.json").read_text())["num_utts"] == kept
    assert f"left out: {len(frames) - kept} of {len(frames)} utterances" in capsys.readouterr().out


SHARED = ["--langs", "en de", "--data", "data/small", "--ctc", "exp/small/ctc"]
SHARED += ["--llm", "exp/small/base_llm"]


def test_ctc_is_searched_with_ngram_lms(finished):
    pytest.importorskip("flashlight.lib.text")
    recipe, _ = finished
    options = [*SHARED, "--tag", "ngrams", "--stage", "6", "--stop_stage", "7"]
    run(recipe / "run.sh", *options, "--lm", "train")
    rows = json.loads((recipe / "exp/ngrams/results.json").read_text())
    assert {r["system"] for r in rows} == {"ctc", "ctc+lm"}
    report = json.loads((recipe / "exp/ngrams/decode/ctc+lm/weights.json").read_text())
    assert report["lms"].keys() == {"en", "de"}
    best = min(rate for _, _, rate in report["wer_of_dev"])
    assert [report["lm_weight"], report["word_score"], best] in report["wer_of_dev"]
    words = ["--model", recipe / "exp/small/ctc", "--dev_dir", recipe / "data/small/dev"]
    words += ["--out", recipe / "exp/none", recipe / "data/small/test"]
    with pytest.raises(UserError, match="no n-gram model of 'de', and no training text"):
        decode_ngram.main([str(word) for word in words])


def test_long_recordings_are_decoded_in_windows_at_two_strides(finished, tmp_path, capsys):
    recipe, _ = finished
    opts = "--adaptor.stack_factor 3 --optim.max_steps 1 --train.valid_every 1"
    stage = ["--stage", "5", "--stop_stage", "5"]
    run(recipe / "run.sh", *SHARED, "--tag", "ms240", "--llm_opts", opts, *stage)
    options = ["--num_beams", "1", "--max_tokens_per_second", "1", "--window", "5"]
    options += ["--overlap", "1", "--minutes", "10", "--model", recipe / "exp/small/llm"]
    options += [recipe / "exp/ms240/llm", "--out", tmp_path, recipe / "data/small/test"]
    longform.main([str(word) for word in options])
    models = json.loads((tmp_path / "longform.json").read_text())["models"].values()
    assert len(models) == 2
    for found in models:
        assert 10 <= found["long"]["longest_minutes"] < 11 > 50 * found["short"]["longest_minutes"]
        assert found["long"]["wer"] > 0 and found["short"]["wer"] > 0
        assert found["long"]["peak_mib"] < 1.5 * found["short"]["peak_mib"]
    texts = read_table(tmp_path / "0_long/long/text")
    assert sorted(texts) == ["de_long_000", "en_long_000"]


def test_what_ctc_cannot_write_or_align_is_named_and_counted(finished, tmp_path, capsys):
    recipe, _ = finished
    data = tmp_path / "train"
    shutil.copytree(recipe / "data/small/train", data)
    texts = read_table(data / "text")
    strange, crowded = sorted(texts)[:2]
    texts |= {strange: "a \u6f22 b", crowded: "the old farmer sells bread " * 40}
    write_table(data / "text", texts)
    compile_manifest.main([str(data)])
    options = ["--config", recipe / "conf/mini/train_ctc.yaml", "--train_dir", data]
    options += ["--valid_dir", recipe / "data/small/dev", "--exp_dir", tmp_path / "ctc"]
    options += ["--units", recipe / "exp/small/units.model", "--optim.max_steps", 1]
    frames = [int(n) for n in read_table(recipe / "data/small/dev/utt2num_frames").values()]
    window = sorted(frames)[len(frames) // 2]
    (tmp_path / "decode.yaml").write_text(f"window: {window / 100}\noverlap: 0.0\n")
    options += ["--decode_config", tmp_path / "decode.yaml"]
    train_ctc.main([str(word) for word in options])
    output = capsys.readouterr().out
    longer = sum(n > window for n in frames)
    assert longer and f"left out: {longer} of {len(frames)} utterances of " in output
    assert "no unit for 1 characters, first: '\u6f22' in 1 utterances" in output
    assert any(
        line.startswith("left out: 1 utterances") and crowded in line
        for line in output.splitlines()
    )


@pytest.mark.parametrize(
    "options, message",
    [
        (["--no_such_option", "1"], "no such option '--no_such_option'"),
        (
            ["--preset", "paper", "--corpora", "/nowhere", "--stage", "1", "--stop_stage", "1"],
            "/nowhere",
        ),
        (["--preset", "huge"], "huge"),
        (["--stage", "7", "--stop_stage", "7", "--tag", "none"], "missing"),
        (["--langs", "en xx", "--tag", "xx", "--stop_stage", "0"], "xx"),
        (
            ["--lm", "/nowhere"],
            "--lm should be train, a folder with n-gram LMs or an ARPA file, got '/nowhere'",
        ),
        (
            ["--tag", "a", "--data", "data/b", "--subset", "1h"],
            "--subset 1h: the data of another run",
        ),
    ],
    ids=str,
)
def test_wrong_options_are_one_clear_line(toolkit, options, message):
    output = run(toolkit / "egs/mls/run.sh", *options, check=False)
    assert message in output
    assert "Traceback" not in output
