"""The training loop of every model here."""

from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import nullcontext
from itertools import islice
from pathlib import Path

import torch
from torch import nn

from speechllm.errors import UserError
from speechllm.train import checkpoint, distributed
from speechllm.train.distributed import Setup
from speechllm.train.exp_dir import ExpDir, Progress
from speechllm.train.log import RunLog, describe, say
from speechllm.train.optim import Schedule, set_lr
from speechllm.train.update import update


def train(
    model: nn.Module,
    epoch_batches: Callable,
    optimizer: torch.optim.Optimizer,
    schedule: Schedule,
    *,
    setup: Setup,
    exp_dir: str | Path,
    config_text: str,
    max_steps: int,
    accum: int = 1,
    grad_clip: float = 0.0,
    precision: str = "auto",
    seed: int = 0,
    log_every: int = 50,
    validate: Callable[[int], Mapping[str, float]] | None = None,
    valid_every: int | None = None,
    save_every: int | None = None,
    keep_best: int = 1,
    start_share: float = 0.0,
    files: Mapping[str, str | Path] | None = None,
    may_change: Collection[str] = (),
    overwrite: bool = False,
    tensorboard: bool = True,
) -> Progress:
    """Train until ``max_steps``; go on from ``exp_dir/last`` where that exists.

    A step follows the gradient of the sum of all losses divided once by the sum of all weights,
    over micro-batches and processes. Random numbers depend on seed, step and process alone. So a
    run that was killed anywhere and started again ends with the weights of one that was not. At
    the end ``exp_dir/best`` is written, and the model holds it.

    Args:
        model: what ``distributed.wrap`` returned. ``model(**batch)``, called without ``utt_ids``,
            returns the sum of the losses, its weight (what to divide by), and stats, which are
            averages over the batch. ``model.on_step(step)`` is called before each step if there is such a method.
        epoch_batches: ``epoch_batches(epoch, skip)`` gives this process's micro-batches of an
            epoch (counted from 0) without the first ``skip``; its ``len``, the number it gives, is
            the same for all processes.
        optimizer, schedule: of ``optim.make``, for the wrapped model.
        config_text: YAML that describes the run; a folder belongs to one config, see ``ExpDir``.
        accum: micro-batches per step.
        grad_clip: greatest gradient norm; 0 does not clip.
        precision: ``bf16`` (autocast), ``fp32``, or ``auto``: bf16 where the GPU has it.
        validate: called with the step, on every process, with the model in eval mode, without
            gradients, in the same precision. The main process's scores count; ``best`` minimises
            the first of them, unless ``start_share`` mixes it.
        valid_every: steps between validations; None validates after every epoch. The last step is
            always validated.
        save_every: steps between saves of ``last/``, beside those after each validation.
        keep_best: how many checkpoints with the lowest scores are kept, and averaged at the end;
            the average becomes ``best/`` if it scores no worse than the best of them.
        start_share: how far ``best/`` then goes back to the weights before training, whatever that scores: it is meant
            for what the dev set does not show (WiSE-FT, arXiv:2109.01903).
        files, may_change, overwrite: see ``ExpDir``.

    Returns:
        Where the run stands.

    Raises:
        UserError: the folder holds another run; loss or gradient norm is not finite.
    """
    _check(model, optimizer)
    core, autocast = distributed.unwrap(model), _autocast(precision, setup.device)
    run = ExpDir(exp_dir, config_text, files)
    distributed.from_main(lambda: run.open(may_change, overwrite), setup)
    start = checkpoint.snapshot(checkpoint.trainable_state_dict(core)) if start_share else {}
    progress = _resume(run, core, optimizer, setup)

    if run.best.exists() and progress.step >= max_steps:
        checkpoint.fill(core, checkpoint.read(run.best), run.best)
        _say(setup, f"{run.path}: finished at step {progress.step}, nothing to do")
        return progress

    _say(setup, describe(core))
    dtype = "bf16" if autocast else "fp32"
    _say(setup, f"micro-batches per step: {accum} x {setup.world_size} processes; {dtype}")
    if progress.step:
        _say(setup, f"going on from step {progress.step}")
    log = RunLog(run.path, setup.is_main, progress, progress.step / max_steps, tensorboard)

    def scores_now() -> dict[str, float]:
        with distributed.evaluating(model), autocast or nullcontext():
            scores = validate(progress.step)
        return distributed.from_main(lambda: {k: float(v) for k, v in scores.items()}, setup)

    def save(validated: bool):
        distributed.share_buffers(model, setup)
        weights = checkpoint.snapshot(checkpoint.trainable_state_dict(core), keep=setup.is_main)
        if validated and validate is not None:
            scores = scores_now()
            if progress.enter(next(iter(scores.values())), keep_best):
                distributed.from_main(lambda: run.write_step(progress.step, weights), setup)
            is_best = progress.best[0][1] == progress.step
            log.valid(progress.step, scores, "  best so far" if is_best else "")
        progress.validated = progress.step if validated else progress.validated
        progress.metrics_bytes = log.metrics_bytes()
        state = checkpoint.optimizer_snapshot(optimizer, keep=setup.is_main)
        distributed.from_main(lambda: run.write_last(weights, state, progress), setup)
        log.restart()

    with log:
        model.train()
        for group, epoch_size in _groups(epoch_batches, progress, max_steps, accum, seed, setup):
            progress.step += 1
            set_lr(optimizer, schedule, progress.step)
            if hasattr(core, "on_step"):
                core.on_step(progress.step)
            sums, grad_norm = update(
                model,
                group,
                optimizer,
                step=progress.step,
                setup=setup,
                grad_clip=grad_clip,
                autocast=autocast,
            )
            log.add(sums, grad_norm)
            progress.micro_batches += len(group)
            share = progress.micro_batches / epoch_size
            epoch = progress.epoch + share
            if epoch_ends := share >= 1:
                progress.epoch, progress.micro_batches = progress.epoch + 1, 0

            due = progress.step % valid_every == 0 if valid_every else epoch_ends
            save_due = due or (bool(save_every) and progress.step % save_every == 0)
            if save_due or progress.step % log_every == 0 or progress.step >= max_steps:
                lr = max(group["lr"] for group in optimizer.param_groups)
                log.steps(progress.step, max_steps, epoch, lr, progress.step / max_steps)
            if save_due:
                save(validated=due)
        if progress.validated != progress.step:
            save(validated=True)
        scored = scores_now if validate else None
        _finish(run, core, progress, scored, log, setup, start, start_share)
    return progress


