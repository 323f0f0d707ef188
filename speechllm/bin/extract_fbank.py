"""Extract the features of a data directory.

python -m speechllm.bin.extract_fbank --config conf/mini/fbank.yaml --nj 2 --data_dir data/mini/dev

With --part K --num_parts N it makes one part only, for job arrays, and speechllm.bin.merge_feats
joins the parts. What is there and up to date is not made again.
"""

from speechllm.bin import cli
from speechllm.config import FbankConfig


def get_parser():
    parser = cli.config_parser(__doc__, FbankConfig)
    parser.add_argument(
        "--data_dir", required=True, help="data directory; feats.scp is written into it"
    )
    parser.add_argument("--feats_dir", default="", help="folder of the features (DATA_DIR/fbank)")
    parser.add_argument(
        "--set",
        default="",
        help="train: speeds apply, and 5 percent of the audio may be bad (name of DATA_DIR)",
    )
    parser.add_argument("--nj", type=int, default=1, help="processes, where no part is named")
    parser.add_argument("--num_parts", type=int, default=0, help="parts in all (NJ)")
    parser.add_argument("--part", type=int, default=0, help="make this part only, from 1")
    return parser


def run_part(task: tuple):
    """Make one part; a function of the module, so that a process pool can call it."""
    import torch

    from speechllm.data.extract import Progress, extract_part
    from speechllm.data.shards import shards_of_part
    from speechllm.data.subset import count_utterances

    torch.set_num_threads(1)
    data_dir, _, _, num_parts, part = task
    shards = shards_of_part(count_utterances(data_dir), num_parts, part)
    total = sum(last - first for _, first, last in shards)
    extract_part(*task, Progress(f"{data_dir} {part}/{num_parts}", total))


def main(argv=None):
    config, args = cli.parse(get_parser(), FbankConfig, argv)
    from multiprocessing import get_context
    from pathlib import Path

    from speechllm.data.extract import Extractor
    from speechllm.data.shards import merge_shards
    from speechllm.errors import UserError

    data_dir = Path(args.data_dir)
    feats_dir = Path(args.feats_dir or data_dir / "fbank")
    cli.check_number("--nj", args.nj, least=1)
    cli.check_number("--num_parts", args.num_parts, least=0)
    num_parts = args.num_parts or args.nj
    if not 0 <= args.part <= num_parts:
        raise UserError(f"--part {args.part} should be one of 1..{num_parts} (--num_parts)")
    training = (args.set or data_dir.resolve().name) == "train"
    extractor = Extractor(
        config.sample_rate,
        config.num_mel_bins,
        config.resample,
        config.compress,
        tuple(config.speeds) if training else (1.0,),
        training,
    )
    parts = [args.part] if args.part else range(1, num_parts + 1)
    tasks = [(data_dir, feats_dir, extractor, num_parts, part) for part in parts]
    if len(tasks) == 1 or args.nj == 1:
        for task in tasks:
            run_part(task)
    else:
        with get_context("spawn").Pool(args.nj) as pool:
            pool.map(run_part, tasks, chunksize=1)
    if not args.part:
        print(merge_shards(data_dir, feats_dir, num_parts, training))


if __name__ == "__main__":
    cli.run(main)
