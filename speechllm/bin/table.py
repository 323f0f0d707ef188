"""A table of a paper: the commands that make its rows, and the table of the finished ones.

python -m speechllm.bin.table plan --spec conf/mini/tables/3.yaml --preset mini --tag mini
python -m speechllm.bin.table write --spec conf/mini/tables/3.yaml --preset mini --tag mini
"""

import argparse
from pathlib import Path

from speechllm.bin import cli


def get_parser():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("action", choices=("plan", "write"))
    parser.add_argument("--spec", type=Path, required=True, help="conf/<preset>/tables/<N>.yaml")
    parser.add_argument("--preset", required=True, help="of the runs")
    parser.add_argument("--tag", required=True, help="of the run whose data and models rows share")
    parser.add_argument("--corpora", default="", help="as for run.sh, for rows with their own data")
    parser.add_argument("--langs", default="", help="languages of monolingual rows")
    parser.add_argument("--llm", default="", help="LLM of rows that name none")
    parser.add_argument("--row", default="", help="plan this row only")
    parser.add_argument("--exp", type=Path, default=Path("exp"), help="folder of the experiments")
    parser.add_argument("--more", default="", help='further options of every run: "--ngpu 8"')
    return parser


def main(argv=None):
    args = get_parser().parse_args(argv)
    import shlex

    from speechllm.score import tables

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
    if args.action == "plan":
        shared, rows = tables.plan(spec, runs, args.row)
        print(f"{tables.as_shell(shared)}\n{tables.as_shell(rows)}", end="")
        return
    import json

    from speechllm.analysis.curves import plot_table
    from speechllm.score.results import replace_text
    from speechllm.score.table import UNITS

    rows = tables.collect(spec, runs, args.exp)
    out = args.exp / args.tag / "tables"
    out.mkdir(parents=True, exist_ok=True)
    text = tables.markdown(spec, runs.number, rows)
    replace_text(out / f"{runs.number}.csv", tables.as_csv(rows))
    replace_text(out / f"{runs.number}.json", json.dumps(rows, indent=1, ensure_ascii=False))
    replace_text(out / f"{runs.number}.md", text)
    if averages := [row for row in rows if row["lang"] == "avg"]:
        unit = UNITS[spec.metric]
        plot_table(averages, spec.title, spec.axis, out / f"{runs.number}.png", unit)
    print(text)


if __name__ == "__main__":
    cli.run(main)
