"""egs/covost2 from the first stage to the last with a few training steps, on made-up and on real speech."""

import json
import os
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest
from recipes.conftest import run
from recipes.test_mls import stages
from recipes.test_recorder import commands, fake_machine, one

from speechllm.bin import decode, train_llm
from speechllm.data import dataset
from speechllm.data.tables import read_table
from speechllm.data.tokenizer import CtcTokenizer
from speechllm.errors import UserError
from speechllm.score.results import read_published

SMALL = [
    "--langs", "de fr",
    "--tag", "small",
    "--corpus_opts", "--train_hours 0.06 --dev_utts 3 --test_utts 4 --speakers 6",
    "--mini_llm_opts", "--max_steps 4 --num_sentences 60 --dim 32 --ffn_dim 48 --vocab_size 500",
    "--ctc_opts", "--optim.max_steps 4 --train.valid_every 2 --train.log_every 1 --flat_start 2",
    "--llm_opts", "--optim.max_steps 3 --train.valid_every 3 --train.log_every 1 --adaptor.dim 16 --lora.rank 4",
    "--baseline_opts", "--optim.max_steps 3 --train.valid_every 3 --decoder.num_layers 1",
    "--decode_opts", "--max_tokens_per_second 1 --num_beams 2",
    "--decode_nj", "1",
]  # fmt: skip
SYSTEMS = ("llm", "encoder-decoder", "rescored", "cascade")


@pytest.fixture(scope="module")
def finished(toolkit):
    """The recipe folder after all stages, and what they printed."""
    recipe = toolkit / "egs" / "covost2"
    return recipe, run(recipe / "run.sh", *SMALL)


def test_all_stages_end_in_a_results_table(finished):
    recipe, output = finished
    assert sorted(stages(output)) == list(range(10)) and "stage 5b: train the baseline" in output
    rows = json.loads((recipe / "exp/small/results.json").read_text())
    found = {(r["system"], r["set"], r["lang"], r["metric"]) for r in rows}
    for part in ("dev", "test"):
        for lang in ("de", "fr", "avg"):
            assert ("ctc", part, lang, "wer") in found
            for system in SYSTEMS:
                assert {(system, part, lang, m) for m in ("bleu", "chrf")} <= found
                compared = (system, part, lang, "bleu_vs_encoder-decoder") in found
                assert compared == (system != "encoder-decoder")
    assert any("BLEU" in r.get("signature", "") or "nrefs" in r.get("signature", "") for r in rows)
    for row in rows:  # one command made all stages
        assert shlex.split(row["command"])[1:] == SMALL
    for part in ("dev", "test"):
        refs = read_table(recipe / f"data/small/{part}/text")
        for system in SYSTEMS:
            assert (
                read_table(recipe / f"exp/small/decode/{system}/{part}/text").keys() == refs.keys()
            )


def test_text_is_the_translation_and_the_prompt_names_its_language(finished):
    recipe, _ = finished
    data = recipe / "data/small/train"
    texts, spoken = read_table(data / "text"), read_table(data / "text.src")
    assert all(text[0].isupper() and text.endswith(".") for text in texts.values())
    assert all(text == text.lower() and not text.endswith(".") for text in spoken.values())
    assert set(read_table(data / "utt2prompt").values()) == {"English"}
    assert set(read_table(data / "utt2lang").values()) == {"de", "fr"}


def test_the_audio_encoder_learns_before_lora(finished):
    recipe, _ = finished
    first, second = (
        (recipe / f"exp/small/{name}/config.yaml").read_text() for name in ("frozen", "llm")
    )
    assert "rank: 0" in first and "rank: 4" in second
    for text in (first, second):  # but else options win over the file of the phase
        assert "type: ctc_compressor" in text and "dim: 16" in text and "max_steps: 3" in text


def test_the_analysis_says_how_long_the_speech_is(finished):
    recipe, _ = finished
    report = json.loads((recipe / "exp/small/analysis/lengths.json").read_text())
    assert {"all", "de", "fr"} == report.keys() and report["all"]["positions"] > 0
    heard = json.loads((recipe / "exp/small/analysis/listening.json").read_text())
    assert heard["metric"] == "bleu" and {"own", "shuffled", "silent"} <= heard.keys()
    assert "own_against_shuffled" in heard
    assert (recipe / "exp/small/analysis/lengths.png").exists()


def test_second_run_skips_everything_and_says_so(finished):
    recipe, _ = finished
    output = run(recipe / "run.sh", *SMALL)
    assert output.count("already done, skipped") == 11


