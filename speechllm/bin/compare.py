"""Is the difference between two systems real? Paired bootstrap and MAPSSWE.

python -m speechllm.bin.compare --ref data/mini/test \
    --hyp_a exp/mini/decode/ctc/test --hyp_b exp/mini/decode/llm/test
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
        "--ref", type=Path, required=True, help="data directory with text, utt2lang and utt2spk"
    )
    parser.add_argument(
        "--hyp_a", type=Path, required=True, help="folder with the first system's text"
    )
    parser.add_argument(
        "--hyp_b", type=Path, required=True, help="folder with the second system's text"
    )
    parser.add_argument(
        "--metric", default="wer", help="wer, cer, bleu or chrf (default: %(default)s)"
    )
    parser.add_argument(
        "--langs", default="", help="languages to compare, in the order of the table (default: all)"
    )
    parser.add_argument(
        "--raw", action="store_true", help="compare error rates of raw text, not of normalised"
    )
    parser.add_argument(
        "--tokenize", default="13a", help="sacreBLEU's tokenizer (default: %(default)s)"
    )
    parser.add_argument(
        "--num_samples", type=int, default=10000, help="bootstrap samples (default: %(default)s)"
    )
    return parser


def main(argv=None):
    args = get_parser().parse_args(argv)

    from speechllm.score.inputs import read_hypotheses, read_reference
    from speechllm.score.metrics import make_metric
    from speechllm.score.pairs import compare, describe

    if args.num_samples < 1:
        raise UserError(f"--num_samples {args.num_samples}: should be 1 or more")
    metric = make_metric(args.metric, args.tokenize)
    reference = read_reference(args.ref, args.langs.replace(",", " ").split())
    hyps_a, hyps_b = (read_hypotheses(folder, reference) for folder in (args.hyp_a, args.hyp_b))
    normalised = metric.is_error and not args.raw
    comparisons = compare(reference, hyps_a, hyps_b, metric, normalised, args.num_samples)
    print(f"a = {args.hyp_a}\nb = {args.hyp_b}\n")
    print(describe(comparisons, metric))


if __name__ == "__main__":
    cli.run(main)
