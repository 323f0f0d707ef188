"""Teach an LLM to listen.

python -m speechllm.bin.train_llm --config conf/mini/train_llm.yaml --llm exp/mini/base_llm --encoder exp/mini/ctc ...
"""

from speechllm.bin import cli
from speechllm.config import TrainLlmConfig


def get_parser():
    parser = cli.config_parser(__doc__, TrainLlmConfig)
    parser.add_argument("--llm_name", required=True, help="Hugging Face name or folder of the LLM")
    parser.add_argument(
        "--encoder", required=True, help="experiment folder of the pretrained CTC encoder"
    )
    parser.add_argument("--train_dir", required=True, help="data directory with manifest.arrow")
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
    config, args = cli.parse(get_parser(), TrainLlmConfig, argv)
    from functools import partial
    from pathlib import Path

    import torch

    from speechllm import build
    from speechllm.bin import training
    from speechllm.bin.decode import llm_recognizer
    from speechllm.data.ark import read_ark
    from speechllm.data.collate import collate_llm, make_loader
    from speechllm.data.dataset import LlmDataset
    from speechllm.data.manifest import Manifest
    from speechllm.data.prompts import PromptTemplate
    from speechllm.data.sampler import batches_in_order
    from speechllm.models.llm import LlmTokenizer, load_llm
    from speechllm.train import distributed

    setup = distributed.init()
    torch.manual_seed(config.train.seed)
    ctc, encoder_path = build.load_ctc_model(args.encoder)
    encoder_saved = build.read_checkpoint_config(encoder_path)
    tokenizer = LlmTokenizer(args.llm_name)
    llm = load_llm(args.llm_name, config.llm.dtype, config.llm.attention)
    model = build.build_speech_llm(config, ctc.speech, llm, tokenizer.unk_id, ctc.head)
    template = PromptTemplate(config.prompt, tokenizer.encode, tokenizer.bos_id, tokenizer.eos_id)

    manifest = Manifest.open(Path(args.train_dir) / "manifest.arrow")
    dataset = LlmDataset(
        manifest,
        lambda row: template.parts(),
        lambda row: [*tokenizer.encode(row.text), tokenizer.eos_id],
    )
    load = partial(make_loader, dataset, collate=collate_llm, num_workers=config.data.num_workers)
    chosen = training.usable(manifest, config.data.max_frames, [], setup)
    batches = training.epoch_batches(manifest, chosen, config.data, config.train.seed, setup, load)

    valid = Manifest.open(Path(args.valid_dir) / "manifest.arrow")
    valid_plan = batches_in_order(
        valid.num_frames,
        config.decode.batch_frames,
        training.first_utts(valid, config.train.valid_utts),
    )
    recognize = llm_recognizer(model, tokenizer, template, config.decode, setup.device)

    def validate(step):
        pairs = []
        for batch in distributed.share(valid_plan, model, setup):
            rows = [valid.row(i) for i in batch]
            hyps = recognize([read_ark(r.ark, r.offset) for r in rows])
            pairs += [(row.lang, row.text, text) for row, (text, _) in zip(rows, hyps, strict=True)]
        return {"wer": training.word_error_rate(sum(distributed.gather(pairs, setup), []))}

    saved = training.saved_config(
        model="speech_llm",
        llm=args.llm_name,
        num_mel_bins=encoder_saved["num_mel_bins"],
        num_units=encoder_saved["num_units"],
        encoder=encoder_saved["config"]["encoder"],
        config=config,
    )
    tokenizer_dir = Path(args.exp_dir) / "tokenizer"
    distributed.from_main(lambda: tokenizer.save(tokenizer_dir), setup)
    files = {"units.model": encoder_path / "units.model", "tokenizer": tokenizer_dir}
    scales = (
        {"speech": config.encoder_lr_scale}
        if config.train_encoder and config.encoder_lr_scale != 1.0
        else None
    )
    training.run_training(model, batches, validate, saved, files, config, args, setup, scales)
    distributed.close()


if __name__ == "__main__":
    cli.run(main)