def test_one_model_transcribes_translates_and_does_both(finished, tmp_path):
    recipe, _ = finished
    exp, data = recipe / "exp/small", recipe / "data/small"
    options = ["--config", recipe / "conf/mini/train_llm.yaml", *SMALL[11].split()]
    options += ["--other_tasks.transcript", "transcribe:{audio}{bos}"]
    options += ["--other_tasks.chain", "both:{audio}{bos}"]
    options += [
        "--train_dir",
        data / "train",
        "--valid_dir",
        data / "dev",
        "--encoder",
        exp / "ctc",
    ]
    options += ["--llm_name", exp / "base_llm", "--init", exp / "frozen"]
    first, second = tmp_path / "transcripts", tmp_path / "all"
    train_llm.main([str(w) for w in (*options, "--tasks", "[transcript]", "--exp_dir", first)])
    options[options.index("--init") + 1] = (
        first  # a curriculum: it transcribes before it translates
    )
    train_llm.main([str(w) for w in (*options, "--exp_dir", second)])
    for task in ("text", "transcript", "chain"):
        words = ["--model", second, "--task", task, "--max_tokens_per_second", 1]
        decode.main([str(w) for w in (*words, "--out", tmp_path / task, data / "dev")])
        assert len(read_table(tmp_path / task / "dev/text")) == 6
        assert (tmp_path / task / "dev/text.src").exists() == (task == "chain")
    with pytest.raises(UserError, match="task: chain, but the model has learnt text"):
        words = ["--model", exp / "llm", "--task", "chain", "--out", tmp_path / "x", data / "dev"]
        decode.main([str(w) for w in words])


def test_ctc_is_taken_for_what_it_has_learnt_to_write(finished, tmp_path, monkeypatch):
    """Its loss beside the LLM's has the target of its pretraining, and translations are no transcripts."""
    recipe, _ = finished
    exp, data, seen = recipe / "exp/small", recipe / "data/small", []

    class Recorded(dataset.LlmDataset):
        def __getitem__(self, index):
            utt = super().__getitem__(index)
            seen.append((self.manifest.row(index), utt["units"][0].tolist()))
            return utt

    monkeypatch.setattr(dataset, "LlmDataset", Recorded)
    for target in ("transcript", "text"):
        best = Path(shutil.copytree(exp / "ctc/best", tmp_path / target / "best"))
        config = (best / "config.yaml").read_text()
        assert "target: transcript" in config
        (best / "config.yaml").write_text(config.replace("target: transcript", f"target: {target}"))
        options = ["--config", recipe / "conf/mini/train_llm.yaml", "--adaptor.dim", 16]
        options += ["--optim.max_steps", 1, "--train.valid_utts", 1, "--ctc_weight", 0.5]
        options += ["--train_dir", data / "train", "--valid_dir", data / "dev"]
        options += ["--encoder", best.parent, "--llm_name", exp / "base_llm"]
        train_llm.main([str(w) for w in (*options, "--exp_dir", tmp_path / f"llm_{target}")])
        row, units = seen[-1]
        assert row.text != row.transcript
        assert units == CtcTokenizer(best / "units.model").encode(getattr(row, target))
    words = ["--model", best.parent, "--task", "transcript", "--out", tmp_path / "x", data / "dev"]
    with pytest.raises(
        UserError, match="task: transcript, but .*/text has learnt to write the text"
    ):
        decode.main([str(w) for w in words])


def test_real_speech_in_the_same_layout_runs_to_the_end(finished, shared, tmp_path):
    """A part of the Mboshi-French corpus: the first clips of each split, with all of validated.tsv."""
    recipe, _ = finished
    whole, part = shared / "corpora/covost2/mb", tmp_path / "mb"
    part.mkdir()
    for name in ("clips", "validated.tsv"):
        (part / name).symlink_to(whole / name)
    header, *rows = (whole / "covost_v2.mb_fr.tsv").read_text().splitlines()
    taken = {"train": 60, "dev": 4, "test": 7}
    kept = []
    for split, count in taken.items():
        kept += [row for row in rows if row.endswith(f"\t{split}")][:count]
    (part / "covost_v2.mb_fr.tsv").write_text("\n".join([header, *kept]) + "\n")
    options = ["--corpora", str(tmp_path), "--langs", "mb", "--target", "fr"]
    options += ["--tag", "mboshi", "--init_encoder", "exp/small/ctc", *SMALL[6:]]
    options += ["--systems", "llm cascade", "--stop_stage", "7"]
    run(recipe / "run.sh", *options)
    rows = json.loads((recipe / "exp/mboshi/results.json").read_text())
    found = {(r["system"], r["metric"]): r["num_utts"] for r in rows if r["set"] == "test"}
    assert found["llm", "bleu"] == found["cascade", "bleu"] == found["ctc", "wer"] == 7


