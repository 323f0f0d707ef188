"""Muon for the matrices inside a network, AdamW for the rest."""

from collections.abc import Iterable

import torch
from torch import Tensor

from speechllm.errors import UserError

NUM_ITERATIONS = (
    3  # of Newton-Schulz; five are usual, and cost a small encoder as much as its gradients
)


class MuonAdamW:
    """Orthogonalised momentum (Muon, kellerjordan.github.io/posts/muon) for matrices, AdamW for other parameters.

    Two optimizers of torch behind the interface of one. Pretraining the small encoder of the mini preset needs less
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
        self.adamw = torch.optim.AdamW(
            others, lr=lr, betas=betas, weight_decay=weight_decay, fused=fused
        )
        self.muon = torch.optim.Muon(
            matrices, lr=matrix_lr, weight_decay=weight_decay, ns_steps=NUM_ITERATIONS
        )
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
