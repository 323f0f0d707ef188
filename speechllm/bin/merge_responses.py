"""Join the parts that speechllm.bin.respond has answered into a data directory to learn from.

python -m speechllm.bin.merge_responses --data_dir data/mini/train --num_parts 2 exp/mini/respond/train

The directory has the answer as text, the transcript as text.src, the features of the source, and responses.json, which
says where the answers come from and how many were left out for which reason.
"""

import argparse

from speechllm.bin import cli


def get_parser():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("out", help="folder of the parts; the data directory is written there")
    parser.add_argument("--data_dir", required=True, help="data directory that was answered")
    parser.add_argument("--num_parts", type=int, default=1, help="parts in all (1)")
    return parser


def main(argv=None):
    args = get_parser().parse_args(argv)
    from pathlib import Path

    from speechllm.data.manifest import Manifest
    from speechllm.data.responses import read_parts, write_response_dir

    cli.check_apart(args.data_dir, args.out)
    manifest = Manifest(Path(args.data_dir) / "manifest.arrow")
    settings, responses = read_parts(args.out, args.num_parts, manifest)
    licence = settings["settings"]["licence"]
    about = settings | {"licence": licence or "that of the model's output; see its licence"}
    about = write_response_dir(args.data_dir, args.out, responses, about)
    left_out = ", ".join(f"{count} {name}" for name, count in about["left_out"].items())
    print(f"{args.out}: {about['num_utts']} answers; left out: {left_out or 'none'}")


if __name__ == "__main__":
    cli.run(main)