RECORDED = """
if args[0] == "-c":  # reads a config
    os.execv(sys.executable, [sys.executable, *args])
if "train_encoder_decoder" in line:
    make(Path(value("--exp_dir")) / "best" / "model.safetensors")
if "bin.translate" in line:
    for part in ("dev", "test"):
        make(*(Path(value("--out")) / part / name for name in ("text", "utt2status")))
if "bin.rescore" in line:
    for part in ("dev", "test"):
        make(Path(value("--out")) / part / "text")
if "prepare_data.py" in line:
    make(*(Path(args[-1]) / name for name in ("text.src", "utt2lang", "utt2prompt")))
"""


def test_paper_preset_trains_in_the_order_of_the_paper(toolkit, tmp_path):
    fake = fake_machine(tmp_path, RECORDED)
    options = ["--preset", "paper", "--corpora", str(tmp_path), "--ngpu", "8", "--tag", "recorded"]
    options += ["--llm_opts", "--optim.max_steps 7 --lora.rank 32"]
    options += ["--decode_opts", "--batch_frames 77"]
    run(toolkit / "egs/covost2/run.sh", *options, python=str(fake))
    lines = commands(tmp_path)
    assert not any("make_mini" in line for line in lines)
    frozen, llm = [line for line in lines if "bin.train_llm " in line]
    assert "--config conf/paper/train_llm_frozen.yaml" in frozen and "--init" not in frozen
    assert "--init exp/recorded/frozen" in llm and "frozen.yaml" not in llm
    order = ["frozen.yaml", "--optim.max_steps 7 --lora.rank 32", "--lora.rank 0"]
    places = [frozen.index(words) for words in order]  # the last wins
    assert places == sorted(places) and order[1] in llm and order[2] not in llm
    baseline = one(lines, "bin.train_encoder_decoder")
    assert "--units exp/recorded/text.model" in baseline and "--init_encoder  " in baseline
    for line in (frozen, llm, baseline):
        assert "--nproc_per_node 8 " in line
    tasks = [
        word
        for line in lines
        for word in ("bin.decode", "score_nbest", "bin.rescore", "translate")
        if word in line
    ]
    assert tasks == ["bin.decode"] * 2 + ["score_nbest", "bin.rescore", "bin.decode", "translate"]
    decoded = {line.split("--out ")[1].split()[0]: line for line in lines if "bin.decode" in line}
    for folder, ours in (("decode/llm", 1), ("decode/encoder-decoder", 0), ("transcripts", 1)):
        assert ("--batch_frames 77" in decoded[f"exp/recorded/{folder}"]) == ours
    assert "--task transcript" in decoded["exp/recorded/transcripts"]
    scored = [line for line in lines if "bin.score " in line]
    assert len(scored) == 4 and sum("--published" in line for line in scored) == 2
    shown = read_published(toolkit / "egs/covost2/exp/recorded/published.tsv")
    assert {row["target"] for row in shown} == {"en"} and len({row["lang"] for row in shown}) > 3
    (toolkit / "egs/covost2/data/recorded/train/feats.scp").write_text("a c\n")
    again = ["--stage", "5", "--stop_stage", "5"]
    output = run(toolkit / "egs/covost2/run.sh", *options, *again, python=str(fake))
    assert output.count("(stale: its inputs have changed") == 2
    exp = toolkit / "egs/covost2/exp/recorded"
    assert (exp / "frozen/best").exists()  # which is none of the next run's
    run(toolkit / "egs/covost2/run.sh", *options, *again, "--phases", "llm", python=str(fake))
    assert (exp / "llm/best").exists() and not (exp / "frozen").exists()


