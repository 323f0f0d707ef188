"""Command lines of the paper preset: a python on PATH that writes them down and leaves what the stages wait for."""

import shutil
import sys
from pathlib import Path

import pytest
from recipes.conftest import run

RECORDER = """#!{python}
import os, sys
from pathlib import Path
args = sys.argv[1:]
if args and args[0].endswith("job.py"):  # the job runner itself must run
    os.execv("{python}", ["{python}", *args])
if "speechllm.bin.table" in args:  # plans what is then written down
    os.execv("{python}", ["{python}", *args])
with open("{log}", "a") as log:
    log.write(" ".join(args) + "\\n")
def value(flag):
    return args[args.index(flag) + 1]
def make(*paths):
    for path in paths:
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        Path(path).write_text("a b\\n")
line = " ".join(args)
if "prepare_data.py" in line:
    make(*(Path(args[-1]) / name for name in ("wav.scp", "text", "utt2spk")))
if "merge_feats" in line:
    make(Path(value("--data_dir")) / "feats.scp")
if "compile_manifest" in line:
    make(Path(args[-1]) / "manifest.arrow")
if "compute_cmvn" in line:
    make(Path(args[-1]) / "cmvn.ark")
if "train_tokenizer" in line:
    make(value("--out"))
if "bin.train_ctc" in line or "bin.train_llm" in line:
    make(Path(value("--exp_dir")) / "best" / "model.safetensors")
if "bin.decode" in line:
    for part in ("dev", "test"):
        make(*(Path(value("--out")) / part / name for name in ("text", "utt2status")))
if "bin.make_mini_llm" in line:
    make(Path(value("--out")) / "config.json")
if "bin.score " in line:
    make(Path(value("--out")) / "results.json", Path(value("--out")) / "RESULTS.md")
    (Path(value("--out")) / "results.json").write_text("[]")
"""


def fake_machine(folder: Path, more: str = "") -> Path:
    """A python that only writes down, and beside it an nvidia-smi that knows eight GPUs."""
    gpus = "#!/bin/sh\nfor i in 0 1 2 3 4 5 6 7; do echo GPU $i; done\n"
    recorder = RECORDER.format(python=sys.executable, log=folder / "log") + more
    for name, text in (("python", recorder), ("nvidia-smi", gpus)):
        (folder / name).write_text(text)
        (folder / name).chmod(0o755)
    return folder / "python"


@pytest.fixture(scope="module")
def lines(toolkit, tmp_path_factory) -> list[str]:
    folder = tmp_path_factory.mktemp("recorder")
    fake = fake_machine(folder)
    options = [
        "--preset",
        "paper",
        "--corpora",
        str(folder),
        "--llm",
        "meta-llama/Llama-2-7b-hf",
        "--ngpu",
        "8",
    ]
    run(toolkit / "egs/mls/run.sh", *options, python=str(fake))
    return (folder / "log").read_text().splitlines()


def commands(folder: Path) -> list[str]:
    """What stages have called."""
    return [line for line in (folder / "log").read_text().splitlines() if line.startswith("-m ")]


RECORDED_CHAT = """
if "prepare_data.py" in line:
    make(Path(args[-1]) / "dialogues.jsonl")
if "bin.merge_responses" in line:
    make(*(Path(args[-1]) / name for name in ("text", "feats.scp")))
if "bin.converse" in line:
    sets = [word.split("=")[0] for word in args if ".jsonl" in word]
    folders = [Path(value("--out")) / system / s for system in ("text", "cascade", "audio") for s in sets]
    make(*(folder / name for folder in folders for name in ("text", "utt2status")))
if "bin.score_chat" in line:
    (Path(value("--out")) / "results.json").write_text("[]")
    make(Path(value("--out")) / "RESULTS.md")
if "bin.check_frozen" in line:
    make(value("--out"))
"""


def one(lines: list[str], word: str) -> str:
    (found,) = [line for line in lines if word in line]
    return found


def test_paper_preset_trains_on_eight_gpus_with_its_own_configs(lines):
    for name in ("train_ctc", "train_llm"):
        line = one(lines, f"speechllm.bin.{name}")
        assert line.startswith("-m torch.distributed.run --standalone --nproc_per_node 8 ")
        assert f"--config conf/paper/{name}.yaml" in line
        assert "--decode_config conf/paper/decode.yaml" in line  # the window of validation
    assert "--llm_name meta-llama/Llama-2-7b-hf" in one(lines, "bin.train_llm")
    assert "--encoder exp/paper/ctc" in one(lines, "bin.train_llm")


