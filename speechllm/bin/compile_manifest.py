"""Compile data directories for training and decoding.

python -m speechllm.bin.compile_manifest data/mini/train
"""

import argparse

from speechllm.bin import cli


def get_parser():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "data_dirs", nargs="+", help="data directories with feats.scp; get manifest.arrow"
    )
    return parser


def main(argv=None):
    args = get_parser().parse_args(argv)
    from pathlib import Path

    from speechllm.data.compile import compile_manifest

    for data_dir in args.data_dirs:
        path = Path(data_dir) / "manifest.arrow"
        print(f"{path}: {compile_manifest(data_dir, path)} utterances")


if __name__ == "__main__":
    cli.run(main)
