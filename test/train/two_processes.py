"""What test_distributed.py looks at, computed by two processes: two_processes.py <out_dir>."""

import sys
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import nn
from train.tiny import CONFIG, TinyModel, batches, run

from helpers import EOS_ID, llm_batch, tiny_ctc_model, tiny_llama, tiny_speech_llm
from speechllm.bin.training import hidden_matrices
from speechllm.decode.llm import greedy
from speechllm.errors import UserError
from speechllm.models.adapters import add_lora
from speechllm.train import checkpoint, distributed, optim
from speechllm.train.loop import train
from speechllm.train.muon import MuonAdamW


def same_data_halved(out: Path, setup, parallel: str):
    epoch_batches = batches(6, rank=setup.rank, world_size=2)
    run(out / parallel, setup, parallel, epoch_batches=epoch_batches, accum=2, grad_clip=0.5)


def resumed(out: Path, setup, first: str, then: str):
    """Three steps one way, the rest another way."""
    settings = {"epoch_batches": batches(3, rank=setup.rank, world_size=2), "accum": 2}
    for parallel, max_steps in ((first, 3), (then, 6)):
        exp_dir = out / f"{first}_then_{then}"
        run(exp_dir, setup, parallel, max_steps=max_steps, valid_every=2, keep_best=2, **settings)


def uninterrupted(out: Path, setup):
    epoch_batches = batches(3, rank=setup.rank, world_size=2)
    settings = {"max_steps": 6, "valid_every": 2, "keep_best": 2}
    run(out / "uninterrupted", setup, epoch_batches=epoch_batches, accum=2, **settings)


def finished_without_best(out: Path, setup):
    """Validate before any forward of this process."""
    best = out / "ddp_then_fsdp" / "best"
    distributed.from_main(lambda: best.rename(best.with_name("first_best")), setup)
    epoch_batches = batches(3, rank=setup.rank, world_size=2)
    settings = {"max_steps": 6, "valid_every": 2, "keep_best": 2, "accum": 2}
    run(out / "ddp_then_fsdp", setup, "fsdp", epoch_batches=epoch_batches, **settings)


def not_finite_elsewhere(out: Path, setup):
    epoch_batches = batches(6, rank=setup.rank, world_size=2, spoil="e0_u8")  # of rank 1
    try:
        run(out / "nan", setup, epoch_batches=epoch_batches)
    except UserError as error:
        (out / f"nan_error_{setup.rank}").write_text(str(error))


def other_config(out: Path, setup):
    try:
        run(out / "ddp", setup, config_text=CONFIG.replace("1e-2", "5e-5"))
    except UserError as error:
        (out / f"config_error_{setup.rank}").write_text(str(error))


def batch_norm(out: Path, setup):
    epoch_batches = batches(6, rank=setup.rank, world_size=2)
    model, _ = run(out / "bn", setup, model=TinyModel(batch_norm=True), epoch_batches=epoch_batches)
    save_file({"mean": model.norm.running_mean}, out / f"bn_{setup.rank}.safetensors")


def frozen_in_bf16(out: Path, setup):
    """Frozen bfloat16 weights beside float32 ones that learn, as an LLM with LoRA has them."""

    class Layer(nn.Linear):
        def __init__(self):
            super().__init__(8, 8)
            self.requires_grad_(False).to(torch.bfloat16)
            self.lora = nn.Linear(8, 8, bias=False)

        def forward(self, x):
            return super().forward(x.to(torch.bfloat16)).float() + self.lora(x)

    model = TinyModel()
    model.layers = nn.ModuleList(Layer() for _ in range(2))
    epoch_batches = batches(6, rank=setup.rank, world_size=2)
    run(out / "bf16", setup, "fsdp", model=model, epoch_batches=epoch_batches)


