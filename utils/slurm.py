#!/usr/bin/env python
"""Run a job or an array of jobs through Slurm and wait for them; called as job.py is.

usage: slurm.py [options] [JOB=1:N] <log-file> <command> [argument ...]
  --max_jobs_run N, --num_threads N, --gpu N, --mem 8G, --time 1:00:00, --partition NAME,
  --account NAME, --qos NAME, --constraint NAME   become sbatch's own options

Every machine of the cluster has to see this folder. A single job's log is shown on the console as
it grows. sbatch also reads its own variables, such as SBATCH_PARTITION.
"""

from __future__ import annotations

import shlex
import subprocess
import sys
import time
from pathlib import Path

import job

PASSED_ON = ("mem", "time", "partition", "account", "qos", "constraint")
POLL_SECONDS = 1.0
LATE_SECONDS = 30  # how long a shared file system may hide the end of a log


def batch_script(request: job.Request) -> str:
    """The script that every task of the array runs: job.py with the task's number."""
    array = [f"{request.name}={request.first}:{request.last}"] if request.is_array else []
    threads = request.options.get("num_threads", "1")
    words = ["--num_threads", threads, *array, request.log, *request.command]
    task = '--task "${SLURM_ARRAY_TASK_ID}" ' if request.is_array else ""
    runner = [sys.executable, str(Path(job.__file__).resolve())]
    return f"#!/bin/bash\nexec {shlex.join(runner)} {task}{shlex.join(words)}\n"


def sbatch_command(request: job.Request) -> list[str]:
    """The command line of sbatch, which waits for all tasks and first prints the id."""
    spool = Path(request.log).parent / "q"
    spool.mkdir(parents=True, exist_ok=True)
    options = request.options
    command = [
        "sbatch",
        "--wait",
        "--parsable",
        "--export=ALL",
        f"--output={spool}/slurm-%A_%a.out",
    ]
    command += [f"--job-name={Path(request.log).name.split('.')[0]}"]
    command += [f"--cpus-per-task={options.get('num_threads', '1')}"]
    if request.is_array:
        limit = f"%{options['max_jobs_run']}" if "max_jobs_run" in options else ""
        command += [f"--array={request.first}-{request.last}{limit}"]
    if request.number_option("gpu"):
        command += [f"--gres=gpu:{options['gpu']}"]
    return command + [f"--{name}={options[name]}" for name in PASSED_ON if name in options]


def ended_well(log: Path) -> bool:
    return log.exists() and "\n# Ended (code 0) at " in log.read_text("utf-8", errors="replace")


def run_slurm(request: job.Request) -> int:
    """Submit, wait and read the end of every log; the exit status is 0 if all tasks succeeded."""
    logs = [request.log_of(number) for number in request.numbers()]
    for log in logs:
        log.parent.mkdir(parents=True, exist_ok=True)
        log.unlink(missing_ok=True)  # an older log says nothing about this run
    sbatch = subprocess.Popen(
        sbatch_command(request), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    job_id = ""

    def cancel(signum, frame):
        sbatch.terminate()
        if job_id:
            subprocess.run(["scancel", job_id], check=False)
        sys.exit(128 + signum)

    job.on_signals(cancel)
    sbatch.stdin.write(batch_script(request))
    sbatch.stdin.close()
    job_id = sbatch.stdout.readline().strip().split(";")[0]
    if not job_id:
        print("slurm.py: sbatch took no job; the line above says why", file=sys.stderr)
        return sbatch.wait() or 1
    print(f"slurm.py: job {job_id}: {request.log}", flush=True)
    console = None if request.is_array else job.Follower(logs[0])
    while True:
        code = sbatch.poll()
        if console and logs[0].exists():
            console.show()
        if code is not None:
            break
        time.sleep(POLL_SECONDS)
    deadline = time.time() + (LATE_SECONDS if code == 0 else POLL_SECONDS)
    while (bad := [log for log in logs if not ended_well(log)]) and time.time() < deadline:
        time.sleep(POLL_SECONDS)
    if bad:
        job.report(
            bad[0], f"{len(bad)} of {len(logs)}, Slurm job {job_id}", show_tail=console is None
        )
        return 1
    return code


def main(argv: list[str]) -> int:
    if not argv or argv[0] in ("-h", "--help"):
        print(__doc__)
        return 0
    try:
        return run_slurm(job.parse(argv, known=(*job.OPTIONS, *PASSED_ON)))
    except job.UsageError as error:
        print(f"slurm.py: {error}; see slurm.py --help", file=sys.stderr)
        return 2
    except FileNotFoundError:
        print("slurm.py: there is no sbatch here; set cmd_backend=local in cmd.sh", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
