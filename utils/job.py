#!/usr/bin/env python
"""Run a job or an array of jobs on this machine, each with its own log, as Kaldi's run.pl does.

usage: job.py [options] [JOB=1:N] <log-file> <command> [argument ...]
  --max_jobs_run N   jobs at the same time (one per core; with --gpu: as GPUs allow)
  --num_threads N    cores of each job, for its OMP_NUM_THREADS (1 in an array)
  --gpu N            GPUs of each job of an array; a single job sees all there are (0)
  --task N           run only job N of the array, as slurm.py does on each machine
  --mem 8G, --time 1:00:00   are for clusters and change nothing here

  job.py JOB=1:8 exp/log/fbank.JOB.log python -m speechllm.bin.extract_fbank --part JOB ...

JOB in the log's name and in the arguments becomes the number of the job. What a single job prints
is shown on the console too. The first job that fails stops the others; the end of its log is shown
and the exit status is 1.
"""

from __future__ import annotations

import ctypes
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

OPTIONS = ("max_jobs_run", "num_threads", "gpu", "task", "mem", "time")
POLL_SECONDS = 0.1
GRACE_SECONDS = 5  # between asking a job to end and killing it
PROGRESS_SECONDS = 10  # between two lines that say how many jobs are done
TAIL_LINES = 20


class UsageError(Exception):
    """A command line that this runner does not understand."""


@dataclass
class Request:
    """What was asked for: numbers of the jobs (none for a single job), log, command, options."""

    name: str  # of the variable, nearly always JOB
    first: int | None
    last: int
    log: str
    command: list[str]
    options: dict[str, str] = field(default_factory=dict)

    @property
    def is_array(self):
        return self.first is not None

    def numbers(self) -> list[int]:
        return list(range(self.first, self.last + 1)) if self.is_array else [1]

    def number_option(self, name: str, default: int = 0) -> int:
        return int(self.options.get(name, default))

    def log_of(self, number: int) -> Path:
        return Path(self.log.replace(self.name, str(number)) if self.is_array else self.log)

    def command_of(self, number: int) -> list[str]:
        if not self.is_array:
            return self.command
        return [word.replace(self.name, str(number)) for word in self.command]


def parse(argv: list[str], known: tuple[str, ...] = OPTIONS) -> Request:
    """Read a command line in Kaldi's convention; dashes in option names may be underscores.

    Raises:
        UsageError: an unknown option, a missing word, a wrong range, a log shared by all jobs.
    """
    words, options = list(argv), {}
    while words and words[0].startswith("-"):
        flag = words.pop(0)
        name = flag.lstrip("-").replace("-", "_")
        if name not in known:
            raise UsageError(f"no such option '{flag}'")
        if not words:
            raise UsageError(f"option '{flag}' needs a value")
        options[name] = words.pop(0)
    for name in ("max_jobs_run", "num_threads", "gpu", "task"):
        if name in options and not options[name].isdigit():
            raise UsageError(f"--{name} should be a number, got '{options[name]}'")
    name, first, last = "JOB", None, 1
    if words and (array := re.fullmatch(r"([A-Z][A-Z0-9_]*)=(.*)", words[0])):
        numbers = re.fullmatch(r"(\d+)(?::(\d+))?", array[2])
        name, first, last = array[1], 1, 0
        if numbers:
            first, last = int(numbers[1]), int(numbers[2] or numbers[1])
        if not 1 <= first <= last:
            raise UsageError(f"'{words[0]}' should be a range such as JOB=1:8")
        words.pop(0)
    if len(words) < 2:
        raise UsageError("a log file and a command are needed")
    if first is not None and name not in words[0] and last > first:
        raise UsageError(
            f"the log file '{words[0]}' needs {name} in its name, or all jobs would share it"
        )
    return Request(name, first, last, words[0], words[1:], options)


class Follower:
    """Copies to the console what is written to a log, from a byte on."""

    def __init__(self, log: Path, start: int = 0):
        self.log, self.shown = log, start

    def show(self):
        with self.log.open("rb") as log:
            log.seek(self.shown)
            text = log.read()
        self.shown += len(text)
        sys.stdout.buffer.write(text)
        sys.stdout.buffer.flush()


class Job:
    """A running command: its output and a head and foot with times go to the log."""

    def __init__(self, request: Request, number: int, env: dict[str, str]):
        self.number = number
        self.log = request.log_of(number)
        self.log.parent.mkdir(parents=True, exist_ok=True)
        self.start = time.time()
        command = request.command_of(number)
        with self.log.open("wb") as log:
            log.write(f"# {shlex.join(command)}\n# Started at {time.ctime()}\n#\n".encode())
            log.flush()
            self.console = Follower(self.log, log.tell())
            try:
                self.process = subprocess.Popen(
                    command,
                    env={**os.environ, **env},
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,  # the job and what it starts can be ended together
                    preexec_fn=die_with_parent,
                )
            except OSError as error:
                log.write(f"{command[0]}: {error.strerror}\n".encode())
                self.process = None

    def poll(self) -> int | None:
        """The exit status, or None while the job runs."""
        return 127 if self.process is None else self.process.poll()

    def finish(self, code: int):
        seconds = int(time.time() - self.start)
        with self.log.open("ab") as log:
            log.write(f"# Accounting: time={seconds}\n".encode())
            log.write(f"# Ended (code {code}) at {time.ctime()}, ".encode())
            log.write(f"elapsed time {seconds} seconds\n".encode())

    def send(self, signum: int):
        if self.process is not None:
            try:
                os.killpg(self.process.pid, signum)
            except ProcessLookupError:
                pass


