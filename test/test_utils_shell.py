"""The shared shell layer: options, stages, launching, and the job runner."""

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
UTILS = ROOT / "utils"
HEADER = """#!/usr/bin/env bash
# A recipe for tests.
#
# usage: ./run.sh [options]
#   --stage N, --stop_stage N   first and last stage (0, 9)
#   --llm NAME                  a name; more of it with "--path_like x"
#   --llm_opts "..."            overrides, e.g. "--optim.lr 1e-4"
#   --force true                run finished stages again
#   --subset full|10h|1h        limited supervision

set -euo pipefail
stage=0 stop_stage=9 llm="" llm_opts="" force=false path_like=fixed exp=exp subset=full
. parse_options.sh
"""


def run(command, cwd, env=None, **kwargs):
    """Run a command with utils/ on the PATH, as path.sh would put it there."""
    path = f"{UTILS}:{Path(sys.executable).parent}:{os.environ['PATH']}"
    return subprocess.run(
        [str(word) for word in command],
        cwd=cwd,
        env={**os.environ, "PATH": path, **(env or {})},
        capture_output=True,
        text=True,
        timeout=60,
        **kwargs,
    )


@pytest.fixture
def recipe(tmp_path):
    """A function that writes run.sh with the given body and runs it with the given options."""

    def run_recipe(body, *options, env=None):
        (tmp_path / "run.sh").write_text(HEADER + body, encoding="utf-8")
        return run(["bash", "./run.sh", *options], tmp_path, env)

    return run_recipe


# parse_options.sh

SHOW = 'echo "${stage}|${stop_stage}|${llm}|${llm_opts}|${force}|${path_like}"'


@pytest.mark.parametrize(
    "options, expected",
    [
        ([], "0|9|||false|fixed"),
        (["--stage", "3", "--stop-stage", "6"], "3|6|||false|fixed"),
        (["--stop_stage=6", "--llm=a=b"], "0|6|a=b||false|fixed"),
        (["--llm", ""], "0|9|||false|fixed"),
        (["--llm_opts", "--optim.lr 1e-4 --rank 2"], "0|9||--optim.lr 1e-4 --rank 2|false|fixed"),
        (["--llm-opts", "$(touch hacked) `touch hacked` ; *"], None),
        (["--force", "true"], "0|9|||true|fixed"),
    ],
)
def test_options_set_variables_and_execute_nothing(recipe, tmp_path, options, expected):
    done = recipe(SHOW, *options)
    if expected is None:
        expected = f"0|9||{options[1]}|false|fixed"
    assert (done.returncode, done.stdout.strip(), done.stderr) == (0, expected, "")
    assert not (tmp_path / "hacked").exists()


@pytest.mark.parametrize(
    "options, message",
    [
        (["--stop-stagee", "3"], "./run.sh: no such option '--stop-stagee'; see --help"),
        (["--stop_stagee=3"], "./run.sh: no such option '--stop_stagee'; see --help"),
        (["--path_like", "x"], "./run.sh: no such option '--path_like'; see --help"),
        (["--PATH", "x"], "./run.sh: no such option '--PATH'; see --help"),
        (["--exp", "x"], "./run.sh: no such option '--exp'; see --help"),
        (["--IFS=x"], "./run.sh: no such option '--IFS'; see --help"),
        (["--llm", "--stage", "3"], "./run.sh: option '--llm' needs a value; see --help"),
        (["--llm"], "./run.sh: option '--llm' needs a value; see --help"),
        (["--force", "yes"], "./run.sh: option '--force' should be true or false, got 'yes'"),
        (["--stage", "six"], "./run.sh: option '--stage' should be a whole number, got 'six'"),
        (["--stop-stage=-1"], "./run.sh: option '--stop_stage' should be a whole number, got '-1'"),
        (
            ["--subset", "5h"],
            "./run.sh: option '--subset' should be one of full, 10h, 1h, got '5h'",
        ),
        (["3"], "./run.sh: no such argument '3'; see --help"),
        (["--", "x"], "./run.sh: no such argument '--'; see --help"),
    ],
)
def test_wrong_options_are_named_in_one_line(recipe, options, message):
    done = recipe(SHOW, *options)
    assert (done.returncode, done.stdout, done.stderr) == (1, "", message + "\n")


