"""Pretrain a speech encoder with CTC.

python -m speechllm.bin.train_ctc --config conf/mini/train_ctc.yaml --train_dir data/mini/train ...
"""

from speechllm.bin import cli
from speechllm.bin.decode import check
from speechllm.config import DecodeConfig, TrainCtcConfig


def get_parser(argv=None):
    parser = cli.config_parser(__doc__, TrainCtcConfig, argv)
    parser.add_argument("--units", required=True, help="SentencePiece model of the CTC units")
    parser.add_argument(
        "--text_units", default="", help="SentencePiece model that takes its place for target: text"
    )
    parser.add_argument(
        "--init_encoder",
        default="",
        help="experiment folder whose encoder to start from, or an ESPnet model file",
    )
    parser.add_argument(
        "--decode_config",
        default="",
        help="YAML of the decode command; dev utterances longer than its window are left out",
    )
    cli.add_training_arguments(parser)
    return parser


def main(argv=None):
    config, args = cli.parse(get_parser(argv), TrainCtcConfig, argv)
    decode_config = cli.read_config(DecodeConfig, args.decode_config)
    check(decode_config)
    from functools import partial
    from pathlib import Path

    import torch

    from speechllm import build, load
    from speechllm.bin import training
    from speechllm.bin.recognize import ctc_recognizer
    from speechllm.data.cmvn import load_cmvn
    from speechllm.data.collate import collate_ctc, make_loader
    from speechllm.data.dataset import CtcDataset
    from speechllm.data.fitness import find_too_short, find_unknown
    from speechllm.data.manifest import Manifest
    from speechllm.data.tokenizer import CtcTokenizer
    from speechllm.train import distributed

    setup = distributed.init()
    torch.manual_seed(config.train.seed)
    units = args.text_units if config.target == "text" and args.text_units else args.units
    tokenizer = CtcTokenizer(units)
    cmvn = load_cmvn(Path(args.train_dir) / "cmvn.ark")
    model = build.build_ctc_model(config, tokenizer.vocab_size, len(cmvn[0]), cmvn)
    if args.init_encoder:
        load.init_encoder(model.speech, args.init_encoder)

    manifest = Manifest(Path(args.train_dir) / "manifest.arrow", config.target)
    unknown = find_unknown(manifest, tokenizer)
    if unknown and setup.is_main:
        first = next(iter(unknown))
        num_utts = f"{first!r} in {unknown[first]} utterances"
        print(
            f"{units}: no unit for {len(unknown)} characters, first: {num_utts}; learnt as unknown"
        )
    too_short = find_too_short(manifest, tokenizer, model.speech.encoder.output_lens)
    chosen = training.usable(manifest, config.data.max_frames, too_short, setup)
    load = partial(
        make_loader,
        CtcDataset(manifest, tokenizer),
        collate=collate_ctc,
        num_workers=config.data.num_workers,
    )
    batches = training.epoch_batches(manifest, chosen, config.data, config.train.seed, setup, load)

    train_frames = int(manifest.num_frames[chosen].sum())
    validate = training.validator(
        args.valid_dir,
        ctc_recognizer(model, tokenizer, setup.device),
        lambda row: row.transcript if config.target == "transcript" else row.text,
        model,
        config.data.batch_frames,
        config.train.valid_utts,
        setup,
        decode_config.window,
    )
    saved = training.saved_config(
        model="ctc", num_units=tokenizer.vocab_size, num_mel_bins=len(cmvn[0]), config=config
    )
    training.run_training(
        model,
        batches,
        train_frames,
        validate,
        saved,
        {"units.model": units},
        config,
        args,
        setup,
    )
    distributed.close()


if __name__ == "__main__":
    cli.run(main)
