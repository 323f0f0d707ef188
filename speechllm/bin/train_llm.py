"""Teach an LLM to listen.

python -m speechllm.bin.train_llm --config conf/mini/train_llm.yaml --llm_name exp/mini/base_llm \
    --encoder exp/mini/ctc --train_dir data/mini/train --valid_dir data/mini/dev --exp_dir exp/mini/llm
"""

from contextlib import contextmanager

from speechllm.bin import cli
from speechllm.bin.decode import check
from speechllm.config import DecodeConfig, TrainCtcConfig, TrainLlmConfig, from_dict

LLM_WEIGHTS = "llm_weights.json"  # in the experiment folder, of an LLM that does not learn


def get_parser(argv=None):
    parser = cli.config_parser(__doc__, TrainLlmConfig, argv)
    parser.add_argument("--llm_name", required=True, help="Hugging Face name or folder of the LLM")
    parser.add_argument(
        "--encoder", required=True, help="experiment folder of the pretrained CTC encoder"
    )
    parser.add_argument(
        "--init", default="", help="experiment folder of a speech LLM whose adaptor to start from"
    )
    parser.add_argument(
        "--decode_config", default="", help="YAML of the decode command, for the dev set"
    )
    cli.add_training_arguments(parser)
    return parser


def check_responses(train_dir: str, config: TrainLlmConfig, llm_name: str) -> str:
    """Check who gave the answers that are learnt, where they are an LLM's.

    Returns:
        a warning if it cannot be told whether this LLM gave them, see ``same_revision``; else "".

    Raises:
        UserError: they were given by another LLM, or to other prompts than it is to hear them in.
    """
    import json
    from pathlib import Path

    from speechllm.data.responses import ABOUT
    from speechllm.errors import UserError
    from speechllm.models.llm_loading import llm_revision, same_revision

    path = Path(train_dir) / ABOUT
    if not path.exists():
        return ""
    about = json.loads(path.read_text(encoding="utf-8"))
    revision = llm_revision(llm_name)
    same = same_revision(about["revision"], revision)
    if same is False:
        raise UserError(
            f"{path}: these answers are those of {about['model']} ({about['revision']}), not of --llm_name "
            f"{llm_name} ({revision}); give that one, or let this one respond"
        )
    for name in ("prompt", "system"):
        if (asked := about["settings"][name]) != (own := getattr(config, name)):
            raise UserError(
                f"{path}: these answers were given with {name} {asked!r}, the training has {own!r}; "
                "make them alike"
            )
    if same is None:
        return (
            f"WARNING: {path}: these answers are those of {about['model']} ({about['revision']}), which cannot be "
            f"compared with --llm_name {llm_name} ({revision}); make sure that both are the same LLM"
        )
    return ""


def check_talk(config: TrainLlmConfig) -> str:
    """A warning if what is trained to answer in turns cannot be talked to in a terminal; else ""."""
    if not config.chat or config.speech_attention == "causal":
        return ""
    return (
        f"WARNING: speech_attention: {config.speech_attention}: bin/chat, which reads a talk bit by bit, will refuse "
        "this model; train with speech_attention: causal, or use bin/converse, which reads whole dialogues"
    )


@contextmanager
def noting_weights(llm, exp_dir: str, overwrite: bool, setup):
    """Note in the experiment folder, after a training, what an LLM of which nothing learns was before it and is then.

    A run that was finished before has nothing to note; one that begins or goes on drops an older note.
    """
    import json
    from pathlib import Path

    from speechllm.data.tables import atomic_write
    from speechllm.train import checkpoint, distributed

    path = Path(exp_dir) / LLM_WEIGHTS

    def begin() -> bool:
        was_finished = (path.parent / "best").exists() and not overwrite
        if not was_finished:
            path.unlink(missing_ok=True)
        return was_finished

    was_finished = distributed.from_main(begin, setup)
    if was_finished or any(p.requires_grad for p in llm.parameters()):
        yield
        return
    before = checkpoint.digest(llm, keep=setup.is_main)
    yield
    after = checkpoint.digest(llm, keep=setup.is_main)

    def write():
        path.parent.mkdir(parents=True, exist_ok=True)
        with atomic_write(path) as file:
            json.dump({"before": before, "after": after}, file, indent=1)

    distributed.from_main(write, setup)