def test_help_prints_the_header(recipe):
    done = recipe("echo not reached", "--stage", "2", "--help")
    assert done.returncode == 0
    header = [line[2:] for line in HEADER.split("\n\n")[0].splitlines()[1:]]
    assert done.stdout.splitlines() == header


def test_help_works_from_another_folder(recipe, tmp_path):
    recipe('cd "$(dirname "$0")"\n')
    (tmp_path / "run.sh").write_text(
        HEADER.replace("set -euo", 'cd "$(dirname "$0")"\nset -euo'), encoding="utf-8"
    )
    done = run(["bash", f"{tmp_path.name}/run.sh", "--help"], tmp_path.parent)
    assert done.returncode == 0 and "--stop_stage N" in done.stdout


# stage.sh

STAGES = """
. stage.sh
if run_stage 1 "first" in.txt opt="${llm}"; then
    echo "ran 1 ${overwrite}"
    cp in.txt mid.txt
    finish_stage
fi
if run_stage 2 "second" mid.txt folder absent.txt? -- "${llm_opts}"; then
    echo "ran 2 ${overwrite}"
    [ -z "${FAIL:-}" ]
    mkdir -p made
    finish_stage made
fi
"""


@pytest.fixture
def stages(recipe, tmp_path):
    """Run the two stages of STAGES; the answer is the list of what ran, such as ["1 false"]."""
    (tmp_path / "in.txt").write_text("a")
    (tmp_path / "folder" / "audio").mkdir(parents=True)
    (tmp_path / "folder" / "text").write_text("b")

    def run_stages(*options, env=None, code=0, body=STAGES):
        done = recipe(body, *options, env=env)
        assert done.returncode == code, done.stderr
        run_stages.output = done.stdout + done.stderr
        return [line[4:] for line in done.stdout.splitlines() if line.startswith("ran ")]

    return run_stages


def test_finished_stages_are_skipped_and_say_so(stages):
    assert stages() == ["1 false", "2 false"]
    assert stages() == []
    assert "stage 1: first: already done, skipped" in stages.output
    assert "stage 2: second: already done, skipped" in stages.output


def test_stage_and_stop_stage_choose_exactly_those(stages):
    assert stages("--stage", "1", "--stop_stage", "1") == ["1 false"]
    assert "stage 2" not in stages.output
    assert stages("--stage", "2", "--stop_stage", "5") == ["2 false"]
    assert "stage 1" not in stages.output


@pytest.mark.parametrize("given", [("2", "1"), ("10", "9")], ids=str)
def test_stages_in_the_wrong_order_are_refused(stages, given):
    first, last = given
    assert stages("--stage", first, "--stop_stage", last, code=1) == []
    message = f"--stop_stage {last} is before --stage {first}, so there is nothing to do"
    assert stages.output == f"./run.sh: {message}\n"


PARTS = """
. stage.sh
if run_stage 1 "first" in.txt; then
    echo "ran 1"
    finish_stage
fi
if run_stage 1b "the same, apart" -- "${llm}"; then
    echo "ran 1b"
    list_commands
    finish_stage
fi
"""


def test_a_part_of_a_stage_has_its_own_stamp(stages, tmp_path):
    assert stages("--stage", "1", "--stop_stage", "1", body=PARTS) == ["1", "1b"]
    assert "stage 1b: the same, apart" in stages.output
    (tmp_path / "in.txt").write_text("other")
    assert stages(body=PARTS) == ["1"]
    assert stages("--llm", "other", body=PARTS) == ["1b"]
    assert stages("--stage", "2", body=PARTS) == []


def test_changed_inputs_make_a_stage_stale(stages, tmp_path):
    stages()
    (tmp_path / "in.txt").write_text("changed")
    assert stages() == ["1 true", "2 true"]
    assert "its inputs have changed" in stages.output
    (tmp_path / "folder" / "text").write_text("changed")
    assert stages() == ["2 true"]
    assert stages("--llm", "other") == ["1 true"]
    assert stages("--llm", "other", "--llm_opts", "--rank 3") == ["2 true"]
    (tmp_path / "absent.txt").write_text("now here")
    assert stages("--llm", "other", "--llm_opts", "--rank 3") == ["2 true"]


