"""Global mean and variance of a data directory's features.

python -m speechllm.bin.compute_cmvn data/mini/train
"""

import argparse

from speechllm.bin import cli


def get_parser():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "data_dir", help="data directory with feats.scp; cmvn.ark is written into it"
    )
    parser.add_argument(
        "--max_utts", type=int, default=0, help="read only so many, evenly spread; 0 is all"
    )
    return parser


def main(argv=None):
    args = get_parser().parse_args(argv)
    from itertools import islice
    from pathlib import Path

    from speechllm.data.ark import read_matrix
    from speechllm.data.cmvn import accumulate, save_cmvn
    from speechllm.data.rows import parse_position
    from speechllm.data.tables import iter_table

    data_dir = Path(args.data_dir)
    step = 1
    if args.max_utts > 0:
        count = sum(1 for _ in iter_table(data_dir / "feats.scp"))
        step = max(1, -(-count // args.max_utts))
    positions = islice(iter_table(data_dir / "feats.scp"), 0, None, step)
    stats = accumulate(read_matrix(*parse_position(position)) for _, position in positions)
    save_cmvn(data_dir / "cmvn.ark", stats)
    print(f"{data_dir}/cmvn.ark: {stats.shape[1] - 1} bins over {int(stats[0, -1]):,} frames")


if __name__ == "__main__":
    cli.run(main)
