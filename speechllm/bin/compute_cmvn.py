"""Global mean and variance of a data directory's features.

python -m speechllm.bin.compute_cmvn data/mini/train
"""

import argparse

from speechllm.bin import cli

PART_UTTS = (
    500  # utterances whose sums are made at once; fixed, so that rounding does not depend on --nj
)


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
    parser.add_argument(
        "--nj", type=int, default=1, help="processes; they do not change the result"
    )
    return parser


def main(argv=None):
    args = get_parser().parse_args(argv)
    from itertools import islice
    from multiprocessing import Pool
    from pathlib import Path

    from speechllm.data.cmvn import accumulate_files, add_up, save_cmvn
    from speechllm.data.rows import parse_position
    from speechllm.data.tables import iter_table

    data_dir = Path(args.data_dir)
    step = 1
    if args.max_utts > 0:
        count = sum(1 for _ in iter_table(data_dir / "feats.scp"))
        step = max(1, -(-count // args.max_utts))
    entries = islice(iter_table(data_dir / "feats.scp"), 0, None, step)
    positions = (parse_position(position) for _, position in entries)
    parts = iter(lambda: list(islice(positions, PART_UTTS)), [])
    with Pool(args.nj) as pool:
        stats = add_up(pool.imap(accumulate_files, parts))
    save_cmvn(data_dir / "cmvn.ark", stats)
    print(f"{data_dir}/cmvn.ark: {stats.shape[1] - 1} bins over {int(stats[0, -1]):,} frames")


if __name__ == "__main__":
    cli.run(main)