def test_the_target_language_chooses_the_tokenizer_everywhere(toolkit, tmp_path):
    fake = fake_machine(tmp_path, RECORDED)
    options = ["--preset", "paper", "--corpora", str(tmp_path), "--tag", "chinese"]
    options += ["--langs", "en", "--target", "zh-CN", "--stop_stage", "8"]
    run(toolkit / "egs/covost2/run.sh", *options, python=str(fake))
    lines = commands(tmp_path)
    trained = [line for line in lines if "bin.train_llm " in line or "train_encoder_dec" in line]
    assert len(trained) == 3 and all("--valid_tokenize zh " in line for line in trained)
    by_bleu = [line for line in lines if "--metric bleu" in line or "--metrics bleu" in line]
    assert len(by_bleu) == 4  # dev and test, rescoring, analysis
    assert all("--tokenize zh " in line for line in by_bleu)
    shown = read_published(toolkit / "egs/covost2/exp/chinese/published.tsv")
    assert {(row["lang"], row["target"]) for row in shown} == {("en", "zh-CN")}


def test_rows_of_a_table_leave_the_baselines_alone(toolkit, tmp_path):
    fake = fake_machine(tmp_path, RECORDED)
    options = ["--table", "5", "--corpora", str(tmp_path), "--tag", "rows"]
    run(toolkit / "egs/covost2/run_table.sh", *options, "--row", "scratch", python=str(fake))
    lines = commands(tmp_path)
    assert sum("bin.train_encoder_decoder" in line for line in lines) == 1
    assert sum("bin.train_ctc" in line for line in lines) == 1
    scratch = one(lines, "--llm.from_scratch true")
    assert "--encoder exp/rows/ctc" in scratch and "--init" not in scratch


def test_rows_of_the_baseline_train_no_integration(toolkit, tmp_path):
    """They share data, encoder and units of text with the run of the preset."""
    fake, name = fake_machine(tmp_path, RECORDED), "encoder_decoder_as_llm"
    options = ["--table", "5", "--corpora", str(tmp_path), "--tag", "longer", "--row", name]
    run(toolkit / "egs/covost2/run_table.sh", *options, python=str(fake))
    lines = commands(tmp_path)
    of_row = [line for line in lines if f"exp/longer/tables/5/{name}" in line]
    trained = one(of_row, "--exp_dir")
    assert "bin.train_encoder_decoder" in trained and "--optim.max_steps 1200" in trained
    for words in ("--train_dir data/longer/train", "--units exp/longer/text.model"):
        assert f"{words} " in trained
    assert "--init_encoder exp/longer/ctc " in trained
    assert "--out exp/longer/tables/5" in one(of_row, "bin.decode")


def test_baselines_alone_run_to_the_end(toolkit, tmp_path):
    fake = fake_machine(tmp_path, RECORDED)
    options = ["--corpora", str(tmp_path), "--tag", "alone"]
    options += ["--systems", "encoder-decoder rescored"]
    output = run(toolkit / "egs/covost2/run.sh", *options, python=str(fake))
    assert sorted(stages(output)) == [0, 1, 2, 3, 4, 6, 7]
    assert not any("bin.train_llm " in line for line in commands(tmp_path))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--langs", "de xx", "--stop_stage", "0", "--tag", "xx"], "no language 'xx'"),
        (["--corpora", "/nowhere", "--stop_stage", "1", "--tag", "no"], "'/nowhere'"),
        (
            ["--tag", "ja", "--data", "data/small", "--target", "ja"],
            "--target ja: the texts of data/small are to be put into English; name that language",
        ),
        (["--tag", "small", "--stage", "6", "--target", "ja"], "the texts of data/small are to be"),
    ],
    ids=str,
)
def test_wrong_options_are_one_clear_line(finished, options, message):
    recipe, _ = finished
    output = run(recipe / "run.sh", *options, check=False)
    assert message in output and "Traceback" not in output


LISTS = "exp/checked/decode/encoder-decoder"  # of an older run
FROZEN = "exp/checked/frozen/best"
TRANSCRIBES = "--other_tasks.transcript transcribe:{audio}{bos}"


def checked(toolkit, options: dict, left: str) -> str:
    """What the recipe says before it misses the corpus, where an older run has left a folder."""
    recipe = toolkit / "egs/covost2"
    (recipe / left).mkdir(parents=True, exist_ok=True)
    words = [word for name, value in options.items() for word in (f"--{name}", value)]
    words += ["--preset", "paper", "--corpora", "/nowhere", "--tag", "checked"]
    output = run(recipe / "run.sh", *words, check=False)
    started = (recipe / "exp/checked/.stages").exists()
    shutil.rmtree(recipe / "exp/checked")
    assert started == ("stage" in output) and "Traceback" not in output
    return output


