"""Rank n-best lists again by two scores, with weights tuned on a dev set: an LLM's and CTC's.

python -m speechllm.bin.rescore --ref data/mini/dev --hyp exp/mini/decode/llm/dev \
    --out exp/mini/decode/rescored exp/mini/decode/llm/test

or, after speechllm.bin.score_nbest, those of a decoder and an LLM: --scores decoder,llm --metric bleu
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
        help="the dev set as decoded with beams: text and nbest/ with both scores",
    )
    parser.add_argument(
        "--out", type=Path, required=True, help="OUT/<name of the set>/text and OUT/weights.json"
    )
    parser.add_argument(
        "--metric", default="wer", help="wer, cer, bleu or chrf (default: %(default)s)"
    )
    parser.add_argument(
        "--tokenize", default="13a", help="sacreBLEU's tokenizer (default: %(default)s)"
    )
    parser.add_argument(
        "--scores",
        default="llm,ctc",
        help="the two scores that are weighed against each other (default: %(default)s)",
    )
    return parser


def read_lists(hyp_dir: Path, names: list[str]):
    """The n-best lists of a decoded set.

    Raises:
        UserError: it has none, or none with these scores.
    """
    from speechllm.score.inputs import read_table
    from speechllm.score.nbest import read_nbest

    lists = read_nbest(hyp_dir / "nbest", sorted(read_table(hyp_dir / "text")))
    hints = {"ctc": "decode with num_beams above 1 and ctc_weight above 0"}
    hints["llm"] = "run speechllm.bin.score_nbest"
    for name in names:
        if name not in lists.scores:
            hint = hints.get(name, f"it has {', '.join(lists.scores)}")
            raise UserError(f"{hyp_dir / 'nbest'}: no {name}_score; {hint}")
    return lists


def main(argv=None):
    args = get_parser().parse_args(argv)
    import json

    from speechllm.data.tables import write_table
    from speechllm.decode.rescore import choose, tune, tune_by
    from speechllm.score.inputs import read_hypotheses, read_reference
    from speechllm.score.metrics import make_metric
    from speechllm.score.nbest import count_errors, error_rate, mean_value, oracle
    from speechllm.score.results import replace_text
    from speechllm.score.wer import num_errors

    metric, names = make_metric(args.metric, args.tokenize), args.scores.replace(",", " ").split()
    if len(names) != 2:
        raise UserError(f"--scores {args.scores}: should be two names, as llm,ctc")
    first, second = names
    reference, lists = read_reference(args.ref), read_lists(args.hyp, names)
    read_hypotheses(args.hyp, reference)  # the decoding of another set stops here
    scores = (lists.scores[first], lists.scores[second], lists.num_words())
    counts = count_errors(lists, reference, metric, normalised=metric.is_error)

    def value(chosen):
        if metric.is_error:
            return error_rate(counts, chosen)
        return mean_value(counts, chosen, reference, metric)

    if metric.is_error:
        weights, tried = tune(*scores, [num_errors(own).tolist() for own in counts])
    else:
        weights, tried = tune_by(lambda chosen: round(100 - value(chosen), 6), *scores)
    title = "LLM" if first == "llm" else first
    places = {
        "as decoded": [0] * len(counts),
        f"{title} alone": [max(range(len(s)), key=s.__getitem__) for s in scores[0]],
        "rescored": choose(*scores, weights),
    }
    if metric.is_error:
        places["oracle"] = oracle(counts)
    rates = {name: value(chosen) for name, chosen in places.items()}
    for hyp_dir in (args.hyp, *args.hyp_dirs):
        found = read_lists(hyp_dir, names)
        own = (found.scores[first], found.scores[second], found.num_words())
        (args.out / hyp_dir.name).mkdir(parents=True, exist_ok=True)
        write_table(args.out / hyp_dir.name / "text", found.chosen(choose(*own, weights)))
    report = {
        f"{second}_weight": weights.ctc,
        "word_score": weights.word_score,
        "length_norm": weights.length_norm,
        f"{args.metric}_of_{args.ref.name}": rates,
        "errors_of_tried": [[w.ctc, w.word_score, w.length_norm, n] for w, n in tried.items()],
    }
    replace_text(args.out / "weights.json", json.dumps(report, indent=1))
    print(
        f"{second}_weight {weights.ctc:g}, word_score {weights.word_score:g}, "
        f"length_norm {weights.length_norm:g}"
    )
    print(", ".join(f"{name} {rate:.2f}" for name, rate in rates.items()))


if __name__ == "__main__":
    cli.run(main)
