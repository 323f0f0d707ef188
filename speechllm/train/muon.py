"""Muon for the matrices inside a network, AdamW for the rest."""

from collections.abc import Iterable

import torch
from torch import Tensor

from speechllm.errors import UserError

NUM_ITERATIONS = 3  # five are usual; they cost a small encoder as much time as its gradients
COEFFICIENTS = (
    3.4445,
    -4.7750,
    2.0315,
)  # of Keller Jordan's quintic: steep at zero, near one above


def orthogonalise(x: Tensor, num_iterations: int = NUM_ITERATIONS) -> Tensor:
    """Push all singular values of wide matrices (K, M, N), M <= N, towards one (Newton-Schulz).

    An iteration maps X to P X with P = a + b X X' + c (X X')^2. The small (M, M) matrices alone tell the product of
    all P, so the wide ones are read only at the beginning and at the end: half the time where N = 4 M.
    """
    a, b, c = COEFFICIENTS
    x = x / x.flatten(1).norm(dim=1)[:, None, None].clamp(min=1e-7)
    gram, product = x @ x.mT, None
    for i in range(num_iterations):
        p = torch.baddbmm(gram, gram, gram, beta=b, alpha=c)
        p.diagonal(dim1=1, dim2=2).add_(a)
        product = p if product is None else p @ product
        if i < num_iterations - 1:
            gram = p @ gram @ p
    return product @ x


class Muon(torch.optim.Optimizer):
    """Nesterov momentum, orthogonalised; all matrices of one shape at once.

    torch.optim.Muon does the same one matrix after the other in bfloat16, which takes twice the time on a CPU.
    """

    def __init__(self, matrices, lr: float, weight_decay: float = 0.0, momentum: float = 0.95):
        super().__init__(matrices, {"lr": lr, "weight_decay": weight_decay, "momentum": momentum})

    @torch.no_grad()
    def step(self):
        for group in self.param_groups:
            shapes = {}
            for p in group["params"]:
                if p.grad is not None:
                    shapes.setdefault(tuple(sorted(p.shape)), []).append(p)
            for params in shapes.values():
                self.update(params, group["lr"], group["weight_decay"], group["momentum"])

    def update(self, params: list[Tensor], lr: float, weight_decay: float, momentum: float):
        grads = [p.grad for p in params]
        for p in params:
            if "momentum_buffer" not in self.state[p]:
                self.state[p]["momentum_buffer"] = torch.zeros_like(p)
        buffers = [self.state[p]["momentum_buffer"] for p in params]
        torch._foreach_lerp_(buffers, grads, 1 - momentum)
        updates = torch._foreach_lerp(grads, buffers, momentum)
        wide = [u if u.size(0) <= u.size(1) else u.mT for u in updates]
        for p, u in zip(params, orthogonalise(torch.stack(wide)), strict=True):
            scale = max(1.0, p.size(0) / p.size(1)) ** 0.5
            p.mul_(1 - lr * weight_decay)
            p.add_(u if p.size(0) <= p.size(1) else u.mT, alpha=-lr * scale)


class MuonAdamW:
    """Orthogonalised momentum (Muon, kellerjordan.github.io/posts/muon) for matrices, AdamW for other parameters.

    Two optimizers behind the interface of one. Pretraining the small encoder of the mini preset needs less
    than half the steps that AdamW alone takes to the same loss.

    Args:
        matrices: 2-D weights between hidden layers.
        others: embeddings, output layers, biases, gains, convolutions.
        matrix_lr, lr: their peak rates.

    Raises:
        UserError: the matrices are shared out over processes; Muon needs them whole.
    """

    def __init__(
        self,
        matrices: Iterable[Tensor],
        others: Iterable[Tensor],
        matrix_lr: float,
        lr: float,
        weight_decay: float = 0.0,
        betas: tuple[float, float] = (0.9, 0.98),
    ):
        matrices, others = list(matrices), list(others)
        if any(isinstance(p, torch.distributed.tensor.DTensor) for p in matrices):
            raise UserError(
                "optim.optimizer: muon needs whole matrices; with train.parallel fsdp use adamw"
            )
        fused = {p.device.type for p in others} <= {"cpu", "cuda"}
        decayed, plain = [p for p in others if p.ndim >= 2], [p for p in others if p.ndim < 2]
        groups = [
            {"params": members, "weight_decay": decay}
            for members, decay in ((decayed, weight_decay), (plain, 0.0))
            if members
        ]
        self.adamw = torch.optim.AdamW(groups, lr=lr, betas=betas, fused=fused)
        self.muon = Muon(matrices, matrix_lr, weight_decay)
        for optimizer, peak_lr in ((self.adamw, lr), (self.muon, matrix_lr)):
            for group in optimizer.param_groups:
                group["peak_lr"] = peak_lr
        self.num_others = len(others)

    @property
    def param_groups(self) -> list[dict]:
        return self.adamw.param_groups + self.muon.param_groups

    def step(self):
        self.adamw.step()
        self.muon.step()

    def zero_grad(self, set_to_none: bool = True):
        self.adamw.zero_grad(set_to_none)
        self.muon.zero_grad(set_to_none)

    def state_dict(self) -> dict:
        """As torch's: parameters are numbered in the order of ``param_groups``."""
        adamw, muon = self.adamw.state_dict(), self.muon.state_dict()
        shift = self.num_others
        return {
            "state": adamw["state"] | {shift + i: values for i, values in muon["state"].items()},
            "param_groups": adamw["param_groups"] + muon["param_groups"],
        }

    def load_state_dict(self, saved: dict):
        state, groups, shift = saved["state"], saved["param_groups"], self.num_others
        num_groups = len(self.adamw.param_groups)
        self.adamw.load_state_dict(
            {
                "state": {i: v for i, v in state.items() if i < shift},
                "param_groups": groups[:num_groups],
            }
        )
        self.muon.load_state_dict(
            {
                "state": {i - shift: v for i, v in state.items() if i >= shift},
                "param_groups": groups[num_groups:],
            }
        )
