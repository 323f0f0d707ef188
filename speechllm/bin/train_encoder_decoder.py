"""Train the system without an LLM: attention decoder and CTC on a speech encoder.

python -m speechllm.bin.train_encoder_decoder --config conf/mini/train_encoder_decoder.yaml --units exp/mini/text.model
"""

from speechllm.bin import cli
from speechllm.bin.decode import check
from speechllm.config import DecodeConfig, TrainEncoderDecoderConfig


def get_parser(argv=None):
    parser = cli.config_parser(__doc__, TrainEncoderDecoderConfig, argv)
    parser.add_argument("--units", required=True, help="SentencePiece model of the text's units")
    parser.add_argument(
        "--init_encoder",
        default="",
        help="experiment folder whose encoder to start from, or an ESPnet model file",
    )
    parser.add_argument(
        "--decode_config", default="", help="YAML of the decode command, for the dev set"
    )
    cli.add_training_arguments(parser)
    return parser


def main(argv=None):
    config, args = cli.parse(get_parser(argv), TrainEncoderDecoderConfig, argv)
    decode_config = cli.read_config(DecodeConfig, args.decode_config)
    check(decode_config, "encoder_decoder")
    from functools import partial
    from pathlib import Path

    import torch

    from speechllm import build, load
    from speechllm.bin import training
    from speechllm.bin.recognize import encoder_decoder_recognizer
    from speechllm.data.cmvn import load_cmvn
    from speechllm.data.collate import collate_ctc, make_loader
    from speechllm.data.dataset import CtcDataset
    from speechllm.data.manifest import Manifest
    from speechllm.data.tokenizer import CtcTokenizer
    from speechllm.train import distributed

    setup = distributed.init()
    torch.manual_seed(config.train.seed)
    tokenizer = CtcTokenizer(args.units)
    cmvn = load_cmvn(Path(args.train_dir) / "cmvn.ark")
    model = build.build_encoder_decoder(config, tokenizer.vocab_size, len(cmvn[0]), cmvn)
    if args.init_encoder:
        load.init_encoder(model.speech, args.init_encoder)

    manifest = Manifest(Path(args.train_dir) / "manifest.arrow", "text")
    chosen = training.usable(manifest, config.data.max_frames, [], setup)
    load = partial(
        make_loader,
        CtcDataset(manifest, tokenizer),
        collate=collate_ctc,
        num_workers=config.data.num_workers,
    )
    batches = training.epoch_batches(manifest, chosen, config.data, config.train.seed, setup, load)
    validate = training.validator(
        args.valid_dir,
        encoder_decoder_recognizer(model, tokenizer, decode_config, setup.device),
        lambda row: row.text,
        model,
        config.data.batch_frames,
        config.train.valid_utts,
        setup,
        decode_config.window,
        config.valid_metric,
        config.valid_tokenize,
    )
    saved = training.saved_config(
        model="encoder_decoder",
        num_units=tokenizer.vocab_size,
        num_mel_bins=len(cmvn[0]),
        config=config,
    )
    training.run_training(
        model,
        batches,
        int(manifest.num_frames[chosen].sum()),
        validate,
        saved,
        {"units.model": args.units},
        config,
        args,
        setup,
    )
    distributed.close()


if __name__ == "__main__":
    cli.run(main)