def test_touched_files_audio_and_optimizers_leave_a_stage_done(stages, tmp_path):
    stages()
    time.sleep(0.01)
    (tmp_path / "in.txt").write_text("a")
    (tmp_path / "folder" / "audio" / "text").write_text("never read")
    (tmp_path / "folder" / "a.flac").write_text("never read")
    (tmp_path / "folder" / "optimizer.safetensors").write_text("never read")
    (tmp_path / "folder" / ".hidden.txt").write_text("never read")
    assert stages() == []
    (tmp_path / "folder" / "deeper").mkdir()
    (tmp_path / "folder" / "deeper" / "model.safetensors").write_text("read")
    assert stages() == ["2 true"]


def test_dialogues_and_a_folder_named_audio_are_read(stages, tmp_path):
    (tmp_path / "audio").mkdir()
    (tmp_path / "audio/dialogues.jsonl").write_text("{}")
    body = STAGES.replace("mid.txt folder", "mid.txt audio")
    assert stages(body=body) == ["1 false", "2 false"]
    (tmp_path / "audio/dialogues.jsonl").write_text('{"id": 1}')
    assert stages(body=body) == ["2 true"]


@pytest.mark.parametrize("place", ["model.pth", "ctc/best/model.safetensors", "model.safetensors"])
def test_an_encoder_to_start_from_is_looked_for_at_once(stages, tmp_path, place):
    given = place.replace("/best", "").removesuffix("/model.safetensors")
    given = "." if given == "model.safetensors" else given
    body = f"init_encoder={given}\n{STAGES}"
    assert stages(body=body, code=1) == []
    assert "./run.sh: --init_encoder should be a folder with a trained encoder" in stages.output
    (tmp_path / place).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / place).touch()
    assert stages(body=body) == ["1 false", "2 false"]


def test_large_files_count_by_size_and_time(stages, tmp_path):
    large = tmp_path / "folder" / "model.safetensors"
    with large.open("wb") as f:
        f.truncate(65 << 20)
    os.utime(large, (1, 1))
    stages()
    assert stages() == []
    os.utime(large, (2, 2))
    assert stages() == ["2 true"]


# a stage that has written for a while; the clock of files ticks every few milliseconds
HALF = STAGES.replace("[ -z", 'sleep 0.1; touch "${exp}/half"; [ -z')


def test_a_failed_stage_goes_on_and_a_stale_one_starts_over(stages, tmp_path):
    assert stages(env={"FAIL": "1"}, code=1, body=HALF) == ["1 false", "2 false"]
    assert stages(body=HALF) == ["2 false"]
    assert "goes on where it was interrupted" in stages.output  # the same inputs
    (tmp_path / "folder" / "text").write_text("changed")
    assert stages(env={"FAIL": "1"}, code=1, body=HALF) == ["2 true"]
    assert stages(env={"FAIL": "1"}, code=1, body=HALF) == ["2 true"]
    assert "it was interrupted" in stages.output  # what is there may still be the old
    (tmp_path / "folder" / "text").write_text("b")
    assert stages(body=HALF) == ["2 true"]  # the old is half overwritten
    assert stages(body=HALF) == []


def test_a_stage_without_a_folder_of_its_own_that_wrote_only_logs_is_as_it_was(stages, tmp_path):
    body = STAGES.replace("[ -z", 'mkdir -p "${exp}/log"; sleep 0.1; touch "${exp}/log/2"; [ -z')
    stages(body=body)
    (tmp_path / "folder" / "text").write_text("misspelt")
    assert stages(env={"FAIL": "1"}, code=1, body=body) == ["2 true"]
    (tmp_path / "folder" / "text").write_text("b")
    assert stages(body=body) == []


@pytest.mark.parametrize("written", ["exp/half", "data/half"])
def test_a_stage_that_wrote_into_exp_or_data_runs_again(stages, tmp_path, written):
    (tmp_path / "data/train").mkdir(parents=True)
    body = f"data=data\n{STAGES}".replace(
        "[ -z", 'sleep 0.1; [ -z "${FAIL:-}" ] || touch $FAIL; [ -z'
    )
    stages(body=body)
    (tmp_path / "folder" / "text").write_text("changed")
    assert stages(env={"FAIL": written}, code=1, body=body) == ["2 true"]
    (tmp_path / "folder" / "text").write_text("b")
    assert stages(body=body) == ["2 true"]


DISCARD = STAGES.replace('[ -z "${FAIL:-}" ]', 'discard_stale made; [ -z "${FAIL:-}" ]')


