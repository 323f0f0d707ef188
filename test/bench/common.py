"""What all benchmarks share: two sides timed in turns, rows of results, peers that may be missing."""

import argparse
import json
import os
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from importlib import metadata
from multiprocessing import get_context
from pathlib import Path

import numpy as np

from speechllm.score.environment import git_commit, machine

BENCH_DIR = Path(__file__).resolve().parent
ROOT = BENCH_DIR.parents[1]
OURS = "ours"
INSTALL = "run tools/install.sh --bench"


@dataclass(frozen=True)
class Row:
    """One comparison; a ratio above 1 means that ours is better.

    bench: see the list in run.sh
    low, high: between them lie 95 % of the ratios of single rounds
    equal: both sides were shown to compute the same before they were timed
    note: what was shown, the sizes, and how fast both sides were in this run
    """

    bench: str
    peer: str
    ratio: float
    low: float
    high: float
    equal: bool
    versions: str
    commit: str
    note: str


def is_installed(bench: str, package: str) -> bool:
    """Whether a peer is there; if not, a line says so."""
    try:
        metadata.version(package)
    except metadata.PackageNotFoundError:
        print(f"{bench}: {package} is not installed, so there is no row for it; {INSTALL}")
        return False
    return True


def in_turns(
    sides: dict[str, Callable], rounds: int, min_seconds: float | None = 0.0
) -> dict[str, list[float]]:
    """Seconds per call of every side, once per round, the sides taking turns: A B A B.

    Args:
        min_seconds: a side that is quicker is called several times in each turn, which an untimed call finds out; None
            leaves that out, for long work of which the sides have done most before.
    """
    calls = dict.fromkeys(sides, 1)
    for name, run in sides.items() if min_seconds is not None else ():
        took = seconds_of(run, 1)
        if took < min_seconds:
            took = max(seconds_of(run, 1), 1e-6)  # the first call also had to prepare things
        calls[name] = max(1, round(min_seconds / took))
    seconds = {name: [] for name in sides}
    for _ in range(rounds):
        for name, run in sides.items():
            seconds[name].append(seconds_of(run, calls[name]))
    return seconds


def seconds_of(run: Callable, calls: int) -> float:
    start = time.perf_counter()
    for _ in range(calls):
        run()
    return (time.perf_counter() - start) / calls


def make_row(
    bench: str,
    peer: str,
    ours: list[float],
    theirs: list[float],
    equal: bool,
    packages: tuple[str, ...],
    note: str,
) -> Row:
    """A row from the costs (seconds, bytes) of both sides, round by round.

    Args:
        packages: distributions whose versions belong to the row.
    """
    ratios = np.array(theirs) / np.array(ours)
    low, high = np.percentile(ratios, [2.5, 97.5])
    versions = ", ".join(f"{name} {metadata.version(name)}" for name in packages)
    ratio = float(np.median(ratios))
    return Row(
        bench, peer, ratio, float(low), float(high), bool(equal), versions, git_commit(ROOT), note
    )


def memory(field: str) -> float:
    """MB of this process as the system counts them: VmRSS now, VmHWM at most so far."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(f"{field}:"):
            return int(line.split()[1]) * 1024 / 1e6
    raise OSError(f"/proc/self/status has no {field}")


def in_child(measure: Callable, *args):
    """What a function returns in a fork of this process, which must not have started threads yet."""
    context = get_context("fork")
    results = context.SimpleQueue()
    child = context.Process(target=lambda: results.put(measure(*args)))
    child.start()
    child.join()
    if child.exitcode != 0:
        raise RuntimeError(
            f"{measure.__name__} ended with exit status {child.exitcode}; too little memory?"
        )
    return results.get()


def largest_difference(a, b) -> float:
    """Greatest absolute difference of two arrays or tensors; infinite where the shapes differ."""
    a, b = (np.asarray(x.detach() if hasattr(x, "detach") else x) for x in (a, b))
    return float(np.abs(a - b).max()) if a.shape == b.shape else float("inf")


def write_results(folder: Path, rows: list[Row], names: set[str]):
    """Put the rows of some benchmarks in the place of their earlier ones, and write the table anew."""
    path = folder / "results.json"
    kept = json.loads(path.read_text(encoding="utf-8")) if path.exists() else []
    kept = [row for row in kept if row["bench"] not in names] + [asdict(row) for row in rows]
    lines = [
        "# Benchmarks",
        "",
        f"Made by `test/bench/run.sh` on {machine()}. A ratio above 1 means that ours is better;",
        "behind it the range of 95 % of the rounds, in which both sides take turns.",
        "",
        "| bench | against | ratio | range | equal | what was compared | versions | commit |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for row in kept:
        values = (
            row["bench"],
            row["peer"],
            f"{row['ratio']:.2f}",
            f"{row['low']:.2f} to {row['high']:.2f}",
            "yes" if row["equal"] else "NO",
            row["note"],
            row["versions"],
            row["commit"],
        )
        lines.append(f"| {' | '.join(values)} |")
    replace(folder / "RESULTS.md", "\n".join(lines) + "\n")
    replace(path, json.dumps(kept, indent=1) + "\n")


def replace(path: Path, text: str):
    path.with_suffix(".tmp").write_text(text, encoding="utf-8")
    os.replace(path.with_suffix(".tmp"), path)


def main(bench: Callable[[Path, bool], list[Row]], names: set[str]):
    """Run a benchmark from the command line.

    Args:
        bench: from the folder of the corpus and whether to be small, to rows.
        names: benchmarks that the rows can belong to.
    """
    parser = argparse.ArgumentParser(description="One benchmark; run.sh runs all of them.")
    parser.add_argument("--corpus", type=Path, default=ROOT / "egs/mls/data/bench")
    parser.add_argument("--small", action="store_true", help="tiny sizes; nothing is written")
    args = parser.parse_args()
    rows = bench(args.corpus, args.small)
    for row in rows:
        equal = "equal" if row.equal else "NOT EQUAL"
        ratio = f"{row.ratio:.2f} ({row.low:.2f} to {row.high:.2f})"
        print(f"{row.bench} against {row.peer}: {ratio}, {equal}; {row.note}", flush=True)
    if not args.small:
        write_results(BENCH_DIR, rows, names)
    if not all(row.equal for row in rows):
        raise SystemExit(1)
