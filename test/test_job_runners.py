"""The runners of jobs, on this machine and through Slurm."""

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

UTILS = Path(__file__).resolve().parents[1] / "utils"
JOB = [sys.executable, str(UTILS / "job.py")]
SLURM = [sys.executable, str(UTILS / "slurm.py")]


def run(command, cwd, **env):
    return subprocess.run(
        command,
        cwd=cwd,
        env={**os.environ, **env},
        capture_output=True,
        text=True,
        timeout=60,
    )


def wait_for(condition, seconds=20):
    deadline = time.time() + seconds
    while not condition():
        assert time.time() < deadline, "nothing happened"
        time.sleep(0.02)


def is_running(pid):
    """Whether the process is there and not a zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().split(") ")[1][0] != "Z"
    except FileNotFoundError:
        return False


def test_an_array_runs_every_job_with_its_own_log(tmp_path):
    script = 'echo "job JOB of $OMP_NUM_THREADS thread: $1"; echo problem >&2'
    command = ["JOB=2:4", "log/deep/x.JOB.log", "bash", "-c", script, "_", "a b * $HOME JOB"]
    done = run([*JOB, "--max-jobs-run", "2", "--mem", "8G", *command], tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    logs = sorted((tmp_path / "log" / "deep").iterdir())
    assert [log.name for log in logs] == ["x.2.log", "x.3.log", "x.4.log"]
    lines = logs[1].read_text().splitlines()
    assert lines[0].startswith("# bash -c ") and "job 3 of" in lines[0]
    assert lines[1].startswith("# Started at ")
    assert lines[3:5] == ["job 3 of 1 thread: a b * $HOME 3", "problem"]
    assert lines[-1].startswith("# Ended (code 0) at ")


def test_at_most_max_jobs_run_at_the_same_time(tmp_path):
    script = "mkdir running.JOB; set -- running.*; echo $#; sleep 0.3; rmdir running.JOB"
    command = ["JOB=1:5", "x.JOB.log", "bash", "-c", script]
    assert run([*JOB, "--max_jobs_run", "2", *command], tmp_path).returncode == 0
    counts = [int((tmp_path / f"x.{n}.log").read_text().splitlines()[3]) for n in range(1, 6)]
    assert max(counts) == 2


def test_a_failed_job_stops_the_others_and_shows_the_end_of_its_log(tmp_path):
    script = "[ JOB -eq 2 ] || { sleep 30; touch late.JOB; }; seq 100; exit 7"
    start = time.time()
    command = ["JOB=1:3", "x.JOB.log", "bash", "-c", script]
    done = run([*JOB, "--max_jobs_run", "2", *command], tmp_path)
    assert done.returncode == 1 and time.time() - start < 20
    lines = done.stderr.splitlines()
    assert lines[-1] == "job.py: a job failed (status 7); its log is x.2.log"
    assert "100" in lines and "50" not in lines
    assert "# Ended (code -15)" in (tmp_path / "x.1.log").read_text()
    assert not (tmp_path / "x.3.log").exists()


def test_a_single_job_is_shown_while_it_runs_and_keeps_its_threads(tmp_path):
    script = "echo one $OMP_NUM_THREADS; until [ -e seen ]; do sleep 0.02; done; echo two"
    process = subprocess.Popen(
        [*JOB, "log/x.log", "bash", "-c", script],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "3"},
    )
    assert process.stdout.readline() == "one 3\n"
    (tmp_path / "seen").touch()
    assert process.stdout.read() == "two\n"
    assert process.wait() == 0
    assert "one 3\ntwo\n" in (tmp_path / "log" / "x.log").read_text()


@pytest.mark.parametrize("ending", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_the_jobs_end_with_the_runner(tmp_path, ending):
    script = "echo $$ >pid.JOB; exec sleep 60"
    process = subprocess.Popen(
        [*JOB, "--max-jobs-run", "2", "JOB=1:2", "x.JOB.log", "bash", "-c", script],
        cwd=tmp_path,
        stderr=subprocess.PIPE,
        # in a shell's background job SIGINT is ignored, and children inherit that
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    files = [tmp_path / "pid.1", tmp_path / "pid.2"]
    wait_for(lambda: all(f.exists() and f.read_text().strip() for f in files))
    pids = [int(f.read_text()) for f in files]
    assert all(is_running(pid) for pid in pids)
    process.send_signal(ending)
    code = process.wait(timeout=20)
    assert code == (-9 if ending == signal.SIGKILL else 128 + ending)
    wait_for(lambda: not any(is_running(pid) for pid in pids))


def test_the_jobs_end_when_the_recipe_is_killed(tmp_path):
    (tmp_path / "run.sh").write_text(
        f'"{JOB[0]}" "{JOB[1]}" x.log bash -c \'echo $$ >pid; exec sleep 60\'\necho done\n'
    )
    recipe = subprocess.Popen(["bash", "run.sh"], cwd=tmp_path)
    wait_for(lambda: (tmp_path / "pid").exists() and (tmp_path / "pid").read_text().strip())
    pid = int((tmp_path / "pid").read_text())
    recipe.kill()
    recipe.wait()
    wait_for(lambda: not is_running(pid))


def test_gpus_are_shared_out(tmp_path):
    script = "sleep 0.1; echo gpus $CUDA_VISIBLE_DEVICES"
    command = ["--gpu", "2", "JOB=1:4", "x.JOB.log", "bash", "-c", script]
    done = run([*JOB, *command], tmp_path, CUDA_VISIBLE_DEVICES="0,1,2,3,4")
    assert done.returncode == 0, done.stderr
    lines = [(tmp_path / f"x.{n}.log").read_text().splitlines()[3] for n in range(1, 5)]
    assert set(lines) == {"gpus 0,1", "gpus 2,3"}
    done = run([*JOB, *command], tmp_path, CUDA_VISIBLE_DEVICES="")
    assert (done.returncode, "0 are visible here" in done.stderr) == (2, True)


@pytest.mark.parametrize(
    "words, message",
    [
        (["--max_job", "3", "x.log", "true"], "no such option '--max_job'"),
        (["--gpu", "x", "x.log", "true"], "--gpu should be a number, got 'x'"),
        (["--gpu"], "option '--gpu' needs a value"),
        (["JOB=0:3", "x.JOB.log", "true"], "'JOB=0:3' should be a range such as JOB=1:8"),
        (["JOB=3", "x.log"], "a log file and a command are needed"),
        (["JOB=1:2", "x.log", "true"], "the log file 'x.log' needs JOB in its name"),
    ],
)
def test_wrong_usage_is_named(tmp_path, words, message):
    done = run([*JOB, *words], tmp_path)
    assert done.returncode == 2 and done.stderr.startswith(f"job.py: {message}")
    assert list(tmp_path.iterdir()) == []


def test_a_command_that_does_not_exist_fails_as_a_job(tmp_path):
    done = run([*JOB, "x.log", "no-such-command"], tmp_path)
    assert done.returncode == 1 and "x.log" in done.stderr
    assert "no-such-command: No such file or directory" in (tmp_path / "x.log").read_text()


FAKE_SBATCH = """#!/bin/bash
# Like sbatch --wait --parsable: print an id, run every task of the array, fail if one fails.
printf '%s\\n' "$@" >sbatch.arguments
echo 42
cat >script.sh
for word in "$@"; do
    case $word in --array=*) range=${word#--array=}; range=${range%%%*} ;; esac
done
code=0
if [ -z "${range:-}" ]; then bash script.sh || code=1; else
    for task in $(seq ${range/-/ }); do SLURM_ARRAY_TASK_ID=$task bash script.sh || code=1; done
fi
exit $code
"""


@pytest.fixture
def with_sbatch(tmp_path):
    """A PATH on which sbatch is a stand-in that runs the tasks one after the other."""
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "sbatch").write_text(FAKE_SBATCH)
    (tmp_path / "bin" / "sbatch").chmod(0o755)
    return f"{tmp_path}/bin:{os.environ['PATH']}"


def test_slurm_submits_one_array_and_waits(tmp_path, with_sbatch):
    options = ["--gpu", "2", "--mem", "8G", "--max_jobs_run", "3", "--num_threads", "4"]
    command = ["JOB=1:3", "log/x.JOB.log", "bash", "-c", "echo task JOB $OMP_NUM_THREADS '$1'"]
    done = run([*SLURM, *options, "--partition", "p", *command], tmp_path, PATH=with_sbatch)
    assert done.returncode == 0, done.stderr
    assert done.stdout == "slurm.py: job 42: log/x.JOB.log\n"
    for task in (1, 2, 3):
        assert f"\ntask {task} 4 $1\n" in (tmp_path / "log" / f"x.{task}.log").read_text()
    arguments = (tmp_path / "sbatch.arguments").read_text().split()
    expected = {"--wait", "--array=1-3%3", "--gres=gpu:2", "--mem=8G", "--cpus-per-task=4"}
    assert expected | {"--partition=p", "--job-name=x"} <= set(arguments)


def test_slurm_finds_the_runner_in_a_folder_with_spaces(tmp_path, with_sbatch):
    shutil.copytree(UTILS, tmp_path / "my utils")
    command = [sys.executable, str(tmp_path / "my utils/slurm.py"), "x.log", "echo", "a  b"]
    done = run(command, tmp_path, PATH=with_sbatch)
    assert done.returncode == 0, done.stderr
    assert "\na  b\n" in (tmp_path / "x.log").read_text()


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ("", "job.py|job.py"),
        (
            'cmd_backend=slurm slurm_opts="--partition p"',
            "slurm.py --mem 8G --partition p|slurm.py --mem 64G --num_threads 8 --partition p",
        ),
    ],
)
def test_recipes_choose_their_commands(variables, expected):
    for path in UTILS.parent.glob("egs/*/cmd.sh"):
        script = f'{variables}\n. "{path}"\necho ${{train_cmd}}"|"${{cuda_cmd}}'
        done = run(["bash", "-euc", script], path.parent, PATH=f"{UTILS}:{os.environ['PATH']}")
        assert done.stdout.strip() == expected, done.stderr


def test_slurm_fails_where_a_task_failed(tmp_path, with_sbatch):
    command = ["JOB=1:3", "x.JOB.log", "bash", "-c", "echo oops; exit $((JOB == 2))"]
    done = run([*SLURM, *command], tmp_path, PATH=with_sbatch)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith("slurm.py: a job failed (1 of 3, Slurm job 42)")
    assert "oops" in done.stderr and "x.2.log" in done.stderr


def test_slurm_does_not_take_an_old_log_for_success(tmp_path, with_sbatch):
    command = ["x.log", "bash", "-c", "echo hello; exit 3"]
    (tmp_path / "x.log").write_text("#\n# Ended (code 0) at some other time\n")
    done = run([*SLURM, *command], tmp_path, PATH=with_sbatch)
    assert done.returncode == 1 and "hello" in done.stdout


def test_slurm_says_where_there_is_none(tmp_path):
    (tmp_path / "bin").mkdir()
    done = run([*SLURM, "x.log", "true"], tmp_path, PATH=f"{tmp_path}/bin")
    assert done.returncode == 1
    assert (
        done.stderr.strip() == "slurm.py: there is no sbatch here; set cmd_backend=local in cmd.sh"
    )
