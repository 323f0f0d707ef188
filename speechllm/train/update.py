"""One optimizer step over micro-batches and processes, divided once by all that they weigh."""

import math
from contextlib import nullcontext

import torch
from torch import Tensor, nn
from torch.distributed.tensor import DTensor
from torch.nn.utils import get_total_norm

from speechllm.errors import UserError
from speechllm.train import distributed
from speechllm.train.distributed import Setup


def update(
    model: nn.Module,
    micro_batches: list[dict],
    optimizer: torch.optim.Optimizer,
    *,
    step: int,
    setup: Setup,
    grad_clip: float = 0.0,
    autocast: torch.autocast | None = None,
) -> tuple[dict[str, float], float]:
    """Forward, backward and optimizer step.

    Returns:
        Totals over micro-batches and processes: ``loss``, ``weight``, ``frames``, ``padded_frames``
        (0 where batches have no features), and each of the model's stats times the weight; and the
        gradient norm before clipping.

    Raises:
        UserError: loss or gradient norm is not finite; the weights are then as before the step.
    """
    losses, totals = [], []
    for i, batch in enumerate(micro_batches):
        inputs = {k: to_device(v, setup.device) for k, v in batch.items() if k != "utt_ids"}
        with distributed.micro_batch(model, is_last=i == len(micro_batches) - 1):
            with autocast or nullcontext():
                loss_sum, weight, stats = model(**inputs)
            loss_sum.backward()
        losses.append(loss_sum.detach())
        names = ["loss", "weight", "frames", "padded_frames", *stats]
        values = [losses[-1], weight, *count_frames(batch), *(v * weight for v in stats.values())]
        totals.append(torch.stack([_number(value, setup.device) for value in values]))
    sums = distributed.total(torch.stack(totals).sum(dim=0), setup).tolist()
    sums = dict(zip(names, sums, strict=True))

    gradients = [p.grad for g in optimizer.param_groups for p in g["params"] if p.grad is not None]
    scale = setup.world_size / max(sums["weight"], 1.0)  # DDP and FSDP have divided by world_size
    norm = get_total_norm(gradients)
    grad_norm = float(norm.full_tensor() if isinstance(norm, DTensor) else norm) * scale
    if not (math.isfinite(grad_norm) and math.isfinite(sums["loss"])):
        utt_ids = suspects(micro_batches, losses, setup)
        raise UserError(
            f"step {step}: gradient norm is {grad_norm:g} and loss {sums['loss']:g}; "
            f"utterances {' '.join(utt_ids[:5])}: look for broken audio or text there, "
            "or lower optim.lr; nothing of this step was saved"
        )
    if grad_clip > 0:
        scale *= min(1.0, grad_clip / (grad_norm + 1e-6))
    if gradients:
        torch._foreach_mul_(gradients, scale)
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)
    return sums, grad_norm


def to_device(value, device: torch.device):
    """A tensor on the device; lists, such as prompts and targets, stay on the CPU, where rows are joined."""
    return value.to(device, non_blocking=True) if isinstance(value, Tensor) else value


def count_frames(batch: dict) -> tuple[int, int]:
    """Real frames and frames with padding; 0 where a batch has no features."""
    if "feat_lens" not in batch:
        return 0, 0
    return int(batch["feat_lens"].sum()), batch["feats"].shape[:2].numel()


def suspects(micro_batches: list[dict], losses: list[Tensor], setup: Setup) -> list[str]:
    """Utterances of the micro-batches with a loss that is not finite; all, where every loss is."""
    ids = [list(batch.get("utt_ids", ())) for batch in micro_batches]
    broken = [utts for utts, loss in zip(ids, losses, strict=True) if not torch.isfinite(loss)]
    everywhere = distributed.gather((sum(broken, []), sum(ids, [])), setup)
    broken, all_ids = (sum(lists, []) for lists in zip(*everywhere, strict=True))
    return broken or all_ids


def _number(value, device: torch.device) -> Tensor:
    return torch.as_tensor(value, dtype=torch.float64, device=device).detach()
