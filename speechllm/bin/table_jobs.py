"""The calls of run.sh that make the rows of a table: what they are, and running several of them at a time.

A part of bin/table.
"""

import os
import shlex
import signal
import subprocess
import time
from dataclasses import dataclass, replace
from pathlib import Path

from speechllm.errors import UserError
from speechllm.score.tables import Runs, TableRow, TableSpec, monolingual_tag

ALIGNMENT_ALONE = ["--analysis_opts", "--listen_utts 0 --robust_utts 0 --num_plots 1"]
POLL = 0.2  # seconds


@dataclass(frozen=True)
class Job:
    """Calls of run.sh, each as its options, that run one after the other.

    Args:
        name: a row's, or that of one of several jobs that make it, or of what rows share.
        needs: names of the jobs that come before it.
    """

    name: str
    calls: list[list[str]]
    needs: tuple[str, ...] = ()

    @property
    def command(self) -> str:
        """What a shell runs in the recipe's folder."""
        return " && ".join(shlex.join(["./run.sh", *call]) for call in self.calls)


def plan(spec: TableSpec, runs: Runs, only: str = "") -> tuple[list[Job], list[Job]]:
    """What several rows may need, and the rows themselves, which name what they need of it.

    Args:
        only: name of the one row that is wanted.

    Raises:
        UserError: the table has no such row.
    """
    wanted = {row.run or row.name for row in spec.rows if only in ("", row.name)}
    if not wanted:
        names = " ".join(row.name for row in spec.rows)
        raise UserError(f"table {runs.number} has no row {only!r}; it has {names}")
    rows = [row for row in spec.rows if row.name in wanted]
    shared = [job for row in rows for job in models_of(row, spec, runs)]
    shared = list({job.name: job for job in shared}.values())
    return shared, [
        replace(job, needs=tuple(model.name for model in models_of(row, spec, runs)))
        for row in rows
        for job in jobs_of(row, spec, runs)
    ]


def models_of(row: TableRow, spec: TableSpec, runs: Runs) -> list[Job]:
    """Jobs that pretrain the encoder and the small LLM of a row, if it has others than the preset."""
    jobs, common = [], shared_data(runs)
    if row.llm in spec.llms:
        options = ["--tag", runs.tag_of("llms", row.llm), "--mini_llm_opts", spec.llms[row.llm]]
        options = [*common, *options, "--stage", "3", "--stop_stage", "3"]
        jobs.append(Job(f"llms/{row.llm}", [options]))
    if row.encoder:
        if row.encoder not in spec.encoders:
            raise UserError(f"row {row.name}: the table has no encoder {row.encoder!r}")
        options = ["--tag", runs.tag_of("encoders", row.encoder), "--llm", runs.llm]
        options += ["--ctc_opts", spec.encoders[row.encoder], "--stage", "3", "--stop_stage", "4"]
        jobs.append(Job(f"encoders/{row.encoder}", [[*common, *options]]))
    return jobs


def jobs_of(row: TableRow, spec: TableSpec, runs: Runs) -> list[Job]:
    """Jobs that make a row, once there are the models that it shares with others."""
    if row.is_preset:
        return [Job(row.name, [preset_analysis(runs)])] if spec.alignment else []
    tag, ctc, llm = runs.tag_of(runs.number, row.name), f"exp/{runs.tag}/ctc", row.llm or runs.llm
    if row.monolingual:
        jobs = []
        for lang in runs.langs:
            own = own_data(runs, [lang], monolingual_tag(row, lang, runs), llm)
            train = [*own, "--stage", "1", "--stop_stage", "4"]
            score = [*own, "--stage", "6", "--stop_stage", "7"]
            jobs.append(Job(f"{row.name}_{lang}", [train, score]))
        return jobs
    if row.subset:
        options = ["--subset", row.subset, "--llm_opts", row.llm_opts]
        own = own_data(runs, runs.langs, tag, llm)
        return [Job(row.name, [[*own, *options, "--stage", "1", "--stop_stage", "7"]])]
    if row.lm:
        options = ["--tag", tag, "--ctc", ctc, "--llm", llm, "--lm", runs.corpora or "train"]
        options = [*shared_data(runs), *options, "--stage", "6", "--stop_stage", "7"]
        return [Job(row.name, [options])]
    if row.llm in spec.llms:
        llm = f"exp/{runs.tag_of('llms', row.llm)}/base_llm"
    if row.encoder:
        ctc = f"exp/{runs.tag_of('encoders', row.encoder)}/ctc"
    options = ["--tag", tag, "--ctc", ctc, "--llm", llm, "--llm_opts", row.llm_opts]
    options += [*shlex.split(row.opts), "--stage", "5"]
    options += ["--stop_stage", "8", *ALIGNMENT_ALONE] if spec.alignment else ["--stop_stage", "7"]
    return [Job(row.name, [[*shared_data(runs), *options]])]


