"""Pretrain a speech encoder with CTC.

python -m speechllm.bin.train_ctc --config conf/mini/train_ctc.yaml --train_dir data/mini/train ...
"""

from speechllm.bin import cli
from speechllm.config import TrainCtcConfig


def get_parser():
    parser = cli.config_parser(__doc__, TrainCtcConfig)
    parser.add_argument("--units", required=True, help="SentencePiece model of the CTC units")
    parser.add_argument(
        "--init_encoder", default="", help="experiment folder whose encoder to start from"
    )
    parser.add_argument(
        "--train_dir", required=True, help="data directory with manifest.arrow and cmvn.ark"
    )
    parser.add_argument(
        "--valid_dir",
        required=True,
        help="data directory with manifest.arrow, decoded while training",
    )
    parser.add_argument(
        "--exp_dir", required=True, help="folder for checkpoints and logs; a run in it is continued"
    )
    parser.add_argument(
        "--overwrite",
        type=bool,
        default=False,
        help="replace a run with another config in --exp_dir",
    )
    return parser


def main(argv=None):
    config, args = cli.parse(get_parser(), TrainCtcConfig, argv)
    from functools import partial
    from pathlib import Path

    import torch

    from speechllm import build
    from speechllm.bin import training
    from speechllm.data.ark import read_ark
    from speechllm.data.cmvn import load_cmvn
    from speechllm.data.collate import collate_ctc, make_loader
    from speechllm.data.dataset import CtcDataset
    from speechllm.data.fitness import find_too_short, find_unknown
    from speechllm.data.manifest import Manifest
    from speechllm.data.sampler import batches_in_order
    from speechllm.data.tokenizer import CtcTokenizer
    from speechllm.decode.ctc import ctc_greedy
    from speechllm.train import distributed

    setup = distributed.init()
    torch.manual_seed(config.train.seed)
    tokenizer = CtcTokenizer(args.units)
    cmvn = load_cmvn(Path(args.train_dir) / "cmvn.ark")
    model = build.build_ctc_model(config, tokenizer.vocab_size, len(cmvn[0]), cmvn)
    if args.init_encoder:
        build.init_encoder(model.speech, args.init_encoder)

    manifest = Manifest.open(Path(args.train_dir) / "manifest.arrow")
    unknown = find_unknown(manifest, tokenizer)
    if unknown and setup.is_main:
        first = next(iter(unknown))
        num_utts = f"{first!r} in {unknown[first]} utterances"
        print(
            f"{args.units}: no unit for {len(unknown)} characters, first: {num_utts}; learnt as unknown"
        )
    too_short = find_too_short(manifest, tokenizer, config.encoder.subsampling_factor)
    chosen = training.usable(manifest, config.data.max_frames, too_short, setup)
    load = partial(
        make_loader,
        CtcDataset(manifest, tokenizer),
        collate=collate_ctc,
        num_workers=config.data.num_workers,
    )
    batches = training.epoch_batches(manifest, chosen, config.data, config.train.seed, setup, load)

    valid = Manifest.open(Path(args.valid_dir) / "manifest.arrow")
    valid_plan = batches_in_order(
        valid.num_frames,
        config.data.batch_frames,
        training.first_utts(valid, config.train.valid_utts),
    )

    def validate(step):
        pairs = []
        for batch in distributed.share(valid_plan, model, setup):
            rows = [valid.row(i) for i in batch]
            utts = [
                {"utt_id": r.utt_id, "feats": read_ark(r.ark, r.offset), "units": torch.zeros(0)}
                for r in rows
            ]
            padded = collate_ctc(utts)
            log_probs, lens = model.log_probs(
                padded["feats"].to(setup.device), padded["feat_lens"].to(setup.device)
            )
            for row, units in zip(rows, ctc_greedy(log_probs, lens), strict=True):
                pairs.append((row.lang, row.text, tokenizer.decode(units)))
        return {"wer": training.word_error_rate(sum(distributed.gather(pairs, setup), []))}

    saved = training.saved_config(
        model="ctc", num_units=tokenizer.vocab_size, num_mel_bins=len(cmvn[0]), config=config
    )
    training.run_training(
        model, batches, validate, saved, {"units.model": args.units}, config, args, setup
    )
    distributed.close()


if __name__ == "__main__":
    cli.run(main)
