"""Adapters of peft in a transformers model: LoRA, IA3, OFT; switched off, and folded into its weights.

All take the transformers model itself, ``Llm.model``, all of whose own weights are frozen before.
"""

from contextlib import contextmanager

import torch
from torch import nn

from speechllm.errors import UserError

# Attention matrices by their names in the families that have been tried; the first set found is used.
ATTENTION_TARGETS = (
    ("q_proj", "k_proj", "v_proj", "o_proj"),  # LLaMA, Qwen, Mistral, Gemma
    ("query_key_value", "dense"),  # BLOOM, Falcon, GPT-NeoX
)
# What IA3 scales: keys, values, and what a feed-forward block's second matrix reads.
IA3_TARGETS = (("k_proj", "v_proj", "down_proj"), ("query_key_value", "dense_4h_to_h"))
FEED_FORWARD = ("down_proj", "dense_4h_to_h")


def add_lora(
    model: nn.Module,
    rank: int,
    alpha: float,
    dropout: float,
    targets: tuple[str, ...] = (),
    dora: bool = False,
):
    """Add low-rank adapters (arXiv:2106.09685); only they are trainable.

    Args:
        targets: names of the matrices to adapt; by default those of self-attention.
        dora: learn the lengths of the matrices' columns apart (arXiv:2402.09353).
    """
    from peft import LoraConfig  # it takes three seconds to import, and is only needed here

    targets = find_targets(model, "lora.targets", targets, ATTENTION_TARGETS)
    inject(
        model,
        LoraConfig(
            r=rank,
            lora_alpha=alpha,
            lora_dropout=dropout,
            target_modules=targets,
            use_dora=dora,
        ),
    )


def add_ia3(model: nn.Module, targets: tuple[str, ...] = ()):
    """Add vectors that scale keys, values and feed-forward activations (arXiv:2205.05638); they alone learn."""
    from peft import IA3Config

    targets = find_targets(model, "peft.targets", targets, IA3_TARGETS)
    inner = [name for name in targets if name in FEED_FORWARD]
    inject(model, IA3Config(target_modules=targets, feedforward_modules=inner))


def add_oft(model: nn.Module, block_size: int, targets: tuple[str, ...] = ()):
    """Add rotations of what matrices read, in blocks (arXiv:2306.07280); only they are trainable.

    Args:
        block_size: inputs that are rotated together; peft takes the nearest size that divides the width.
        targets: names of the matrices; by default those of self-attention.
    """
    from peft import OFTConfig

    targets = find_targets(model, "peft.targets", targets, ATTENTION_TARGETS)
    inject(model, OFTConfig(oft_block_size=block_size, target_modules=targets))


def find_targets(
    model: nn.Module, key: str, wanted: tuple[str, ...], known: tuple[tuple[str, ...], ...]
) -> list[str]:
    """Names of the matrices to adapt: those that are wanted, or the first known set that this LLM has.

    Raises:
        UserError: it has none of them.
    """
    names = {name.rsplit(".", 1)[-1] for name, _ in model.named_modules()}
    targets = wanted or next((t for t in known if names.issuperset(t)), ())
    if missing := [t for t in targets if t not in names]:
        raise UserError(
            f"{key}: the LLM has no module {missing[0]!r}; it has {', '.join(sorted(names))}"
        )
    if not targets:
        raise UserError(
            f"{key}: the attention matrices of a {model.config.model_type} are not known; name them"
        )
    return list(targets)


def inject(model: nn.Module, settings):
    """Put peft's adapters into the model."""
    from peft import inject_adapter_in_model

    inject_adapter_in_model(settings, model)
    for p in model.parameters():
        if p.requires_grad:  # in bfloat16 most updates would be rounded away; peft casts in and out
            p.data = p.data.float()


@contextmanager
def without_adapters(model: nn.Module):
    """Within, the LLM computes what it did before adapters were added."""
    from peft.tuners.tuners_utils import BaseTunerLayer

    layers = [m for m in model.modules() if isinstance(m, BaseTunerLayer)]
    try:
        for layer in layers:
            layer.enable_adapters(False)
        yield
    finally:
        for layer in layers:
            layer.enable_adapters(True)


def merge_adapters(model: nn.Module):
    """Fold the adapters into the weights for good: the same function, up to rounding, in fewer operations.

    Weights in half precision stay apart from their adapters, which they would round away.
    """
    if model.dtype != torch.float32:
        return
    from peft.tuners.tuners_utils import BaseTunerLayer

    for name, module in list(model.named_modules()):
        if isinstance(module, BaseTunerLayer):
            module.merge()
            model.set_submodule(name, module.get_base_layer())