def test_paper_preset_makes_no_corpus_and_no_llm(lines):
    assert not any("make_mini" in line for line in lines)


def test_every_set_is_prepared_extracted_and_scored(lines):
    for part in ("train", "dev", "test"):
        (prepared,) = [
            line for line in lines if "prepare_data.py" in line and f"--set {part} " in line
        ]
        assert prepared.endswith(f"data/paper/{part}")
        assert (
            sum("extract_fbank" in line and f"data/paper/{part} " in line for line in lines) == 2
        )  # --nj
    assert sum("bin.score" in line for line in lines) == 2
    assert [line.split("--model ")[1].split()[0] for line in lines if "bin.decode" in line] == [
        "exp/paper/ctc",
        "exp/paper/llm",
    ]
    for line in lines:
        if "bin.decode" in line:
            assert "--nproc_per_node 8 " in line and "--config conf/paper/decode.yaml" in line
    assert one(lines, "bin.analyse").startswith("-m speechllm.bin.analyse ")  # one process, one GPU


def test_rows_of_a_table_share_data_and_encoder(toolkit, tmp_path):
    fake = fake_machine(tmp_path)
    script = toolkit / "egs/mls/run_table.sh"
    options = ["--table", "3", "--corpora", str(tmp_path), "--tag", "recorded", "--langs", "en de"]
    output = run(script, *options, python=str(fake))
    lines = commands(tmp_path)
    assert sum("bin.train_ctc" in line for line in lines) == 1
    trained = [line for line in lines if "bin.train_llm" in line]
    ranks = [line.split("--lora.rank ")[1].split()[0] for line in trained if "--lora.rank" in line]
    assert len(trained) == 5 and sorted(ranks) == ["0", "16", "2", "32"]
    for line in trained:
        assert "--train_dir data/recorded/train " in line and "--encoder exp/recorded/ctc " in line
    scored = [line for line in lines if "bin.score " in line]
    assert len(scored) == 10 and all("--langs en de " in line for line in scored)
    again = run(script, *options, python=str(fake))
    assert commands(tmp_path) == lines  # nothing ran twice
    assert "(not finished)" in output and "stage" not in again
    for rank in (0, 2, 16, 32):
        log = toolkit / f"egs/mls/exp/recorded/tables/log/3/rank{rank}.log"
        assert log.read_text().count("already done, skipped") == 3


def test_ngram_row_searches_the_shared_encoder_with_the_corpora_s_models(toolkit, tmp_path):
    fake = fake_machine(tmp_path)
    options = ["--table", "1", "--row", "ctc_lm", "--corpora", str(tmp_path), "--tag", "searched"]
    run(toolkit / "egs/mls/run_table.sh", *options, python=str(fake))
    line = one(commands(tmp_path), "bin.decode_ngram")
    assert "--model exp/searched/ctc " in line and f"--lm {tmp_path} " in line
    assert "--config conf/mini/decode.yaml " in line
    assert "--train_dir data/searched/train --dev_dir data/searched/dev " in line
    assert "--out exp/searched/tables/1/ctc_lm/decode/ctc+lm data/searched/dev" in line
    assert sum("bin.train_ctc" in line for line in commands(tmp_path)) == 1


@pytest.mark.parametrize("name", ["any.arpa", "lms"])
def test_another_ngram_model_of_the_same_name_is_searched_anew(toolkit, tmp_path, name):
    """One file for all languages, or a folder with one of each."""
    fake = fake_machine(tmp_path)
    lm = tmp_path / name
    file = lm if lm.suffix else lm / "mls_lm_english/5-gram_lm.arpa"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("\\data\\\n")
    options = ["--preset", "paper", "--corpora", str(tmp_path / "none"), "--tag", f"with_{name}"]
    options += ["--lm", str(lm), "--stop_stage", "6"]
    script, only = toolkit / "egs/mls/run.sh", ["--stage", "6"]
    run(script, *options, python=str(fake))
    line = one(commands(tmp_path), "bin.decode_ngram")
    assert f"--lm {lm} " in line and f"--out exp/with_{name}/decode/ctc+lm " in line
    assert "already done, skipped" in run(script, *options, *only, python=str(fake))
    file.write_text("\\data\\\nngram 1=3\n")
    output = run(script, *options, *only, python=str(fake))
    assert "stage 6: decode (stale: its inputs have changed" in output
    assert sum("bin.decode_ngram" in line for line in commands(tmp_path)) == 2