def _check(model, optimizer):
    learning = {id(p) for p in model.parameters() if p.requires_grad}
    if learning != {id(p) for group in optimizer.param_groups for p in group["params"]}:
        raise ValueError("train: make the optimizer for the model that distributed.wrap returned")


def _autocast(precision: str, device: torch.device) -> torch.autocast | None:
    if precision not in ("auto", "bf16", "fp32"):
        raise UserError(f"train.precision is {precision!r}; choose from auto, bf16, fp32")
    on_gpu = device.type == "cuda"
    has_bf16 = on_gpu and torch.cuda.is_bf16_supported(including_emulation=False)
    wanted = precision == "bf16" or (precision == "auto" and has_bf16)
    return torch.autocast(device.type, dtype=torch.bfloat16) if wanted else None


def _say(setup: Setup, text: str):
    if setup.is_main:
        say(text)


def _resume(run: ExpDir, core: nn.Module, optimizer, setup: Setup) -> Progress:
    last = run.load_last()
    if last is None:
        return Progress(world_size=setup.world_size)
    weights, optimizer_state, progress = last
    checkpoint.fill(core, weights, run.last)
    checkpoint.fill_optimizer(optimizer, optimizer_state)
    if progress.world_size != setup.world_size:
        _say(setup, f"{run.last}: saved by {progress.world_size} processes, now {setup.world_size}")
        progress.spread(setup.world_size)
    return progress


def _groups(
    epoch_batches: Callable,
    progress: Progress,
    max_steps: int,
    accum: int,
    seed: int,
    setup: Setup,
) -> Iterator[tuple[list[dict], int]]:
    """Yield each step's micro-batches, under the step's own seed, and the size of its epoch."""

    def set_seed(number: int):
        torch.manual_seed(seed + 1_000_003 * number + 7_919 * setup.rank)

    while progress.step < max_steps:
        epoch, skip = progress.epoch, progress.micro_batches
        set_seed(-1 - epoch)  # a loader draws its workers' seed when it starts
        batches = epoch_batches(epoch, skip)
        if len(batches) == 0 and skip == 0:
            raise UserError(f"epoch {epoch} has no batch; is the training set empty?")
        if len(batches) == 0:  # another number of processes, among which an epoch divides otherwise
            progress.epoch, progress.micro_batches = epoch + 1, 0
            continue
        iterator, epoch_size = iter(batches), skip + len(batches)
        while progress.epoch == epoch and progress.step < max_steps:
            set_seed(progress.step)
            group = list(islice(iterator, accum))
            if not group:
                told, gave = len(batches), progress.micro_batches - skip
                raise ValueError(f"epoch_batches({epoch}, {skip}) has len {told} but gave {gave}")
            yield group, epoch_size


def _finish(
    run: ExpDir,
    core: nn.Module,
    progress: Progress,
    scores_now,
    log: RunLog,
    setup: Setup,
    start: Mapping,
    start_share: float,
):
    """Write ``best/``: the best checkpoints' average, the best one, or, unvalidated, the last; mixed with the start."""
    source, what = run.last, f"step {progress.step}"
    if scores_now is not None:
        best_score, best_step = progress.best[0]
        source, what = run.step(best_step), f"step {best_step}"
    weights = checkpoint.read(source)

    def score(candidate: dict, name: str, prefix: str) -> float:
        checkpoint.fill(core, candidate, run.path)
        scores = scores_now()
        log.valid(progress.step, scores, f"  {name}", prefix=prefix)
        return next(iter(scores.values()))

    if scores_now is not None and len(progress.best) > 1:
        steps = sorted(step for _, step in progress.best)
        averaged = checkpoint.average([run.step(step) for step in steps])
        name = f"average of steps {', '.join(map(str, steps))}"
        if score(averaged, name, "average_") <= best_score:
            weights, what = averaged, name
    if start_share:
        weights = checkpoint.mix(weights, start, start_share)
        what = f"{what}, {start_share:g} of the way back to the start"
        if scores_now is not None:
            score(weights, what, "mixed_")
    checkpoint.fill(core, weights, run.path)
    distributed.from_main(lambda: run.write(run.best, weights), setup)
    _say(setup, f"{run.best}: {what}")
