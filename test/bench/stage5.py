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
IN_MEMORY = f"{PEER} that fits the longest utterances into as many frames"
SAME_STEP = "our step in file order and fixed batch size"
PACKED = "our batches, their utterances packed into rows"
FACTORS = (1, 4)  # of the preset's batches: a GPU takes larger ones, and these have more padding
FEW_UTTS = 200  # with so many words the usual way is slow
LLAMA_VOCAB_SIZE = 32_000  # the preset's LLM has few words, a pretrained one has at least so many


def make_models(corpus: Path, vocab_size: int, small: bool) -> dict:
    """Our model, with and without packing, and the usual one, which share encoder, adaptor and LLM."""
    ctc = epochs.shrink(epochs.read_config(TrainCtcConfig, "train_ctc.yaml"), small)
    config = epochs.read_config(TrainLlmConfig, "train_llm.yaml")
    cmvn = load_cmvn(corpus / "train" / "cmvn.ark")
    torch.manual_seed(0)
    speech = build.build_speech_encoder(ctc.encoder, config.spec_augment, len(cmvn[0]), cmvn)
    llm = llama.make_llm(vocab_size, small)
    adaptor = StackAdaptor(speech.output_dim, llm.dim, config.adaptor.stack_factor)
    parts = {"train_encoder": config.train_encoder}
    ours = SpeechLlm(speech, adaptor, llm, **parts)
    usual = llama.UsualLlm(speech, adaptor, llm, **parts)
    packed = SpeechLlm(speech, adaptor, llm, packing=True, **parts)
    return {
        common.OURS: ours,
        PEER: usual,
        IN_MEMORY: usual,
        SAME_STEP: ours,
        PACKED: packed,
    }


def bench(corpus: Path, small: bool) -> list[common.Row]:
    path = common.ROOT / "egs/mls/conf/mini/llm.yaml"
    own_size = yaml.safe_load(path.read_text(encoding="utf-8"))["vocab_size"]
    batch_frames = epochs.read_config(TrainLlmConfig, "train_llm.yaml").data.batch_frames
    rows = []
    for vocab_size in (own_size, LLAMA_VOCAB_SIZE // (100 if small else 1)):
        models = make_models(corpus, vocab_size, small)
        num_utts = epochs.NUM_UTTS if vocab_size == own_size else FEW_UTTS
        for factor in FACTORS:
            names = [common.OURS, PEER]
            if vocab_size == own_size:
                names.append(IN_MEMORY)
                names += [SAME_STEP, PACKED] if factor > 1 else []  # what makes the difference
            num_frames = (300 if small else batch_frames) * factor
            plans = epochs.Plans(corpus, 6 if small else num_utts, num_frames)
            chosen = {name: models[name] for name in names}
            rows += compare(chosen, vocab_size, plans, small)
    return rows


def compare(models: dict, vocab_size: int, plans: epochs.Plans, small: bool) -> list[common.Row]:
    """A row for each model but ours.

    Args:
        models: by what is compared, ours among them.
    """
    groups = optim.param_groups(models[common.OURS], {})
    optimizer, _ = optim.make(groups, lr=1e-8, warmup_steps=0, schedule="constant")
    dataset = LlmDataset(
        plans.manifest,
        lambda row: [0, torch.tensor([llama.BOS_ID])],
        lambda row: [*plans.units.encode(row.text), llama.EOS_ID],
    )

    def plan_of(name):
        if name == IN_MEMORY:
            return plans.file_order_in_memory
        return plans.ours if name in (common.OURS, PACKED) else plans.file_order

    def load(name):
        return make_loader(dataset, plan_of(name), collate_llm)

    sums = {name: epochs.totals(model, load(name)) for name, model in models.items()}
    worst = {name: epochs.difference(sums[common.OURS], values) for name, values in sums.items()}
    runs = {
        name: lambda name=name, model=model: epochs.run_epoch(model, load(name), optimizer)
        for name, model in models.items()
    }
    took = common.in_turns(runs, 1 if small else 3, None)  # the sums were the warm-up
    return [
        common.make_row(
            "stage5",
            f"{name}, {plans.seconds} s in a batch, vocabulary {vocab_size:,}",
            took[common.OURS],
            took[name],
            worst[name] < epochs.TOLERANCE,
            ("transformers", "peft", "torch"),
            f"{plans.describe(took[common.OURS], took[name], plan_of(name))}; the mini "
            f"preset's encoder, frozen, and LLM with LoRA; sums of loss and gradients differ by at "
            f"most {worst[name]:.0e}",
        )
        for name in models
        if name != common.OURS
    ]


if __name__ == "__main__":
    common.main(bench, {"stage5"})