def main(argv=None):
    config, args = cli.parse(get_parser(argv), TrainLlmConfig, argv)
    decode_config = cli.read_config(DecodeConfig, args.decode_config)
    check(decode_config)
    import dataclasses
    import tempfile
    from functools import partial
    from pathlib import Path

    import numpy as np
    import torch
    from torch.utils.data import ConcatDataset

    from speechllm import build, load
    from speechllm.bin import training
    from speechllm.bin.recognize import llm_recognizer, task_template
    from speechllm.data.collate import collate_llm, make_loader
    from speechllm.data.dataset import LlmDataset
    from speechllm.data.manifest import Manifest
    from speechllm.data.prompts import wanted_text
    from speechllm.data.tokenizer import CtcTokenizer
    from speechllm.models.alignment import unit_embeddings
    from speechllm.models.llm_loading import llm_source
    from speechllm.models.llm_tokenizer import LlmTokenizer
    from speechllm.train import distributed

    build.check_llm_training(config)
    warnings = [check_responses(args.train_dir, config, args.llm_name), check_talk(config)]
    manifest = Manifest(Path(args.train_dir) / "manifest.arrow")
    Manifest(Path(args.valid_dir) / "manifest.arrow")  # what is missing stops here
    setup = distributed.init()
    for warning in filter(None, warnings if setup.is_main else []):
        print(warning, flush=True)
    torch.manual_seed(config.train.seed)
    tokenizer = LlmTokenizer(args.llm_name)
    prompts = build.build_templates(config, tokenizer)
    learnt = {task: task_template(prompts, task) for task in config.tasks or prompts}
    for template in learnt.values():
        template.parts(manifest.row(0))  # a mark that nothing is known for stops here
    chosen = training.usable(manifest, config.data.max_frames, [], setup)
    masking = training.masking_shares(
        manifest, chosen, config.target_masking, config.target_masking_beta, setup
    )

    ctc, encoder_path = load.load_ctc_model(args.encoder)
    encoder_saved = load.read_checkpoint_config(encoder_path)
    ctc_target = from_dict(TrainCtcConfig, encoder_saved["config"]).target
    llm = build.build_llm(config.llm, args.llm_name)
    model = build.build_speech_llm(config, ctc.speech, llm, tokenizer.unk_id, ctc.head)
    units = CtcTokenizer(encoder_path / "units.model")
    if config.soft_text or config.alignment_weight:
        with torch.no_grad():
            table = unit_embeddings(units.unit_texts(), tokenizer.ids_of_piece, llm.embed)
        model.start_from_text(table, config.alignment_weight)
    if args.init:
        load.init_speech_llm(model, args.init)

    def wanted(row, task):
        return getattr(row, config.target) if task == "text" else wanted_text(row, task)

    def encode_units(row):
        return units.encode(getattr(row, ctc_target))

    def dataset(task, template):
        return LlmDataset(
            manifest,
            template.parts,
            lambda row: [*tokenizer.encode(wanted(row, task)), tokenizer.eos_id],
            encode_units if config.ctc_weight or config.alignment_weight else None,
            masking if config.target_masking else None,
            template.text_parts if config.distill_weight else None,
        )

    datasets = ConcatDataset([dataset(*task) for task in learnt.items()])
    load = partial(make_loader, datasets, collate=collate_llm, num_workers=config.data.num_workers)
    chosen = np.concatenate([chosen + i * len(manifest) for i in range(len(learnt))])
    repeated = manifest.repeated(len(learnt))
    batches = training.epoch_batches(repeated, chosen, config.data, config.train.seed, setup, load)

    train_frames = int(repeated.num_frames[chosen].sum())
    if decode_config.task not in learnt:
        decode_config = dataclasses.replace(decode_config, task=next(iter(learnt)))
    template = learnt[decode_config.task]
    validate = training.validator(
        args.valid_dir,
        llm_recognizer(model, tokenizer, units, template, decode_config, setup.device),
        lambda row: wanted(row, "transcript" if decode_config.task == "transcript" else "text"),
        model,
        decode_config.batch_frames,
        config.train.valid_utts,
        setup,
        decode_config.window,
        config.valid_metric,
        config.valid_tokenize,
    )
    saved = training.saved_config(
        model="speech_llm",
        llm=llm_source(args.llm_name),
        num_mel_bins=encoder_saved["num_mel_bins"],
        num_units=encoder_saved["num_units"],
        encoder=encoder_saved["config"]["encoder"],
        config=config,
    )
    scales = {"speech": config.encoder_lr_scale} if config.train_encoder else {}
    scales |= {"soft_text": config.soft_text_lr_scale} if config.soft_text else {}
    scales = {name: scale for name, scale in scales.items() if scale != 1.0}
    noting = noting_weights(model.llm, args.exp_dir, args.overwrite, setup)
    with tempfile.TemporaryDirectory() as folder, noting:
        tokenizer.save(Path(folder) / "tokenizer")
        files = {
            "units.model": encoder_path / "units.model",
            "tokenizer": Path(folder) / "tokenizer",
        }
        training.run_training(
            model, batches, train_frames, validate, saved, files, config, args, setup, scales
        )
    distributed.close()


if __name__ == "__main__":
    cli.run(main)
