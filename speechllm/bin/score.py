"""Score decoded text against a data directory and write results.json and RESULTS.md.

python -m speechllm.bin.score --ref data/mini/test --set test --out exp/mini \
    --hyp ctc=exp/mini/decode/ctc/test llm=exp/mini/decode/llm/test

Each hypothesis folder holds "text" (an utterance id alone is an empty hypothesis) and, if the
decoder wrote it, "utt2status" (ok or max_length). A report of its errors is written into it.
Rows of other systems and sets in results.json are kept: one call per set adds up to one table.
"""

import argparse
import re
import shlex
import sys
from pathlib import Path

from speechllm.bin import cli
from speechllm.errors import UserError


def get_parser():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--ref", type=Path, required=True, help="data directory with text, utt2lang and utt2spk"
    )
    parser.add_argument(
        "--hyp",
        nargs="+",
        required=True,
        metavar="SYSTEM=DIR",
        help="names for the table and their folders",
    )
    parser.add_argument(
        "--text", default="text", help="table of the references, as text.src (default: %(default)s)"
    )
    parser.add_argument("--set", required=True, help="name of the set in the table: dev, test, ...")
    parser.add_argument(
        "--out", type=Path, required=True, help="folder of results.json and RESULTS.md"
    )
    parser.add_argument(
        "--metrics", default="wer,cer", help="of wer, cer, bleu, chrf (default: %(default)s)"
    )
    parser.add_argument(
        "--langs", default="", help="languages to score, in the order of the table (default: all)"
    )
    parser.add_argument(
        "--baseline", help="system to compare the others with (default: ctc, where there is one)"
    )
    parser.add_argument(
        "--tokenize", default="13a", help="sacreBLEU's tokenizer (default: %(default)s)"
    )
    parser.add_argument(
        "--num_samples", type=int, default=1000, help="bootstrap samples (default: %(default)s)"
    )
    parser.add_argument(
        "--commands", type=Path, help="file of the commands that made the hypotheses, one a line"
    )
    parser.add_argument(
        "--published", type=Path, help="table of published results (see read_published) to show too"
    )
    return parser


def main(argv=None):
    args = get_parser().parse_args(argv)

    from speechllm.score import results
    from speechllm.score.degenerate import find_degenerate
    from speechllm.score.environment import git_commit
    from speechllm.score.evaluate import count_rows, score_rows
    from speechllm.score.inputs import read_hypotheses, read_reference, read_statuses
    from speechllm.score.metrics import make_metric
    from speechllm.score.report import error_report
    from speechllm.score.table import render_set

    hyp_dirs = parse_systems(args.hyp)
    if args.baseline and args.baseline not in hyp_dirs:
        raise UserError(f"--baseline {args.baseline}: is none of --hyp ({' '.join(hyp_dirs)})")
    metrics = [make_metric(name, args.tokenize) for name in args.metrics.replace(",", " ").split()]
    if not metrics or args.num_samples < 1:
        raise UserError("--metrics should name one metric or more, --num_samples be 1 or more")
    published = results.read_published(args.published) if args.published else []
    commands = read_commands(args.commands, argv)
    old_rows = results.read_results(args.out / "results.json")
    reference = read_reference(args.ref, args.langs.replace(",", " ").split(), args.text)
    hyps = {system: read_hypotheses(folder, reference) for system, folder in hyp_dirs.items()}
    statuses = {system: read_statuses(folder, reference) for system, folder in hyp_dirs.items()}

    rows = []
    baseline = args.baseline or "ctc"
    for metric in metrics:
        for normalised in (True, False) if metric.is_error else (False,):
            rows += score_rows(reference, hyps, metric, normalised, baseline, args.num_samples)
    for system, texts in hyps.items():
        langs = (
            reference.langs if metrics[0].is_error else [""] * len(texts)
        )  # of translations: one
        kinds = find_degenerate(reference.texts, texts, langs, statuses[system])
        rows += count_rows(reference, texts, system, metrics[0], kinds)
        for metric in metrics:
            if metric.is_error:
                report = error_report(reference, texts, metric, kinds)
                results.replace_text(hyp_dirs[system] / f"{metric.name}.txt", report)

    made_by = {"set": args.set, "commit": git_commit(), "command": commands}
    rows = results.merge(old_rows, [row | made_by for row in rows])
    results.write_results(args.out, rows, published)
    print("\n\n".join(render_set(rows, args.set, published)))
    print(f"\nwrote RESULTS.md and results.json to {args.out}")


def parse_systems(items):
    """["ctc=DIR", ...] to {"ctc": Path("DIR"), ...}."""
    systems = {}
    for item in items:
        system, _, folder = item.partition("=")
        if not re.fullmatch(r"[\w.+-]+", system) or "_vs_" in system or not folder:
            raise UserError(
                f"--hyp {item}: should be SYSTEM=DIR, as in llm=exp/mini/decode/llm/test"
            )
        if system in systems:
            raise UserError(f"--hyp: system {system} a second time; give each folder its own name")
        systems[system] = Path(folder)
    return systems


def read_commands(path, argv, module="score"):
    """The commands of the file, or the one that runs now, as one shell line."""
    if path is None:
        argv = sys.argv[1:] if argv is None else argv
        return f"python -m speechllm.bin.{module} {shlex.join(argv)}"
    if not path.exists():
        raise UserError(f"{path}: no such file; --commands names a file of shell commands")
    lines = (line.strip() for line in path.read_text(encoding="utf-8").splitlines())
    return " && ".join(line for line in lines if line and not line.startswith("#"))


if __name__ == "__main__":
    cli.run(main)
