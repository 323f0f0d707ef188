"""An epoch of stage 5, LLM integration: ours against the usual way of transformers in file order."""

from pathlib import Path

import common
import epochs
import llama
import torch
import yaml

from speechllm import build
from speechllm.config import TrainCtcConfig, TrainLlmConfig
from speechllm.data.cmvn import load_cmvn
from speechllm.data.collate import collate_llm, make_loader
from speechllm.data.dataset import LlmDataset
from speechllm.models.adaptors.stack import StackAdaptor
from speechllm.models.speech_llm import SpeechLlm
from speechllm.train import optim

PEER = "transformers, labels=, full logits, file order and fixed batch size"
SAME_STEP = "our step in file order and fixed batch size"
PACKED = "our batches, their utterances packed into rows"
PACKED_FILE_ORDER = "our step in file order and fixed batch size, packed into rows"
FACTORS = (1, 4)  # of the preset's batches: a GPU takes larger ones, and these have more padding


def make_models(corpus: Path, small: bool) -> dict:
    """Our model, with and without packing, and the usual one, which share encoder, adaptor and LLM."""
    ctc = epochs.shrink(epochs.read_config(TrainCtcConfig, "train_ctc.yaml"), small)
    config = epochs.read_config(TrainLlmConfig, "train_llm.yaml")
    cmvn = load_cmvn(corpus / "train" / "cmvn.ark")
    torch.manual_seed(0)
    speech = build.build_speech_encoder(ctc.encoder, config.spec_augment, len(cmvn[0]), cmvn)
    path = common.ROOT / "egs/mls/conf/mini/llm.yaml"
    llm = llama.make_llm(yaml.safe_load(path.read_text(encoding="utf-8"))["vocab_size"], small)
    adaptor = StackAdaptor(speech.output_dim, llm.dim, config.adaptor.stack_factor)
    parts = {"train_encoder": config.train_encoder}
    ours = SpeechLlm(speech, adaptor, llm, **parts)
    packed = SpeechLlm(speech, adaptor, llm, packing=True, **parts)
    return {
        common.OURS: ours,
        PEER: llama.UsualLlm(speech, adaptor, llm, **parts),
        SAME_STEP: ours,
        PACKED: packed,
        PACKED_FILE_ORDER: packed,
    }


def bench(corpus: Path, small: bool) -> list[common.Row]:
    batch_frames = epochs.read_config(TrainLlmConfig, "train_llm.yaml").data.batch_frames
    models = make_models(corpus, small)
    optimizer, _ = optim.make(
        optim.param_groups(models[common.OURS], {}), lr=1e-8, warmup_steps=0, schedule="constant"
    )
    rows = []
    for factor in FACTORS:
        num_frames = (300 if small else batch_frames) * factor
        plans = epochs.Plans(corpus, 6 if small else epochs.NUM_UTTS, num_frames)
        rows += compare(models, optimizer, plans, small)
    return rows


def compare(models: dict, optimizer, plans: epochs.Plans, small: bool) -> list[common.Row]:
    dataset = LlmDataset(
        plans.manifest,
        lambda row: [0, torch.tensor([llama.BOS_ID])],
        lambda row: [*plans.units.encode(row.text), llama.EOS_ID],
    )

    def plan_of(name):
        return plans.ours if name in (common.OURS, PACKED) else plans.file_order

    def load(name):
        return make_loader(dataset, plan_of(name), collate_llm)

    sums = {name: epochs.totals(model, load(name)) for name, model in models.items()}
    worst = {name: epochs.difference(sums[common.OURS], values) for name, values in sums.items()}
    runs = {
        name: lambda name=name, model=model: epochs.run_epoch(model, load(name), optimizer)
        for name, model in models.items()
    }
    took = common.in_turns(runs, 1 if small else 3)
    return [
        common.make_row(
            "stage5",
            f"{name}, {plans.seconds} s in a batch",
            took[common.OURS],
            took[name],
            worst[name] < epochs.TOLERANCE,
            ("transformers", "peft", "torch"),
            f"{plans.describe(took[common.OURS], took[name], plan_of(name))}; the mini "
            f"preset's encoder, frozen, and LLM with LoRA; sums of loss and gradients differ by at "
            f"most {worst[name]:.0e}",
        )
        for name in (PEER, SAME_STEP, PACKED, PACKED_FILE_ORDER)
    ]


if __name__ == "__main__":
    common.main(bench, {"stage5"})
