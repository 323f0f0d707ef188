"""What a checkpoint holds, and folders that are replaced whole or not at all."""

import hashlib
import os
import shutil
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.distributed.tensor import DTensor, distribute_tensor

from speechllm.errors import UserError

WEIGHTS = "model.safetensors"


def trainable_state_dict(model: nn.Module) -> dict[str, Tensor]:
    """The model's own tensors that a checkpoint must hold.

    These are the parameters that learn, each once however many names it has, and the persistent
    buffers of modules that are not frozen: batch norm statistics, a normalisation's mean. A buffer
    in a module without parameters counts with the nearest module around it that has some. A model
    that knows better defines ``checkpoint_state_dict()``; its values must be the model's own
    tensors, not copies.
    """
    if hasattr(model, "checkpoint_state_dict"):
        return dict(model.checkpoint_state_dict())
    state = {name: p for name, p in model.named_parameters() if p.requires_grad}
    persistent = model.state_dict().keys()
    for name, buffer in model.named_buffers():
        if name in persistent and _learns(model, name.rpartition(".")[0]):
            state[name] = buffer
    return state


def _learns(model: nn.Module, module_name: str) -> bool:
    parameters = list(model.get_submodule(module_name).parameters())
    if parameters or not module_name:
        return any(p.requires_grad for p in parameters)
    return _learns(model, module_name.rpartition(".")[0])


def snapshot(state: Mapping[str, Tensor], keep: bool = True) -> dict[str, Tensor]:
    """Whole tensors on the CPU, each with memory of its own: safetensors refuses shared memory.

    FSDP gathers here, so every process must call it, also one that does not keep the result.
    """
    copies = {}
    for name, value in state.items():
        value = _whole(value)
        if keep:
            copies[name] = value.detach().to("cpu", copy=True).contiguous()
    return copies


def digest(model: nn.Module, keep: bool = True) -> str:
    """SHA-256 of all its weights, one tensor after the other; "" where it is not kept.

    As for ``snapshot``, every process must call it under FSDP. How the model is spread does not matter.
    """
    found = hashlib.sha256()
    with torch.no_grad():
        for name, value in sorted(model.state_dict().items()):
            value = _whole(value)
            if keep:
                found.update(f"{name} {value.dtype} {tuple(value.shape)}\n".encode())
                found.update(value.cpu().reshape(-1).view(torch.uint8).numpy())
    return f"sha256:{found.hexdigest()}" if keep else ""


def _whole(value):
    return value.full_tensor() if isinstance(value, DTensor) else value


def _like(value: Tensor, target: Tensor) -> Tensor:
    if isinstance(target, DTensor):
        return distribute_tensor(value.to(target.device), target.device_mesh, target.placements)
    return value


def fill(model: nn.Module, state: Mapping[str, Tensor], source: str | Path):
    """Copy a snapshot back into the model, DDP's, FSDP's or neither.

    Raises:
        UserError: names or shapes differ, with the first of them.
    """
    own = trainable_state_dict(model)
    differing = [name for name in (*own, *state) if name not in own or name not in state]
    differing += [name for name in own if name in state and own[name].shape != state[name].shape]
    if differing:
        raise UserError(
            f"{source}: does not hold what this model trains (first: {differing[0]}); "
            "choose a new --exp_dir"
        )
    with torch.no_grad():
        for name, target in own.items():
            target.copy_(_like(state[name], target))


def optimizer_snapshot(optimizer: torch.optim.Optimizer, keep: bool = True) -> dict:
    """The optimizer's state with whole tensors, as ``snapshot``; fits any number of processes."""
    saved = optimizer.state_dict()
    moments = {index: snapshot(values, keep) for index, values in saved["state"].items()}
    return {**saved, "state": moments}


def fill_optimizer(optimizer: torch.optim.Optimizer, saved: dict):
    """The inverse of ``optimizer_snapshot``."""
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    moments = {
        index: {k: _like(v, parameters[index]) if v.ndim else v for k, v in values.items()}
        for index, values in saved["state"].items()
    }
    optimizer.load_state_dict({**saved, "state": moments})


def read(path: Path) -> dict[str, Tensor]:
    """The weights of a checkpoint."""
    return load_file(path / WEIGHTS)


def average(paths: Iterable[Path]) -> dict[str, Tensor]:
    """The mean of several checkpoints; whole numbers (counters) are the last one's."""
    paths = list(paths)
    mean = {}
    for path in paths:
        for name, value in (weights := read(path)).items():
            if value.is_floating_point():
                mean[name] = mean.get(name, 0.0) + value.float() / len(paths)
    return {name: mean[name].to(v.dtype) if name in mean else v for name, v in weights.items()}


def mix(weights: Mapping[str, Tensor], start: Mapping[str, Tensor], share: float) -> dict:
    """The weights, ``share`` of the way back to others; whole numbers (counters) stay."""
    return {
        name: value.lerp(start[name].to(value.dtype), share) if value.is_floating_point() else value
        for name, value in weights.items()
    }


def write(
    path: Path,
    weights: Mapping[str, Tensor],
    config_text: str,
    files: Mapping[str, Path],
    more=None,
):
    """Write a checkpoint folder whole, in place of any former one.

    Args:
        files: name in the folder to the file or folder that is copied, e.g. a tokenizer.
        more: called with the temporary folder, to add what else belongs in it.
    """

    def fill_folder(folder: Path):
        save_file(dict(weights), folder / WEIGHTS, metadata={"format": "pt"})
        (folder / "config.yaml").write_text(config_text, encoding="utf-8")
        for name, source in files.items():
            (shutil.copytree if Path(source).is_dir() else shutil.copyfile)(source, folder / name)
        if more is not None:
            more(folder)

    replace_folder(path, fill_folder)


def replace_folder(path: Path, fill_folder: Callable[[Path], None]):
    """Fill ``<path>.tmp`` and put it in the place of ``path``.

    A folder with something in it cannot be renamed over, so the former one steps aside as
    ``<path>.old``. At every moment ``path`` is whole, or ``<path>.tmp`` and ``<path>.old`` both
    are, and ``recover`` finishes the exchange.
    """
    unfinished, former = path.with_name(f"{path.name}.tmp"), path.with_name(f"{path.name}.old")
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir(parents=True)
    fill_folder(unfinished)
    if path.exists():
        shutil.rmtree(former, ignore_errors=True)
        os.rename(path, former)
    os.rename(unfinished, path)
    shutil.rmtree(former, ignore_errors=True)


def recover(path: Path):
    """Finish what a killed ``replace_folder`` left."""
    unfinished, former = path.with_name(f"{path.name}.tmp"), path.with_name(f"{path.name}.old")
    if not path.exists() and former.exists():
        os.rename(unfinished if unfinished.exists() else former, path)
    for leftover in (unfinished, former):
        shutil.rmtree(leftover, ignore_errors=True)