@pytest.mark.parametrize(
    ("options", "left", "message"),
    [
        ({"systems": "llm magic"}, "", "no 'magic'; choose from llm frozen"),
        ({"phases": "first llm"}, "", "no conf/paper/train_llm_first.yaml"),
        ({"phases": "llm frozen"}, "", "--phases should end in llm, got 'llm frozen'"),
        ({"phases": ""}, "", "--phases should end in llm, got ''"),
        ({"ctc_opts": "--target text"}, "", "CTC writes translations; leave cascade out"),
        ({"systems": "llm rescored"}, "", "lists of encoder-decoder; name that before it"),
        ({"systems": "rescored encoder-decoder"}, LISTS, "lists of encoder-decoder; name that"),
        ({"systems": "llm frozen", "phases": "llm"}, FROZEN, "none of --phases 'llm'"),
        ({"systems": "frozen llm", "stage": "6"}, "", f"there is no {FROZEN}"),
        ({"systems": "llm cascade-llm"}, "", "cascade-llm reads transcripts of the LLM"),
        (
            {"systems": "cascade-llm", "phases": "transcribe frozen llm"},
            "",
            "--other_tasks.transcript ...",
        ),
        (
            {"systems": "cascade-llm", "llm_opts": f"{TRANSCRIBES} --lora.ranc 2"},
            "",
            "did you mean --lora.rank?",
        ),
    ],
    ids=str,
)
def test_options_that_cannot_be_are_refused_before_any_stage(toolkit, options, left, message):
    output = checked(toolkit, options, left or "exp/checked")
    assert message in output and len(output.splitlines()) == 1


@pytest.mark.parametrize("stage", ["0", "1", "2", "6"])
def test_only_the_stages_that_read_the_corpus_refuse_a_target_of_the_made_up_one(toolkit, stage):
    options = ["--tag", "target", "--target", "de", "--stage", stage, "--systems", "llm"]
    output = run(toolkit / "egs/covost2/run.sh", *options, check=False)
    refused = "--target de: the made-up corpus is translated into English (en) only" in output
    assert refused == (stage in "01")
    assert refused or f"stage {stage} reads " in output


@pytest.mark.parametrize(
    ("options", "left"),
    [
        ({"systems": "encoder-decoder llm rescored"}, ""),
        ({"systems": "rescored"}, LISTS),
        ({"systems": "rescored frozen cascade-llm", "phases": "llm", "stop_stage": "5"}, ""),
        ({"systems": "llm frozen", "phases": "transcribe frozen llm"}, ""),
        ({"systems": "frozen", "phases": "llm", "stage": "6"}, FROZEN),
        ({"systems": "cascade-llm llm", "llm_opts": TRANSCRIBES}, ""),
        ({"systems": "llm", "ctc_opts": "--target text"}, ""),
    ],
    ids=str,
)
def test_options_that_can_be_come_as_far_as_the_corpus(toolkit, options, left):
    output = checked(toolkit, options, left or "exp/checked")
    missing = "stage 6 reads" if "stage" in options else "'/nowhere'"
    assert "stage 0" in output or "stage" in options
    assert missing in output


@pytest.mark.parametrize(
    ("changes", "fixed"),
    [
        ("lora:\n    rank: 0   # four spaces\n", True),
        ("lora: {dropout: 0.1, rank: 0}\n", True),
        ("lora:\n  rank: 2\n", False),
        ("adaptor:\n  rank: 0\n", False),
        ("lora:\n  alpha: 4\n", False),
    ],
)
def test_a_phase_with_rank_0_leaves_the_llm_as_it_is(toolkit, tmp_path, changes, fixed):
    """However its YAML is written, and whatever --llm_opts say."""
    fake, utils = fake_machine(tmp_path, RECORDED), toolkit / "utils"
    (tmp_path / "train_llm_own.yaml").write_text(changes)
    script = toolkit / "egs/covost2/local/train_phases.sh"
    options = ["--cmd", "job.py", "--phases", "own llm", "--opts", "--lora.rank 32"]
    options += ["--conf", str(tmp_path), "--exp", str(tmp_path / "exp")]
    options += ["--data", "data/x", "--ctc", "exp/x/ctc", "--llm", "exp/x/base_llm"]
    path = f"{utils}:{fake.parent}:{os.environ['PATH']}"
    subprocess.run([script, *options], env=os.environ | {"PATH": path}, check=True)
    own, llm = commands(tmp_path)
    assert f"--config {tmp_path}/train_llm_own.yaml " in own and "--init" not in own
    assert f"--init {tmp_path}/exp/own " in llm and "_own.yaml" not in llm
    assert ("--lora.rank 32 --lora.rank 0 " in own) == fixed and "--lora.rank 0" not in llm
