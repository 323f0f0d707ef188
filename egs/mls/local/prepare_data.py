"""Write a data directory from Multilingual LibriSpeech (openslr.org/94).

python local/prepare_data.py --corpora /data/mls --langs "en de" --set train data/train

Reads the folders mls_<language> (flac) or mls_<language>_opus as they come out of the archives. Of
the training set 5 % of the transcripts may lack their audio, of dev and test none.
"""

import argparse

from speechllm.bin import cli
from speechllm.data.data_dir import write_data_dir
from speechllm.data.mls import LANGUAGES, SUBSETS, iter_mls


def get_parser():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data_dir", help="data directory to write")
    parser.add_argument("--corpora", required=True, help="folder that holds mls_<language>[_opus]")
    parser.add_argument("--langs", default=" ".join(LANGUAGES), help="ISO codes (%(default)s)")
    parser.add_argument("--set", required=True, choices=["train", "dev", "test"])
    parser.add_argument(
        "--subset",
        default="full",
        choices=["full", *SUBSETS],
        help="limited supervision: of the training set only",
    )
    parser.add_argument(
        "--max_duration",
        type=float,
        default=0.0,
        help="leave longer training utterances out, in seconds",
    )
    return parser


def main(argv=None):
    args = get_parser().parse_args(argv)
    langs = sorted(set(args.langs.split()))
    utterances = iter_mls(args.corpora, langs, args.set, args.subset, args.max_duration)
    count = write_data_dir(args.data_dir, utterances)
    print(f"{args.data_dir}: {count} utterances in {' '.join(langs)}")


if __name__ == "__main__":
    cli.run(main)