def speech_llm(out: Path, setup, parallel: str):
    """The real model: LoRA, an encoder that learns more slowly, dropout; validated by decoding."""
    llm = tiny_llama()
    add_lora(llm.model, 4, 8.0, 0.0, ())
    model = tiny_speech_llm(llm)
    model = distributed.wrap(model, setup, parallel, activation_checkpointing=parallel == "fsdp")
    core = distributed.unwrap(model)
    optimizer, schedule = optim.make(optim.param_groups(model, {"speech": 0.1}), lr=1e-2)

    def epoch_batches(epoch, skip):
        mine = range(4)[setup.rank :: 2]
        return [llm_batch(seed=10 * epoch + i) | {"utt_ids": ["a", "b", "c"]} for i in mine][skip:]

    def validate(step):
        batch = llm_batch(seed=5)
        rows, speech = core.rows(batch["feats"], batch["feat_lens"], batch["prompts"])
        hyps = greedy(core.llm, rows, [8, 9, 10], EOS_ID, speech)
        return {"nll": -sum(hyp.score for hyp in hyps)}

    train(
        model,
        epoch_batches,
        optimizer,
        schedule,
        setup=setup,
        exp_dir=out / f"speech_{parallel}",
        config_text="",
        max_steps=3,
        accum=2,
        grad_clip=1.0,
        validate=validate,
        keep_best=2,
        tensorboard=False,
    )


def digests(out: Path, setup):
    """Of a frozen LLM before it is shared out, and after its whole model has run."""
    llm = tiny_llama()
    found = [checkpoint.digest(llm)]
    model = distributed.wrap(tiny_speech_llm(llm), setup, "fsdp")
    model(**llm_batch())[0].backward()
    found.append(checkpoint.digest(llm, keep=setup.is_main))
    (out / f"digests_{setup.rank}").write_text("\n".join(found))


def ctc_with_muon(out: Path, setup):
    """The encoder's pretraining of the mini preset: Muon, flat start, four micro-batches a step."""
    model = tiny_ctc_model(dropout=0.0)
    model.speech.spec_augment, model.flat_start = None, 2
    model = distributed.wrap(model, setup, "ddp")
    core = distributed.unwrap(model)
    matrices = hidden_matrices(core)
    names = {id(p) for p in matrices}
    others = [p for p in core.parameters() if id(p) not in names]

    def epoch_batches(epoch, skip):
        batches = []
        for i in range(4):
            generator = torch.Generator().manual_seed(10 * epoch + i)
            lens = torch.tensor([90, 60 + 5 * i])
            batches.append(
                {
                    "utt_ids": ["a", "b"],
                    "feats": torch.randn(2, 90, 20, generator=generator),
                    "feat_lens": lens,
                    "units": torch.randint(1, 10, (2, 4), generator=generator),
                    "unit_lens": torch.tensor([4, 1 + i % 3]),
                }
            )
        return batches[setup.rank :: setup.world_size][skip:]

    train(
        model,
        epoch_batches,
        MuonAdamW(matrices, others, 2e-2, 1e-2),
        optim.make_schedule("cosine", 1e-2, 1e-3, 2, 8),
        setup=setup,
        exp_dir=out / f"ctc_{setup.world_size}",
        config_text="",
        max_steps=4,
        accum=4 // setup.world_size,
        grad_clip=1.0,
        tensorboard=False,
    )


def main(out: Path):
    torch.set_num_threads(1)
    setup = distributed.init()
    same_data_halved(out, setup, "ddp")
    same_data_halved(out, setup, "fsdp")
    resumed(out, setup, "ddp", "fsdp")
    resumed(out, setup, "fsdp", "ddp")
    uninterrupted(out, setup)
    finished_without_best(out, setup)
    not_finite_elsewhere(out, setup)
    other_config(out, setup)
    batch_norm(out, setup)
    frozen_in_bf16(out, setup)
    speech_llm(out, setup, "ddp")
    speech_llm(out, setup, "fsdp")
    digests(out, setup)
    ctc_with_muon(out, setup)
    distributed.close()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
