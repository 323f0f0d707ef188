"""A table of a paper: makes its rows by calls of run.sh in the recipe's folder, and writes those that are finished.

The spec lists the rows; its "note" stands below them in the written table, and beside each figure in the JSON.

python -m speechllm.bin.table plan --spec conf/mini/tables/3.yaml --preset mini --tag mini
python -m speechllm.bin.table run --spec conf/mini/tables/3.yaml --preset mini --tag mini --nj 2
"""

import argparse
from pathlib import Path

from speechllm.bin import cli


def get_parser():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "action",
        choices=("plan", "run", "write"),
        help="show the calls; make them and write the table; write the table of what is there",
    )
    parser.add_argument("--spec", type=Path, required=True, help="conf/<preset>/tables/<N>.yaml")
    parser.add_argument("--preset", required=True, help="of the runs")
    parser.add_argument("--tag", required=True, help="of the run whose data and models rows share")
    parser.add_argument("--corpora", default="", help="as for run.sh, for rows with their own data")
    parser.add_argument("--langs", default="", help="languages of monolingual rows")
    parser.add_argument("--llm", default="", help="LLM of rows that name none")
    parser.add_argument("--row", default="", help="this row only")
    parser.add_argument("--exp", type=Path, default=Path("exp"), help="folder of the experiments")
    parser.add_argument("--nj", type=int, default=1, help="rows that are made at a time (1)")
    parser.add_argument("--more", default="", help='further options of every run: "--ngpu 8"')
    return parser


def write(spec, runs, exp: Path):
    """Write the table of the rows that are finished, and print it."""
    import json

    from speechllm.analysis.curves import plot_table
    from speechllm.score import tables
    from speechllm.score.results import replace_text
    from speechllm.score.table import UNITS

    rows = tables.collect(spec, runs, exp)
    out = exp / runs.tag / "tables"
    out.mkdir(parents=True, exist_ok=True)
    text = tables.markdown(spec, runs.number, rows)
    replace_text(out / f"{runs.number}.csv", tables.as_csv(rows))
    replace_text(out / f"{runs.number}.json", json.dumps(rows, indent=1, ensure_ascii=False))
    replace_text(out / f"{runs.number}.md", text)
    averages = [row for row in rows if row["lang"] == "avg" and row["value"] is not None]
    if averages:
        plot_table(averages, spec.title, spec.axis, out / f"{runs.number}.png", UNITS[spec.metric])
    print(text)


def main(argv=None):
    args = get_parser().parse_args(argv)
    import os
    import shlex
    import signal

    from speechllm.bin.table_jobs import plan, run_jobs
    from speechllm.errors import UserError
    from speechllm.score import tables

    if args.nj < 1:
        raise UserError(f"--nj: {args.nj} should be at least 1")
    spec = tables.read_spec(args.spec)
    runs = tables.Runs(
        args.spec.stem,
        args.preset,
        args.tag,
        args.corpora,
        args.langs.split(),
        args.llm or f"exp/{args.tag}/base_llm",
        shlex.split(args.more),
    )
    tables.check_preset_run(runs, args.exp)
    shared, rows = plan(spec, runs, args.row)
    jobs = [*shared, *rows]
    if args.action == "plan":
        for job in jobs:
            print(f"{job.name}: {job.command}")
        return
    failed = []
    if args.action == "run":
        signal.signal(signal.SIGTERM, signal.default_int_handler)  # the jobs are stopped then too
        threads = int(os.environ.get("OMP_NUM_THREADS") or os.cpu_count())
        logs = args.exp / args.tag / "tables/log" / runs.number
        failed = run_jobs(jobs, args.nj, logs, threads)
    write(spec, runs, args.exp)
    if failed:
        raise UserError(f"table {runs.number}: these rows have failed: {' '.join(failed)}")


if __name__ == "__main__":
    cli.run(main)
