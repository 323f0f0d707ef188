"""Rank n-best lists again by two scores, with weights tuned on a dev set: an LLM's and CTC's.

python -m speechllm.bin.rescore --ref data/mini/dev --hyp exp/mini/decode/llm/dev \
    --test_ref data/mini/test --out exp/mini/decode/rescored exp/mini/decode/llm/test

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
        "--test_ref",
        type=Path,
        action="append",
        default=[],
        help="data directory of one of hyp_dirs, known by its utterances, whose error rates before and after, "
        "and that of the best of each list (oracle), go into weights.json too; may be given several times",
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


def check_names(dev_dir: Path, hyp_dirs: list[Path]):
    """Raise a UserError if two decoded sets, that of ``--hyp`` among them, would be written to the same folder."""
    found = {dev_dir.name: dev_dir}
    for hyp_dir in hyp_dirs:
        if hyp_dir.name in found:
            hint = "call the command once for each, with another --out"
            if hyp_dir == dev_dir:
                hint = "leave it out, --hyp is rescored anyway"
            elif hyp_dir == found[hyp_dir.name]:
                hint = "it is given twice, leave it out once"
            raise UserError(
                f"{hyp_dir}: OUT/{hyp_dir.name} is already that of {found[hyp_dir.name]}; {hint}"
            )
        found[hyp_dir.name] = hyp_dir


def find_references(data_dirs: list[Path], lists: dict) -> dict:
    """The reference of each decoded set that has one, by the folder of its lists.

    Raises:
        UserError: a data directory has other utterances than all sets.
    """
    from speechllm.score.inputs import read_reference

    found = {}
    for data_dir in data_dirs:
        reference = read_reference(data_dir)
        own = [folder for folder, nbest in lists.items() if nbest.utt_ids == reference.utt_ids]
        if not own:
            told = ", ".join(map(str, lists)) or "none"
            raise UserError(
                f"--test_ref {data_dir}: its utterances are not those of a decoded set; given are: {told}"
            )
        found |= dict.fromkeys(own, reference)
    return found


def main(argv=None):
    args = get_parser().parse_args(argv)
    import json

    from speechllm.data.tables import write_table
    from speechllm.decode.rescore import LENGTH_NORMS, choose, tune
    from speechllm.score.inputs import read_hypotheses, read_reference
    from speechllm.score.metrics import make_metric
    from speechllm.score.nbest import count_errors, mean_value, oracle
    from speechllm.score.results import replace_text

    metric, names = make_metric(args.metric, args.tokenize), args.scores.replace(",", " ").split()
    if len(names) != 2:
        raise UserError(f"--scores {args.scores}: should be two names, as llm,ctc")
    first, second = names
    check_names(args.hyp, args.hyp_dirs)
    reference = read_reference(args.ref)
    dev, *others = (read_lists(folder, names) for folder in (args.hyp, *args.hyp_dirs))
    read_hypotheses(args.hyp, reference)  # the decoding of another set stops here
    others = dict(zip(args.hyp_dirs, others, strict=True))
    references = find_references(args.test_ref, others)

    def scores(lists):
        return lists.scores[first], lists.scores[second], lists.num_words()

    def errors(lists, reference):
        return count_errors(lists, reference, metric, normalised=metric.is_error)

    counts = errors(dev, reference)

    def cost(places):
        value = mean_value(counts, places, reference, metric)
        return round(value if metric.is_error else 100 - value, 6)

    weights, tried = tune(cost, *scores(dev), (0.0,) if metric.is_error else LENGTH_NORMS)

    def rates(lists, reference, counts):
        places = {
            "as decoded": [0] * len(counts),
            f"{'LLM' if first == 'llm' else first} alone": [
                max(range(len(s)), key=s.__getitem__) for s in lists.scores[first]
            ],
            "rescored": choose(*scores(lists), weights),
        }
        if metric.is_error:
            places["oracle"] = oracle(counts)
        return {name: mean_value(counts, own, reference, metric) for name, own in places.items()}

    for hyp_dir, lists in ({args.hyp: dev} | others).items():
        (args.out / hyp_dir.name).mkdir(parents=True, exist_ok=True)
        chosen = lists.chosen(choose(*scores(lists), weights))
        write_table(args.out / hyp_dir.name / "text", chosen)
    found = {args.hyp.name: rates(dev, reference, counts)}
    for hyp_dir, own in references.items():
        found[hyp_dir.name] = rates(others[hyp_dir], own, errors(others[hyp_dir], own))
    report = {
        f"{second}_weight": weights.ctc,
        "word_score": weights.word_score,
        "length_norm": weights.length_norm,
        **{f"{args.metric}_of_{name}": own for name, own in found.items()},
        "costs_of_tried": [[w.ctc, w.word_score, w.length_norm, n] for w, n in tried.items()],
    }
    replace_text(args.out / "weights.json", json.dumps(report, indent=1))
    print(
        f"{second}_weight {weights.ctc:g}, word_score {weights.word_score:g}, "
        f"length_norm {weights.length_norm:g}"
    )
    for name, own in found.items():
        told = ", ".join(f"{what} {rate:.2f}" for what, rate in own.items())
        print(f"{name}, {args.metric.upper()}: {told}")


if __name__ == "__main__":
    cli.run(main)
