"""Which LLMs follow a 4-D attention mask, as prefix attention and packing need it, and the refusal of the others."""

import math

import torch

from speechllm.errors import UserError
from speechllm.models.masks import span_mask

ALIBI = "its position biases (ALiBi) are made from a 2-D mask"
NO_4D_MASK = {  # families that do not follow a 4-D mask, and why
    "bloom": ALIBI,
    "mpt": ALIBI,
    "gpt_neo": "its layers hide what lies ahead by a mask of their own",
}
FULL, SLIDING = "full_attention", "sliding_attention"  # kinds of layers in transformers' configs


def why_no_4d_mask(config, attention: str) -> str:
    """What keeps an LLM of a transformers config from following a 4-D mask in all layers, also with a cache.

    "" if nothing is known to; ``why_mask_is_lost`` tries it.

    Args:
        attention: implementation, as transformers names it.
    """
    text = config.get_text_config()
    if text.model_type in NO_4D_MASK:
        return NO_4D_MASK[text.model_type]
    if getattr(text, "alibi", False):  # Falcon has it as an option
        return ALIBI
    if attention not in ("sdpa", "eager"):
        return f"llm.attention {attention} reads none (sdpa does)"
    window = getattr(text, "sliding_window", None)
    kinds = getattr(text, "layer_types", None) or [SLIDING if window else FULL]
    if window and window >= (getattr(text, "max_position_embeddings", None) or math.inf):
        kinds = [kind for kind in kinds if kind != SLIDING]
    if others := sorted(set(kinds) - {FULL}):
        size = f" ({window} positions)" if others[0] == SLIDING else ""
        return f"it has layers of {others[0]}{size}, which go by it in training alone"
    return ""


@torch.no_grad()
def why_mask_is_lost(llm) -> str:
    """As ``why_no_4d_mask``, also by trial: the first of three positions that see one another has to see the last.

    Without weights ("meta") nothing is tried.
    """
    weight = llm.model.get_input_embeddings().weight
    if llm.why_no_4d_mask or weight.is_meta:
        return llm.why_no_4d_mask
    x = torch.randn(2, 3, llm.dim, generator=torch.Generator().manual_seed(0))
    x[1, :2] = x[0, :2]
    x, one_part = x.to(weight), torch.ones(2, 3, dtype=torch.long, device=weight.device)
    modes = {module: module.training for module in llm.modules()}
    llm.model.eval()  # dropout would make rows differ
    try:
        first = llm.hidden(x, span_mask(one_part > 0, one_part))[:, 0]
    except (RuntimeError, TypeError, ValueError) as error:
        llm.hidden(x)  # what fails without a mask too is another matter
        return f"it fails with one ({' '.join(str(error).split())[:100]})"
    finally:
        for module, mode in modes.items():
            module.training = mode
    return "it does not look at it" if torch.equal(*first) else ""


def refuse_4d_mask(model_type: str, why: str, packing: bool):
    """Raise a UserError: an LLM cannot do what packing, or else prefix attention, needs."""
    option = "packing" if packing else "speech_attention: prefix"
    instead = "packing: false" if packing else "causal"
    raise UserError(
        f"{option} needs an LLM and an attention that take a 4-D mask; this {model_type} does not: "
        f"{why}; use {instead}"
    )
