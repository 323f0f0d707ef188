"""The processes of one run: who they are, what they share, how a model is spread over them."""

import datetime
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass

import torch
import torch.distributed as dist
from torch import nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import FSDPModule, fully_shard, register_fsdp_forward_method
from torch.nn.parallel import DistributedDataParallel

from speechllm.errors import UserError

WAIT = datetime.timedelta(hours=2)  # one process may decode for long while the others stand by


@dataclass(frozen=True)
class Setup:
    """This process among all of the run."""

    rank: int = 0
    world_size: int = 1
    device: torch.device = torch.device("cpu")

    @property
    def is_main(self) -> bool:
        return self.rank == 0


def init(exact: bool = False) -> Setup:
    """Join the processes that torchrun started, if it did; take a GPU if there is one.

    Args:
        exact: compute float32 as such, for decoding: rounding would let results depend on the batch. Otherwise
            GPUs may round it to TF32.

    Raises:
        UserError: more processes on this machine than GPUs, or none where launch.sh was asked for some.
    """
    wanted = int(os.environ.get("SPEECHLLM_NGPU", 0))
    if wanted and not torch.cuda.is_available():
        raise UserError(
            f"--ngpu {wanted}, but PyTorch {torch.__version__} finds no GPU it can use here; pass --ngpu 0, "
            "or see what tools/check_install.py says"
        )
    rank, world_size, local_rank = (
        int(os.environ.get(k, d)) for k, d in (("RANK", 0), ("WORLD_SIZE", 1), ("LOCAL_RANK", 0))
    )
    device = torch.device("cpu")
    if torch.cuda.is_available():
        num_local = int(os.environ.get("LOCAL_WORLD_SIZE", local_rank + 1))
        if num_local > torch.cuda.device_count():
            raise UserError(
                f"{num_local} processes on a machine that shows {torch.cuda.device_count()} GPUs; "
                "lower --ngpu or widen CUDA_VISIBLE_DEVICES"
            )
        device = torch.device("cuda", local_rank)
        torch.cuda.set_device(device)
        torch.set_float32_matmul_precision("highest" if exact else "high")
        torch.backends.cudnn.allow_tf32 = not exact
    if world_size > 1 and not dist.is_initialized():
        dist.init_process_group(
            "gloo" if device.type == "cpu" else "cpu:gloo,cuda:nccl", timeout=WAIT
        )
    return Setup(rank, world_size, device)


def close():
    """Leave the group, so that no process warns of an unclean end."""
    if dist.is_initialized():
        dist.destroy_process_group()


def total(values: torch.Tensor, setup: Setup) -> torch.Tensor:
    """Sum over all processes, in place."""
    if setup.world_size > 1:
        dist.all_reduce(values)
    return values


def gather(value, setup: Setup) -> list:
    """The value of every process, in the order of ranks, on every process."""
    values = [value]
    if setup.world_size > 1:
        values = [None] * setup.world_size
        dist.all_gather_object(values, value)
    return values


def from_main(function: Callable, setup: Setup):
    """Run on the main process; every process gets its result, or its UserError."""
    outcome = [None, None]
    if setup.is_main:
        try:
            outcome[0] = function()
        except UserError as error:
            outcome[1] = str(error)
    if setup.world_size > 1:
        dist.broadcast_object_list(outcome, src=0)
    if outcome[1] is not None:
        raise UserError(outcome[1])
    return outcome[0]


