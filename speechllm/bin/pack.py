"""Pack a trained model with its results into one archive.

python -m speechllm.bin.pack --model exp/mini/llm --out exp/mini/pack.tar.gz FILE...
"""

import argparse

from speechllm.bin import cli


def get_parser():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "files", nargs="*", help="files and folders to go along: results, a base LLM made here"
    )
    parser.add_argument(
        "--model", required=True, help="experiment folder; its averaged best checkpoint is packed"
    )
    parser.add_argument(
        "--out", required=True, help="archive to write; OUT.sha256 is written beside it"
    )
    return parser


def main(argv=None):
    args = get_parser().parse_args(argv)
    import hashlib
    import os
    import tarfile
    from pathlib import Path

    from speechllm.errors import UserError
    from speechllm.load import checkpoint_path
    from speechllm.score.results import replace_text

    out, building = Path(args.out), Path(f"{args.out}.building")
    for name in args.files:
        if not Path(name).exists():
            raise UserError(f"{name}: no such file to pack")
    out.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(building, "w:gz") as archive:
        archive.add(checkpoint_path(args.model), arcname="model")
        for name in args.files:
            archive.add(name, arcname=Path(name).name)
    digest = hashlib.sha256()
    with open(building, "rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    os.replace(building, out)
    replace_text(Path(f"{out}.sha256"), f"{digest.hexdigest()}  {out.name}\n")
    print(f"{out}: {out.stat().st_size / 1e6:.1f} MB, sha256 {digest.hexdigest()}")


if __name__ == "__main__":
    cli.run(main)
