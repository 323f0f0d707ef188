"""Rank n-best lists again by LLM and CTC scores, with weights tuned on a dev set.

python -m speechllm.bin.rescore --ref data/mini/dev --hyp exp/mini/decode/llm/dev \
    --out exp/mini/decode/rescored exp/mini/decode/llm/test
"""

import argparse
from pathlib import Path

from speechllm.bin import cli
from speechllm.errors import UserError


def get_parser():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "hyp_dirs", nargs="*", type=Path, help="decoded sets that get the weights found on dev"
    )
    parser.add_argument(
        "--ref", type=Path, required=True, help="data directory of the dev set, with its texts"
    )
    parser.add_argument(
        "--hyp",
        type=Path,
        required=True,
        help="the dev set as decoded with beams and ctc_weight: text and nbest/",
    )
    parser.add_argument(
        "--out", type=Path, required=True, help="OUT/<name of the set>/text and OUT/weights.json"
    )
    parser.add_argument("--metric", default="wer", help="wer or cer (default: %(default)s)")
    return parser


def read_lists(hyp_dir: Path):
    """The n-best lists of a decoded set.

    Raises:
        UserError: it has none, or none with CTC scores.
    """
    from speechllm.score.inputs import read_table
    from speechllm.score.nbest import read_nbest

    lists = read_nbest(hyp_dir / "nbest", sorted(read_table(hyp_dir / "text")))
    if missing := {"llm", "ctc"} - lists.scores.keys():
        raise UserError(
            f"{hyp_dir / 'nbest'}: no {missing.pop()}_score; decode with num_beams above 1 and ctc_weight above 0"
        )
    return lists


def main(argv=None):
    args = get_parser().parse_args(argv)
    import json

    from speechllm.data.tables import write_table
    from speechllm.decode.rescore import choose, tune
    from speechllm.score.inputs import read_hypotheses, read_reference
    from speechllm.score.metrics import make_metric
    from speechllm.score.nbest import count_errors, error_rate, oracle
    from speechllm.score.wer import num_errors

    metric = make_metric(args.metric)
    if not metric.is_error:
        raise UserError(f"--metric {args.metric}: n-best lists are tuned by wer or cer")
    reference, lists = read_reference(args.ref), read_lists(args.hyp)
    read_hypotheses(args.hyp, reference)  # the decoding of another set stops here
    scores = (lists.scores["llm"], lists.scores["ctc"], lists.num_words())
    counts = count_errors(lists, reference, metric)
    weights, tried = tune(*scores, [num_errors(own).tolist() for own in counts])
    places = {
        "as decoded": [0] * len(counts),
        "LLM alone": [max(range(len(s)), key=s.__getitem__) for s in lists.scores["llm"]],
        "rescored": choose(*scores, weights),
        "oracle": oracle(counts),
    }
    rates = {name: error_rate(counts, chosen) for name, chosen in places.items()}
    for hyp_dir in (args.hyp, *args.hyp_dirs):
        found = read_lists(hyp_dir)
        own = (found.scores["llm"], found.scores["ctc"], found.num_words())
        (args.out / hyp_dir.name).mkdir(parents=True, exist_ok=True)
        write_table(args.out / hyp_dir.name / "text", found.chosen(choose(*own, weights)))
    report = {
        "ctc_weight": weights.ctc,
        "word_score": weights.word_score,
        f"{args.metric}_of_{args.ref.name}": rates,
        "errors_of_tried": [[w.ctc, w.word_score, n] for w, n in tried.items()],
    }
    (args.out / "weights.json").write_text(json.dumps(report, indent=1), encoding="utf-8")
    print(f"ctc_weight {weights.ctc:g}, word_score {weights.word_score:g}")
    print(", ".join(f"{name} {rate:.2f}" for name, rate in rates.items()))


if __name__ == "__main__":
    cli.run(main)