def test_discard_stale_moves_the_old_away_once_and_then_resumes(stages, tmp_path):
    body = DISCARD.replace("discard_stale made;", "discard_stale made; mkdir -p made;")
    stages(body=body)
    (tmp_path / "made" / "old").write_text("weights")
    (tmp_path / "folder" / "text").write_text("changed")
    assert stages(env={"FAIL": "1"}, code=1, body=body) == ["2 true"]
    assert list((tmp_path / "made").iterdir()) == []  # the half-done new run
    assert (tmp_path / "made.stale" / "old").exists()
    assert stages(body=body) == ["2 false"]
    assert (tmp_path / "made.stale" / "old").exists() and (tmp_path / "made").exists()


def test_a_stage_that_fails_before_it_writes_leaves_all_as_it_was(stages, tmp_path):
    """As with a misspelt option, which only the command of the stage can notice."""
    stages(body=DISCARD)
    (tmp_path / "made" / "old").write_text("weights")
    (tmp_path / "folder" / "text").write_text("misspelt")
    assert stages(env={"FAIL": "1"}, code=1, body=DISCARD) == ["2 true"]
    assert "moved made.stale back to made" in stages.output
    assert (tmp_path / "made" / "old").exists() and not (tmp_path / "made.stale").exists()
    (tmp_path / "folder" / "text").write_text("b")
    assert stages(body=DISCARD) == []  # finished, as it was
    (tmp_path / "folder" / "text").write_text("spelt right")
    assert stages(body=DISCARD) == ["2 true"]
    assert (tmp_path / "made.stale" / "old").exists()


def test_a_finished_model_is_not_replaced_by_an_unfinished_one(stages, tmp_path):
    body = DISCARD.replace("discard_stale made;", "discard_stale made; mkdir -p made;")
    stages(body=body)
    (tmp_path / "made" / "best").mkdir()
    for change in ("changed", "changed again"):
        (tmp_path / "folder" / "text").write_text(change)
        assert stages(env={"FAIL": "1"}, code=1, body=body) == ["2 true"]
        assert (tmp_path / "made.stale" / "best").exists()
        assert list((tmp_path / "made").iterdir()) == []  # training began, and was stopped
    (tmp_path / "made" / "best").mkdir()
    (tmp_path / "made" / "best" / "newer").write_text("weights")
    (tmp_path / "folder" / "text").write_text("once more")
    stages(env={"FAIL": "1"}, code=1, body=body)
    assert (tmp_path / "made.stale" / "best" / "newer").exists()


# a training: "good" is interrupted after its first checkpoint, "typo" before it begins, "done" ends
TRAIN = """
recipe_command="./run.sh ${llm_opts}"
. stage.sh
if run_stage 1 "train" -- "${llm_opts}"; then
    discard_stale made other
    sleep 0.02 # what is written now is newer than the start of the stage, also by a coarse clock
    list_commands >"${exp}/commands"
    [ "${llm_opts}" != typo ]
    mkdir -p made/last
    echo "${llm_opts}" >>made/last/steps
    [ "${llm_opts#good}" = "${llm_opts}" ] || exit 1
    mkdir -p made/best
    finish_stage made/best
fi
list_commands
"""


@pytest.mark.parametrize("finished_before", [True, False])
def test_an_interrupted_training_survives_a_misspelt_option_and_goes_on(
    stages, tmp_path, finished_before
):
    if finished_before:
        stages("--llm_opts", "done", body=TRAIN)
    stages("--llm_opts", "good", code=1, body=TRAIN)
    for _ in range(2):
        stages("--llm_opts", "typo", code=1, body=TRAIN)
        assert (tmp_path / "made/last/steps").read_text() == "good\n"
    stages("--llm_opts", "good", code=1, body=TRAIN)
    assert "goes on where it was interrupted" in stages.output
    assert (tmp_path / "made/last/steps").read_text() == "good\ngood\n"
    assert (tmp_path / "made.stale/best").exists() == finished_before


def test_an_unfinished_training_is_dropped_once_another_is_finished(stages, tmp_path):
    stages("--llm_opts", "done", body=TRAIN)
    for options in ("good", "good other", "good other"):
        stages("--llm_opts", options, code=1, body=TRAIN)
    assert (tmp_path / "made.unfinished/last/steps").read_text() == "good\n"
    assert (tmp_path / "made.stale/best").exists()
    stages("--llm_opts", "done too", body=TRAIN)
    assert not (tmp_path / "made.unfinished").exists()
    assert (tmp_path / "made.stale/last/steps").read_text() == "done\n"