def test_limited_supervision_trains_on_its_own_data(toolkit, tmp_path):
    fake = fake_machine(tmp_path)
    options = ["--table", "6", "--row", "subset1h", "--corpora", str(tmp_path), "--tag", "little"]
    run(toolkit / "egs/mls/run_table.sh", *options, python=str(fake))
    lines = (tmp_path / "log").read_text().splitlines()
    prepared = [line for line in lines if "prepare_data.py" in line and "--set train" in line]
    assert ["--subset full" in line for line in prepared] == [True, False]
    assert "--subset 1h" in prepared[1] and prepared[1].endswith(
        "data/little/tables/6/subset1h/train"
    )
    trained = [line for line in lines if "bin.train_llm" in line]
    assert "--encoder exp/little/tables/6/subset1h/ctc " in trained[-1]


def test_a_failed_row_does_not_lose_the_others(toolkit, tmp_path):
    fails = (
        '\nif "train_llm" in line and "--lora.rank 2 " in line:\n    sys.exit("error: no luck")\n'
    )
    fake = fake_machine(tmp_path, fails)
    options = ["--table", "3", "--corpora", str(tmp_path), "--tag", "unlucky"]
    output = run(toolkit / "egs/mls/run_table.sh", *options, python=str(fake), check=False)
    lines = (tmp_path / "log").read_text().splitlines()
    assert any("--lora.rank 32" in line for line in lines)
    assert "rank2: failed: " in output and "rank32: done in " in output
    assert output.splitlines()[-1] == "error: table 3: these rows have failed: rank2"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ([], "--table N is missing"),
        (["--table", "9"], "table 9: no conf/mini/tables/9.yaml; there are tables 1 2 3 4 5 6"),
        (["--table", "3", "--row", "rank7"], "table 3 has no row 'rank7'"),
    ],
    ids=str,
)
def test_wrong_tables_are_one_clear_line(toolkit, options, message):
    output = run(toolkit / "egs/mls/run_table.sh", *options, check=False)
    assert message in output and "Traceback" not in output


def test_another_training_set_makes_the_integration_stale(toolkit, tmp_path):
    fake = fake_machine(tmp_path)
    recipe = toolkit / "egs/mls"
    options = ["--preset", "paper", "--corpora", str(tmp_path), "--tag", "changed"]
    run(recipe / "run.sh", *options, "--stop_stage", "5", python=str(fake))
    (recipe / "data/changed/dev/utt2prompt").write_text("a formal\n")
    only = ["--stage", "5", "--stop_stage", "5"]
    output = run(recipe / "run.sh", *options, *only, python=str(fake))
    assert "stage 5: train the LLM integration (stale: its inputs have changed" in output
    with (recipe / "conf/paper/decode.yaml").open("a") as file:
        file.write("# another search does not train anew\n")
    assert "already done, skipped" in run(recipe / "run.sh", *options, *only, python=str(fake))


def test_systems_of_an_older_run_leave_the_results(toolkit, tmp_path):
    fake = fake_machine(tmp_path)
    exp = toolkit / "egs/mls/exp/older"
    options = ["--preset", "paper", "--corpora", str(tmp_path), "--tag", "older"]
    run(toolkit / "egs/mls/run.sh", *options, "--stop_stage", "7", python=str(fake))
    for system in ("ctc+lm", "rescored"):  # by hand, or with --lm
        for part in ("dev", "test"):
            (exp / "decode" / system / part).mkdir(parents=True)
            (exp / "decode" / system / part / "text").write_text("a b\n")
    scored = ["--stage", "7", "--stop_stage", "7"]
    run(toolkit / "egs/mls/run.sh", *options, *scored, python=str(fake))
    lines = [line for line in commands(tmp_path) if "bin.score " in line]
    assert all("rescored=exp/older/decode/rescored/" in line for line in lines[2:])
    (exp / "results.json").write_text("of the older systems")
    again = ["--force", "true", "--stage", "6", "--stop_stage", "7"]
    run(toolkit / "egs/mls/run.sh", *options, *again, python=str(fake))
    lines = [line for line in commands(tmp_path) if "bin.score " in line]
    assert len(lines) == 6 and not any("rescored" in line or "+lm" in line for line in lines[4:])
    assert (exp / "results.json").read_text() == "[]"
    assert (exp / "results.json.stale").read_text() == "of the older systems"


