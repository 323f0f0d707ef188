"""Training step of the LLM part: logits where there are labels, against the usual full ones."""

from functools import partial
from pathlib import Path

import common
import llama
import numpy as np
import torch

VOCABULARIES = (32_000, 150_000)
TOLERANCE = 1e-4
PEER = "transformers, labels=, full logits"


def sides_of(vocab_size: int, num_utts: int, small: bool) -> tuple[dict, dict]:
    """Both models, which share one LLM, and a batch."""
    llm = llama.make_llm(vocab_size, small)
    models = {common.OURS: llama.without_encoder(llm)}
    models["usual"] = llama.UsualLlm(llama.Given(), llama.Given(), llm)
    batch = llama.make_batch(llm.dim, vocab_size, num_utts, 2.0 if small else 10.0)
    return {name: model.train() for name, model in models.items()}, batch


def step(model, batch: dict) -> torch.Tensor:
    """Loss; gradients are left in the adapters and in the speech embeddings."""
    model.zero_grad(set_to_none=True)
    batch["feats"].requires_grad_().grad = None
    loss, num_tokens, _ = model(**batch)
    (loss / num_tokens).backward()
    return loss.detach() / num_tokens


def difference(models: dict, batch: dict) -> float:
    """Greatest difference of loss and gradients, relative to the greatest value of each."""
    found = []
    for model in models.values():
        loss = step(model, batch)
        gradients = [p.grad for p in model.parameters() if p.requires_grad]
        assert gradients and all(g is not None and g.any() for g in gradients)
        found.append([loss, batch["feats"].grad, *gradients])
    return max(float((a - b).abs().max() / a.abs().max()) for a, b in zip(*found, strict=True))


def describe(batch: dict, llm) -> str:
    """The sizes, for a note."""
    num_tokens = sum(map(len, batch["targets"]))
    num_params = sum(p.numel() for p in llm.parameters()) / 1e6
    return (
        f"the mini preset's LLM ({num_params:.0f}M parameters) with LoRA, {len(batch['targets'])} "
        f"utterances, {int(batch['feat_lens'].sum()):,} speech positions, {num_tokens:,} labels"
    )


def bench(corpus: Path, small: bool) -> list[common.Row]:
    rows = []
    for vocab_size in (50, 90) if small else VOCABULARIES:
        models, batch = sides_of(vocab_size, 3 if small else 16, small)
        worst = difference(models, batch)
        runs = {name: partial(step, model, batch) for name, model in models.items()}
        took = common.in_turns(runs, 1 if small else 5)
        seconds = {name: np.median(values) for name, values in took.items()}
        rows.append(
            common.make_row(
                "llm_step",
                f"{PEER}, vocabulary {vocab_size:,}",
                took[common.OURS],
                took["usual"],
                worst < TOLERANCE,
                ("transformers", "peft", "torch"),
                f"{describe(batch, models['usual'].llm)}; loss and gradients differ by at most "
                f"{worst:.0e}; ours {seconds[common.OURS]:.2f} s, theirs {seconds['usual']:.2f} s",
            )
        )
    return rows


if __name__ == "__main__":
    common.main(bench, {"llm_step"})