def wrap(
    model: nn.Module, setup: Setup, parallel: str = "auto", activation_checkpointing: bool = False
) -> nn.Module:
    """Move the model to this process's device and spread it; the optimizer is made afterwards.

    Args:
        model: may still lie on the CPU; then FSDP moves one layer after the other, and the whole
            never has to fit.
        parallel: ``ddp`` (a copy each), ``fsdp`` (a share each; needs ``model.fsdp_layers()``, the
            modules that are gathered one by one), or ``auto``: ``fsdp`` where a copy with its
            gradients and optimizer would take more than 60 % of the GPU.
        activation_checkpointing: call ``model.enable_activation_checkpointing()``.

    Raises:
        UserError: the model lacks what the choice needs.
    """
    name = type(model).__name__
    if activation_checkpointing:
        if not hasattr(model, "enable_activation_checkpointing"):
            raise UserError(
                f"train.activation_checkpointing: a {name} cannot do it; set it to false"
            )
        model.enable_activation_checkpointing()
    if parallel not in ("auto", "ddp", "fsdp"):
        raise UserError(f"train.parallel: no way {parallel!r}; choose from auto, ddp, fsdp")
    if setup.world_size == 1:
        return model.to(setup.device)
    if parallel == "auto":
        parallel = "ddp" if _copy_fits(model, setup.device) else "fsdp"
    if parallel == "ddp":
        # share_buffers makes buffers equal before they are used or saved: no need at each forward.
        return DistributedDataParallel(
            model.to(setup.device), broadcast_buffers=False, gradient_as_bucket_view=True
        )
    if not hasattr(model, "fsdp_layers"):
        raise UserError(
            f"train.parallel: a {name} does not say how to share it out (fsdp_layers); use ddp"
        )
    return _share_out(model, setup)


def _copy_fits(model: nn.Module, device: torch.device) -> bool:
    if device.type == "cpu":
        return True
    weights = sum(p.numel() * p.element_size() for p in model.parameters())
    trained = sum(p.numel() * (p.element_size() + 8) for p in model.parameters() if p.requires_grad)
    return weights + trained < 0.6 * torch.cuda.get_device_properties(device).total_memory


def _share_out(model: nn.Module, setup: Setup) -> nn.Module:
    dtypes = {p.dtype for p in model.parameters() if p.requires_grad}
    if len(dtypes) > 1:
        names = " and ".join(sorted(str(dtype).removeprefix("torch.") for dtype in dtypes))
        raise UserError(
            f"train.parallel: fsdp cannot train {names} weights together; set llm.dtype: float32"
        )
    for tensor in (*(p for p in model.parameters() if p.requires_grad), *model.buffers()):
        dist.broadcast(
            tensor.data, src=0
        )  # DDP does this itself; frozen weights were read from the same files
    mesh = init_device_mesh(setup.device.type, (setup.world_size,))
    for layer in model.fsdp_layers():
        fully_shard(layer, mesh=mesh)
    fully_shard(model, mesh=mesh)
    # A way to gather what lies outside the layers without a forward: module.unshard() alone does not
    # tell the layers who their root is, and torch 2.12 then ends in a segmentation fault.
    model.gather_root = lambda: None
    register_fsdp_forward_method(model, "gather_root")
    return model


def unwrap(model: nn.Module) -> nn.Module:
    """The model itself, whatever ``wrap`` put around it."""
    return model.module if isinstance(model, DistributedDataParallel) else model


def micro_batch(model: nn.Module, is_last: bool):
    """Context of a forward and backward; a step's last micro-batch alone sends gradients round."""
    if isinstance(model, FSDPModule):
        model.set_requires_gradient_sync(is_last)
    return (
        model.no_sync()
        if isinstance(model, DistributedDataParallel) and not is_last
        else nullcontext()
    )


@contextmanager
def evaluating(model: nn.Module) -> Iterator[nn.Module]:
    """The unwrapped model in eval mode, without gradients; afterwards it trains again.

    Under FSDP the weights outside ``fsdp_layers`` are gathered, so that any method of the model can
    be called; every process must then run the same batches (see ``share``).
    """
    model = unwrap(model)
    model.eval()
    if isinstance(model, FSDPModule):
        model.gather_root()
    try:
        with torch.no_grad():
            yield model
    finally:
        if isinstance(model, FSDPModule):
            model.reshard()
        model.train()


def share(items: Sequence, model: nn.Module, setup: Setup) -> Sequence:
    """This process's items of a validation: every n-th; all, where FSDP lets none run alone."""
    return items if isinstance(unwrap(model), FSDPModule) else items[setup.rank :: setup.world_size]


def share_buffers(model: nn.Module, setup: Setup):
    """Give every process the main one's buffers: batch norm counts each process's own batches."""
    if setup.world_size > 1:
        for buffer in unwrap(model).buffers():
            dist.broadcast(buffer, src=0)