@pytest.mark.parametrize("recipe", ["mls", "covost2", "audiochat"])
def test_a_made_up_corpus_that_is_gone_is_made_again(toolkit, tmp_path, recipe):
    makes = '\nif "make_mini_corpus" in line:\n    make(Path(value("--out")) / "made.json")\n'
    fake = fake_machine(tmp_path, makes)
    options = ["--tag", "gone", "--corpus_opts", "--seed 2", "--stop_stage", "0"]
    for _ in range(2):
        run(toolkit / f"egs/{recipe}/run.sh", *options, python=str(fake))
        shutil.rmtree(toolkit / f"egs/{recipe}/data/gone")
    made = commands(tmp_path)
    assert len(made) == 2 and all("--seed 2 --out data/gone/corpus" in line for line in made)
    if recipe != "mls":  # a further option does not take the place of the preset's sizes
        assert all("--train_hours" in line and "--test_utts" in line for line in made)


def test_a_folder_that_is_not_of_another_runs_data_is_refused(toolkit, tmp_path):
    fake, script = fake_machine(tmp_path), toolkit / "egs/mls/run.sh"
    options = ["--tag", "borrowed", "--data", str(tmp_path), "--stage", "4"]
    output = run(script, *options, python=str(fake), check=False)
    assert "--data should be the data folder of another run, with train, dev and test" in output
    assert f"got '{tmp_path}'" in output and "stage 4" not in output


def test_failing_command_stops_the_recipe_and_shows_its_log(toolkit, tmp_path):
    fails = '\nif "train_ctc" in line:\n    sys.exit("error: no such luck")\n'
    fake = fake_machine(tmp_path, fails)
    options = ["--preset", "paper", "--corpora", str(tmp_path), "--llm", "x", "--tag", "failing"]
    output = run(toolkit / "egs/mls/run.sh", *options, python=str(fake), check=False)
    assert "no such luck" in output
    assert "stage 5" not in output


def test_audiochat_lets_the_llm_answer_before_it_learns_to_listen(toolkit, tmp_path):
    fake = fake_machine(tmp_path, RECORDED_CHAT)
    options = ["--preset", "paper", "--corpora", str(tmp_path), "--ngpu", "3"]
    run(toolkit / "egs/audiochat/run.sh", *options, python=str(fake))
    lines = commands(tmp_path)
    llm = "--llm_name meta-llama/Llama-2-7b-chat-hf"
    answered = [line for line in lines if "bin.respond" in line]
    assert len(answered) == 6 and all(llm in line for line in answered)
    assert all("--licence llama2" in line for line in answered)
    checked = one(lines, "bin.check_llm")
    assert "--config conf/paper/train_llm.yaml meta-llama/Llama-2-7b-chat-hf" in checked
    for part in ("train", "dev"):
        of_part = [line for line in answered if f"--out exp/paper/respond/{part} " in line]
        parts = sorted(line.split("--part ")[1].split()[0] for line in of_part)
        assert parts == ["1", "2", "3"]
    trained = one(lines, "bin.train_llm")
    assert llm in trained and "--train_dir exp/paper/respond/train " in trained
    assert lines.index(trained) > max(map(lines.index, answered))
    conversations = [line for line in lines if "bin.converse" in line]
    assert all("--ctc exp/paper/ctc " in line for line in conversations)
    assert all("--own_ctc" in line for line in conversations) and len(conversations) == 2
    tests = [word for line in conversations for word in line.split() if ".jsonl" in word]
    assert [word.split("=")[0] for word in tests][:2] == ["dev", "test"]
    assert [word.split("snr=")[1] for word in tests if "snr=" in word] == "20 15 10 5 0".split()
    assert not any("make_mini" in line for line in lines)
    exp = toolkit / "egs/audiochat/exp/paper"
    assert "launch.sh --ngpu 1 speechllm.bin.check_frozen" in (
        exp / "log/check_frozen.log"
    ).read_text().replace("'", "")
    (toolkit / "egs/audiochat/data/paper/train/text").write_text("a other\n")
    again = [*options, "--stage", "5", "--stop_stage", "5"]
    run(toolkit / "egs/audiochat/run.sh", *again, python=str(fake))
    assert (exp / "respond/train.stale/text").exists() and (exp / "respond/train/text").exists()
