"""Share a data directory out, or take a subset of it.

python -m speechllm.bin.split_data_dir data/mini/train --num_parts 4

writes data/mini/train/split4/1 to 4. With --langs or --utt_list a subset goes to --out instead.
"""

import argparse

from speechllm.bin import cli


def get_parser():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data_dir", help="data directory")
    parser.add_argument("--num_parts", type=int, default=0, help="contiguous parts to write")
    parser.add_argument("--langs", default="", help="keep these languages only")
    parser.add_argument("--utt_list", default="", help="keep the utterances that this file lists")
    parser.add_argument("--out", default="", help="data directory of the subset")
    return parser


def main(argv=None):
    args = get_parser().parse_args(argv)
    from pathlib import Path

    from speechllm.data.subset import read_list, split_data_dir, subset_data_dir
    from speechllm.errors import UserError

    if bool(args.num_parts) == bool(args.out):
        raise UserError("one of --num_parts and --out is needed: parts of everything, or a subset")
    if args.num_parts:
        for part in split_data_dir(args.data_dir, args.num_parts):
            print(part)
        return
    utt_ids = read_list(args.utt_list) if args.utt_list else None
    count = subset_data_dir(args.data_dir, Path(args.out), args.langs.split() or None, utt_ids)
    print(f"{args.out}: {count} utterances")


if __name__ == "__main__":
    cli.run(main)
