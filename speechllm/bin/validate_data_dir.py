"""Check data directories.

python -m speechllm.bin.validate_data_dir data/mini/train
"""

import argparse

from speechllm.bin import cli


def get_parser():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data_dirs", nargs="+", help="data directories")
    parser.add_argument("--allow_empty_text", action="store_true", help="some texts may be empty")
    return parser


def main(argv=None):
    args = get_parser().parse_args(argv)
    from speechllm.data.validate import check_audio_files, validate_data_dir

    for data_dir in args.data_dirs:
        counts = validate_data_dir(data_dir, args.allow_empty_text)
        check_audio_files(data_dir)
        langs = ", ".join(f"{lang} {count}" for lang, count in sorted(counts.items()))
        print(f"{data_dir}: valid, {sum(counts.values())} utterances ({langs})")


if __name__ == "__main__":
    cli.run(main)