def test_a_stage_that_began_in_one_of_its_folders_has_begun(stages, tmp_path):
    """Nothing is put back there, for what is there now is of the changed stage."""
    body = DISCARD.replace("discard_stale made;", "discard_stale made other; mkdir -p other;")
    stages(body=body)
    (tmp_path / "other").rmdir()
    (tmp_path / "folder" / "text").write_text("changed")
    assert stages(env={"FAIL": "1"}, code=1, body=body) == ["2 true"]
    assert (tmp_path / "made.stale").exists() and not (tmp_path / "made").exists()
    assert stages(body=body) == ["2 false"]


def test_a_misspelt_option_is_not_among_the_commands_of_the_results(stages):
    stages("--llm_opts", "done", body=TRAIN)
    stages("--llm_opts", "typo", code=1, body=TRAIN)
    stages("--llm_opts", "done", body=TRAIN)
    assert "already done" in stages.output
    assert stages.output.splitlines()[-1] == "./run.sh done"


def test_a_missing_output_makes_a_stage_stale(stages, tmp_path):
    stages()
    (tmp_path / "made").rmdir()
    assert stages() == ["2 true"]
    assert "made is missing" in stages.output


def test_force_runs_finished_stages_in_range_again(stages):
    stages()
    assert stages("--force", "true", "--stage", "2") == ["2 true"]
    assert stages() == []


def test_a_missing_input_is_named(stages, tmp_path):
    (tmp_path / "in.txt").unlink()
    assert stages(code=1) == []
    assert "./run.sh: stage 1 reads in.txt, which is missing" in stages.output


# launch.sh


@pytest.fixture
def module(tmp_path):
    """A Python module that prints what it was started with."""
    (tmp_path / "show.py").write_text(
        "import os, sys\n"
        "keys = ['RANK', 'WORLD_SIZE', 'CUDA_VISIBLE_DEVICES', 'OMP_NUM_THREADS']\n"
        "line = ' '.join(f'{k}={os.environ.get(k)}' for k in keys)\n"
        "os.write(1, f'{line} {sys.argv[1:]}\\n'.encode())\n"
    )
    return tmp_path


def test_launch_on_the_cpu_hides_gpus_and_keeps_arguments(module):
    done = run(["launch.sh", "--ngpu", 0, "show", "--a", "b c"], module, {"OMP_NUM_THREADS": "2"})
    assert done.returncode == 0, done.stderr
    expected = "RANK=None WORLD_SIZE=None CUDA_VISIBLE_DEVICES= OMP_NUM_THREADS=2 ['--a', 'b c']"
    assert done.stdout.strip() == expected


def test_launch_starts_several_processes_that_share_the_cores(module):
    env = {"OMP_NUM_THREADS": "4"}
    done = run(["launch.sh", "--ngpu", 0, "--nproc", 2, "show", "x"], module, env)
    assert done.returncode == 0, done.stderr
    assert sorted(done.stdout.splitlines()) == [
        f"RANK={rank} WORLD_SIZE=2 CUDA_VISIBLE_DEVICES= OMP_NUM_THREADS=2 ['x']" for rank in (0, 1)
    ]


def test_launch_refuses_more_gpus_than_there_are(module):
    (module / "nvidia-smi").write_text('#!/bin/sh\nprintf "GPU 0: a\\nGPU 1: b\\n"\n')
    (module / "nvidia-smi").chmod(0o755)
    command = ["env", f"PATH={module}:{UTILS}:{os.environ['PATH']}", "launch.sh", "--ngpu"]
    done = run([*command, 3, "show"], module)
    assert done.returncode == 1 and len(done.stderr.splitlines()) == 1
    assert "--ngpu 3, but this machine shows 2 GPUs" in done.stderr
    (module / "nvidia-smi").write_text("#!/bin/sh\nexit 9\n")
    assert "shows 0 GPUs" in run([*command, 1, "show"], module).stderr


@pytest.mark.parametrize(
    "words, message",
    [
        (["--ngpu", "many", "show"], "--ngpu should be a number, got 'many'"),
        (["--gpus", "1", "show"], "no such option '--gpus'"),
        (["--ngpu", "0"], "which Python module?"),
        (["--nproc", "0", "show"], "--nproc should be at least 1"),
    ],
)
def test_launch_names_a_wrong_option(module, words, message):
    done = run(["launch.sh", *words], module)
    assert (done.returncode, done.stderr.strip()) == (1, f"launch.sh: {message}")