def shared_data(runs: Runs) -> list[str]:
    """Options of a run on the data of the preset's own."""
    return ["--preset", runs.preset, "--data", f"data/{runs.tag}", *runs.more]


def preset_analysis(runs: Runs) -> list[str]:
    """Options that analyse the preset's own run."""
    options = own_data(runs, runs.langs, runs.tag, "")
    return [*options, "--stage", "8", "--stop_stage", "8"]


def own_data(runs: Runs, langs: list[str], tag: str, llm: str) -> list[str]:
    """Options of a run that prepares its own data of the same corpora."""
    options = ["--preset", runs.preset, *runs.more, "--corpora", runs.corpora]
    return [*options, "--langs", " ".join(langs), "--tag", tag, "--llm", llm]


def run_jobs(jobs: list[Job], num_parallel: int, log_dir: Path, num_threads: int) -> list[str]:
    """Run jobs in the current folder, several at a time, each with a log of its own; names of those that failed.

    One that others need starts before those that come after it, and as long as it runs there is other work. When one
    fails, the others go on, but for those that need it. Where this is interrupted they are stopped.

    Args:
        num_threads: of the CPU, which the jobs share.
    """
    if not jobs:
        return []
    log_dir.mkdir(parents=True, exist_ok=True)
    own = max(1, num_threads // min(num_parallel, len(jobs)))
    env = os.environ | {"OMP_NUM_THREADS": str(own)}
    waiting, running, failed = list(jobs), [], []
    try:
        while waiting or running:
            for job in [job for job in waiting if not set(job.needs).isdisjoint(failed)]:
                say(f"{job.name}: left out, as it needs {' '.join(job.needs)}")
                waiting.remove(job)
                failed.append(job.name)
            unfinished = {job.name for job in (*waiting, *running)}
            ready = [job for job in waiting if unfinished.isdisjoint(job.needs)]
            for job in ready[: num_parallel - len(running)]:
                waiting.remove(job)
                running.append(RunningJob(job, log_dir, env))
            time.sleep(POLL)
            for job in [job for job in running if job.has_ended()]:
                running.remove(job)
                failed += [job.name] if job.process.returncode else []
    finally:
        for job in running:
            job.stop()
    return failed


class RunningJob:
    """A job in a process group of its own, whose output goes to ``<log_dir>/<name>.log``."""

    def __init__(self, job: Job, log_dir: Path, env: dict[str, str]):
        self.name, self.log = job.name, log_dir / f"{job.name.replace('/', '_')}.log"
        self.start = time.monotonic()
        say(f"{job.name}: log in {self.log}")
        with open(self.log, "wb") as log:
            self.process = subprocess.Popen(
                ["bash", "-c", job.command],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=env,
                start_new_session=True,
            )

    def has_ended(self) -> bool:
        """Whether it has; once it has, a line says how."""
        if self.process.poll() is None:
            return False
        took = time.monotonic() - self.start
        if self.process.returncode:
            lines = self.log.read_text(errors="replace").splitlines() or [""]
            say(f"{self.name}: failed: {lines[-1]}")
        else:
            say(f"{self.name}: done in {took:.0f} s")
        return True

    def stop(self):
        os.killpg(self.process.pid, signal.SIGTERM)
        self.process.wait()


def say(line: str):
    print(time.strftime("%Y-%m-%d %H:%M:%S"), line, flush=True)
