"""Join the parts of extract_fbank.

python -m speechllm.bin.merge_feats --data_dir data/mini/train --num_parts 2
"""

import argparse

from speechllm.bin import cli


def get_parser():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--data_dir", required=True, help="data directory; feats.scp is written into it"
    )
    parser.add_argument("--feats_dir", default="", help="folder of the features (DATA_DIR/fbank)")
    parser.add_argument(
        "--set", default="", help="train: 5 percent of the audio may be bad (name of DATA_DIR)"
    )
    parser.add_argument("--num_parts", type=int, required=True, help="as given to extract_fbank")
    return parser


def main(argv=None):
    args = get_parser().parse_args(argv)
    from pathlib import Path

    from speechllm.data.shards import merge_shards

    data_dir = Path(args.data_dir)
    training = (args.set or data_dir.resolve().name) == "train"
    feats_dir = Path(args.feats_dir or data_dir / "fbank")
    print(merge_shards(data_dir, feats_dir, args.num_parts, training))


if __name__ == "__main__":
    cli.run(main)