# path.sh


def test_path_makes_python_the_one_that_the_user_names(tmp_path):
    for name in ("utils", "tools"):
        ignored = shutil.ignore_patterns("venv*")
        shutil.copytree(ROOT / name, tmp_path / name, ignore=ignored)
    (tmp_path / "mypython").write_text(f'#!/bin/sh\nexec "{sys.executable}" "$@"\n')
    (tmp_path / "mypython").chmod(0o755)
    script = '. utils/path.sh; python -c "import sys; print(sys.prefix)"; job.py -h'
    for name in (sys.executable, tmp_path / "mypython"):
        done = run(["bash", "-euc", script], tmp_path, {"SPEECHLLM_PYTHON": str(name)})
        assert done.returncode == 0, done.stderr
        assert done.stdout.splitlines()[0] == sys.prefix
    done = run(["bash", "-euc", script], tmp_path, {"SPEECHLLM_PYTHON": "/nowhere/python"})
    assert done.returncode == 1 and "SPEECHLLM_PYTHON" in done.stderr


@pytest.mark.parametrize("name", ["/nowhere/python", "python9.9"])
def test_path_leaves_the_shell_of_a_user_with_a_wrong_python_as_it_was(tmp_path, name):
    shutil.copytree(UTILS, tmp_path / "utils")  # without tools/, so that nothing can be installed
    refused = ". utils/path.sh || true"
    show = 'echo "alive ${SPEECHLLM_PYTHON} ${python_dir-none} ${recipe_command-none}"'
    done = run(
        ["bash", "-c", f"{refused}; {refused}; {show}"], tmp_path, {"SPEECHLLM_PYTHON": name}
    )
    assert done.stdout == f"alive {name} none none\n"
    assert done.stderr == 2 * f"SPEECHLLM_PYTHON should name a Python interpreter, got '{name}'\n"


def test_path_leaves_no_python_dir_where_packages_are_missing(tmp_path):
    (tmp_path / "python").write_text("#!/bin/sh\nexit 1\n")
    (tmp_path / "python").chmod(0o755)
    script = f'. "{UTILS}/path.sh" || echo "alive ${{python_dir-none}}"'
    done = run(["bash", "-c", script], tmp_path, {"SPEECHLLM_PYTHON": str(tmp_path / "python")})
    assert done.stdout == "alive none\n"


@pytest.mark.parametrize(
    ("own", "found"),
    [({}, "1000"), ({"GOMP_SPINCOUNT": "5"}, "5"), ({"OMP_WAIT_POLICY": "PASSIVE"}, "none")],
)
def test_path_has_waiting_threads_sleep_soon_beside_others_unless_told_otherwise(
    tmp_path, own, found
):
    script = f'. "{UTILS}/path.sh"; echo "${{GOMP_SPINCOUNT:-none}} ${{running-}}"'
    unset = ["env", "-u", "GOMP_SPINCOUNT", "-u", "OMP_WAIT_POLICY"]
    env = [f"{name}={value}" for name, value in own.items()]
    command = [*unset, *env, "bash", "-euc", script]
    with subprocess.Popen([sys.executable, "-c", "while True: pass"]) as other:
        try:
            done = run(command, tmp_path, {"SPEECHLLM_PYTHON": sys.executable})
        finally:
            other.kill()
    assert done.stdout == f"{found} \n"


@pytest.mark.parametrize(("running", "found"), [(1, "none"), (2, "1000")])
def test_path_lets_threads_spin_where_nothing_else_runs(tmp_path, running, found):
    script = (
        f'read() {{ running={running}/99; }}; . "{UTILS}/path.sh"; echo "${{GOMP_SPINCOUNT:-none}}"'
    )
    unset = ["env", "-u", "GOMP_SPINCOUNT", "-u", "OMP_WAIT_POLICY"]
    done = run([*unset, "bash", "-euc", script], tmp_path, {"SPEECHLLM_PYTHON": sys.executable})
    assert done.stdout == f"{found}\n"


def test_path_keeps_byte_order_and_utf8(tmp_path):
    commands = 'printf "b\\nB\\na\\n" | sort; python -c "print(chr(322))"'
    script = f'. "{UTILS}/path.sh"; {commands}'
    done = run(["bash", "-euc", script], tmp_path, {"SPEECHLLM_PYTHON": sys.executable})
    assert done.stdout.split() == ["B", "a", "b", "\u0142"]
