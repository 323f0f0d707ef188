"""Speak a made-up corpus in the layout of a real one.

python -m speechllm.bin.make_mini_corpus --out data/mini/corpus --layout mls --langs "en de" --nj 2
"""

import argparse

from speechllm.bin import cli


def get_parser():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", required=True, help="folder for mls_<language>")
    parser.add_argument(
        "--layout",
        default="mls",
        choices=["mls", "covost2"],
        help="corpus whose files are imitated",
    )
    parser.add_argument(
        "--speech",
        default="sentences",
        choices=["sentences", "questions"],
        help="what is said; questions: English, with the dialogues of dev and test as JSON lines",
    )
    parser.add_argument("--langs", help="languages to speak (all that the layout has)")
    parser.add_argument(
        "--train_hours", type=float, default=6.0, help="of all languages together (6)"
    )
    parser.add_argument("--dev_utts", type=int, default=40, help="dev utterances per language (40)")
    parser.add_argument(
        "--test_utts", type=int, default=75, help="test utterances per language (75)"
    )
    parser.add_argument(
        "--speakers", type=int, default=40, help="training speakers per language (40)"
    )
    parser.add_argument(
        "--seed", type=int, default=1, help="another seed says and sounds something else"
    )
    parser.add_argument(
        "--nj", type=int, default=2, help="processes (2); the result does not depend on it"
    )
    return parser


def main(argv=None):
    args = get_parser().parse_args(argv)
    from speechllm.mini.make import make_corpus

    make_corpus(**vars(args))


if __name__ == "__main__":
    cli.run(main)