def die_with_parent():
    """Have Linux end this process when the one that started it is gone, be it by SIGKILL."""
    try:
        ctypes.CDLL(None).prctl(1, signal.SIGTERM)  # PR_SET_PDEATHSIG
    except (OSError, AttributeError):
        pass


def end_all(jobs: list[Job]):
    """Ask the jobs and all they have started to end, and kill what has not after a few seconds."""
    for job in jobs:
        job.send(signal.SIGTERM)
    deadline = time.time() + GRACE_SECONDS
    while time.time() < deadline and any(job.poll() is None for job in jobs):
        time.sleep(POLL_SECONDS)
    for job in jobs:
        job.send(signal.SIGKILL)
        job.finish(job.process.wait() if job.process else 127)


def visible_gpus() -> list[str]:
    """Ids of the GPUs that jobs may use."""
    if (ids := os.environ.get("CUDA_VISIBLE_DEVICES")) is not None:
        return [gpu for gpu in ids.split(",") if gpu]
    try:
        listing = subprocess.run(["nvidia-smi", "-L"], capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return []
    return [str(i) for i, line in enumerate(listing.stdout.splitlines()) if line.startswith("GPU")]


def plan(request: Request) -> list[dict[str, str]]:
    """Environment variables for each of the jobs that may run at the same time.

    Raises:
        UsageError: more GPUs for a job than this machine has.
    """
    env = {}
    if request.is_array or "num_threads" in request.options:
        env["OMP_NUM_THREADS"] = request.options.get("num_threads", "1")
    if not request.is_array or "task" in request.options:
        return [env]
    gpus_per_job = request.number_option("gpu")
    limit = request.number_option("max_jobs_run")
    if not gpus_per_job:
        return [env] * (limit or len(os.sched_getaffinity(0)))
    gpus = visible_gpus()
    groups = [gpus[i : i + gpus_per_job] for i in range(0, len(gpus), gpus_per_job)]
    slots = [{**env, "CUDA_VISIBLE_DEVICES": ",".join(g)} for g in groups if len(g) == gpus_per_job]
    if not slots:
        raise UsageError(f"a job should get {gpus_per_job} GPUs, but {len(gpus)} are visible here")
    return slots[: limit or None]


def run_local(request: Request) -> int:
    """Run all jobs; the exit status is 0 if every one of them succeeded."""
    waiting, free, running = request.numbers(), plan(request), {}
    if "task" in request.options:
        waiting = [request.number_option("task")]
    on_console = not request.is_array
    num_jobs, said = len(waiting), time.time()
    try:
        while waiting or running:
            while waiting and free:
                env = free.pop(0)
                running[Job(request, waiting.pop(0), env)] = env
            time.sleep(POLL_SECONDS)
            for job in list(running):
                code = job.poll()
                if on_console:
                    job.console.show()
                if code is None:
                    continue
                job.finish(code)
                free.append(running.pop(job))
                if code != 0:
                    report(job.log, f"status {code}", show_tail=not on_console)
                    return 1
            if not on_console and time.time() > said + PROGRESS_SECONDS:
                said = time.time()
                num_done = num_jobs - len(waiting) - len(running)
                print(f"job.py: {num_done} of {num_jobs} jobs are done", flush=True)
                for job in running:
                    print(f"  {job.log.name}: {last_line(job.log)}", flush=True)
        return 0
    finally:
        end_all(list(running))


def last_line(log: Path) -> str:
    """What a job said last."""
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
    said = [line for line in lines if line and not line.startswith("#")]
    return said[-1] if said else "nothing yet"


def report(log: Path, status: str, show_tail: bool):
    """Say which job failed, after the end of its log."""
    if show_tail and log.exists():
        lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
        print("\n".join(lines[-TAIL_LINES:]), file=sys.stderr)
    print(f"{Path(sys.argv[0]).name}: a job failed ({status}); its log is {log}", file=sys.stderr)


def on_signals(handler):
    """Call the handler when asked to end; a signal that is ignored, as under nohup, stays so."""
    for signum in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(signum) != signal.SIG_IGN:
            signal.signal(signum, handler)


def stop(signum, frame):
    sys.exit(128 + signum)


def main(argv: list[str]) -> int:
    if not argv or argv[0] in ("-h", "--help"):
        print(__doc__)
        return 0
    on_signals(stop)
    die_with_parent()
    try:
        return run_local(parse(argv))
    except UsageError as error:
        print(f"job.py: {error}; see job.py --help", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
