"""What the training commands share: from a manifest to this process's batches, and from a config to the loop."""

import dataclasses
import math
from collections.abc import Callable
from pathlib import Path

import numpy as np

from speechllm.config import DataConfig, OptimConfig, TrainConfig
from speechllm.data.manifest import Manifest
from speechllm.data.rows import Row
from speechllm.data.sampler import batches_in_order, padding_share, plan_batches, share_of_rank
from speechllm.errors import UserError
from speechllm.score.metrics import make_metric, prepare
from speechllm.train import distributed, optim
from speechllm.train.distributed import Setup, unwrap, wrap
from speechllm.train.log import say
from speechllm.train.loop import train
from speechllm.train.muon import MuonAdamW


def usable(
    manifest: Manifest, max_frames: int, unusable: list[tuple[int, str]], setup: Setup
) -> np.ndarray:
    """Indices to train on; what is left out is counted and the first one named.

    Args:
        unusable: (index, why) of utterances that cannot be learnt.
    """
    keep = manifest.num_frames <= max_frames
    if (~keep).any() and setup.is_main:
        first = manifest.row(int(np.flatnonzero(~keep)[0]))
        say(
            f"left out: {(~keep).sum()} utterances longer than data.max_frames {max_frames}, first: {first.utt_id}"
        )
    if unusable and setup.is_main:
        say(
            f"left out: {len(unusable)} utterances, first: {unusable[0][1]}; use larger units to keep them"
        )
    keep[[index for index, _ in unusable]] = False
    if not keep.any():
        raise UserError(
            f"{manifest.path}: no utterance is left to train on; check data.max_frames and the tokenizer"
        )
    return np.flatnonzero(keep)


def heard_at_once(manifest: Manifest, window: float, tell: bool = True) -> np.ndarray:
    """Indices of the utterances that are not longer than a window; the others are counted and the first one named.

    Args:
        window: seconds that decoding hears at once; 0: any length.
        tell: say what is left out.

    Raises:
        UserError: all are longer.
    """
    keep = manifest.num_frames <= (round(100 * window) or np.inf)
    if not keep.any():
        raise UserError(
            f"{manifest.path}: all {len(manifest)} utterances are longer than window {window:g} s (decode.yaml); "
            "give segments, or another window"
        )
    if tell and not keep.all():
        first = manifest.row(int(np.flatnonzero(~keep)[0])).utt_id
        say(
            f"left out: {(~keep).sum()} of {len(manifest)} utterances of {Path(manifest.path).parent}, "
            f"longer than window {window:g} s, first: {first}"
        )
    return np.flatnonzero(keep)


def epoch_batches(
    manifest: Manifest, chosen: np.ndarray, config: DataConfig, seed: int, setup: Setup, load
):
    """The function ``epoch_batches(epoch, skip)`` that the training loop asks for.

    Args:
        load: makes a sized iterable of batches from planned index arrays.
    """
    if setup.is_main:
        hours = (
            np.bincount(manifest.lang_ids[chosen], manifest.num_frames[chosen], len(manifest.langs))
            / 360_000
        )
        shares = (
            np.where(hours > 0, hours**config.lang_beta, 0)
            / np.where(hours > 0, hours**config.lang_beta, 0).sum()
        )
        told = ", ".join(
            f"{n} {h:.2f} h ({p:.1%})"
            for n, h, p in zip(manifest.langs, hours, shares, strict=True)
            if h
        )
        say(f"training set: {len(chosen)} utterances; {told} with p ~ hours^{config.lang_beta:g}")

    def batches(epoch: int, skip: int):
        plan = plan_batches(
            manifest.num_frames,
            config.batch_frames,
            seed,
            epoch,
            chosen,
            config.max_batch_size,
            manifest.lang_ids,
            config.lang_beta,
        )
        if setup.is_main:
            share = padding_share(manifest.num_frames, plan)
            say(
                f"epoch {epoch}: {len(plan)} batches of {config.batch_frames} frames, {share:.1%} padding"
            )
        return load(share_of_rank(plan, setup.rank, setup.world_size)[skip:])

    return batches


def masking_shares(
    manifest: Manifest, chosen: np.ndarray, share: float, beta: float, setup: Setup
) -> dict[str, float]:
    """The share of target tokens to hide by language, less where there is less speech, and say so."""
    hours = np.bincount(manifest.lang_ids[chosen], manifest.num_frames[chosen], len(manifest.langs))
    shares = share * np.where(hours > 0, (hours / hours.max()) ** beta, 0.0)
    found = dict(zip(manifest.langs, shares.tolist(), strict=True))
    if share and setup.is_main:
        told = ", ".join(f"{lang} {found[lang]:.3f}" for lang in manifest.langs)
        say(f"target tokens hidden in training: {told}, ~ hours^{beta:g}")
    return found


def limit_steps(optim: OptimConfig, train_frames: int, batch_frames: int, setup: Setup):
    """The config with no more ``max_steps`` than about ``max_epochs`` passes over so many frames take."""
    if not optim.max_epochs:
        return optim
    per_epoch = train_frames / (batch_frames * optim.accum * setup.world_size)
    return dataclasses.replace(
        optim, max_steps=min(optim.max_steps, math.ceil(optim.max_epochs * per_epoch))
    )


def run_training(
    model,
    batches,
    train_frames: int,
    validate,
    config_text: str,
    files: dict,
    config,
    args,
    setup: Setup,
    lr_scales=None,
):
    """Spread the model, make the optimizer, and train.

    Args:
        train_frames: of all utterances that are learnt from.
        config: has ``optim``, ``data`` and ``train``.
        lr_scales: submodules that learn at a share of the rate.
    """
    settings = limit_steps(config.optim, train_frames, config.data.batch_frames, setup)
    options: TrainConfig = config.train
    wrapped = wrap(model, setup, options.parallel, options.activation_checkpointing)
    groups = optim.param_groups(wrapped, lr_scales or {})
    if settings.optimizer == "muon":
        ids = {id(p) for p in hidden_matrices(unwrap(wrapped))}
        optimizer = MuonAdamW(
            [g | {"params": [p for p in g["params"] if id(p) in ids]} for g in groups],
            [g | {"params": [p for p in g["params"] if id(p) not in ids]} for g in groups],
            settings.muon_lr,
            settings.lr,
            settings.weight_decay,
            (settings.beta1, settings.beta2),
        )
        schedule = optim.make_schedule(
            settings.schedule,
            settings.lr,
            settings.final_lr,
            settings.warmup_steps,
            settings.max_steps,
        )
    else:
        optimizer, schedule = optim.make(
            groups,
            lr=settings.lr,
            warmup_steps=settings.warmup_steps,
            schedule=settings.schedule,
            final_lr=settings.final_lr,
            max_steps=settings.max_steps,
            weight_decay=settings.weight_decay,
            betas=(settings.beta1, settings.beta2),
        )
    return train(
        wrapped,
        batches,
        optimizer,
        schedule,
        setup=setup,
        exp_dir=args.exp_dir,
        config_text=config_text,
        max_steps=settings.max_steps,
        accum=settings.accum,
        grad_clip=settings.grad_clip,
        precision=options.precision,
        seed=options.seed,
        log_every=options.log_every,
        validate=validate,
        valid_every=options.valid_every,
        save_every=options.save_every or None,
        keep_best=options.keep_best,
        start_share=options.start_share,
        files=files,
        may_change=("config.train.log_every", "config.train.save_every", "config.data.num_workers"),
        overwrite=args.overwrite,
    )


def hidden_matrices(model) -> list:
    """The trained matrices of encoder, adaptor, adapters and decoder; embeddings and output layers stay out.

    What IA3 and OFT learn is stored in two dimensions, but no matrix that maps vectors.
    """
    return [
        p
        for name, p in model.named_parameters()
        if p.requires_grad
        and p.ndim == 2
        and name.startswith(("speech.", "adaptor.", "llm.", "decoder."))
        and not any(part in name for part in ("embed", "lm_head", "output_layer", "ia3_", "oft_"))
    ]


def validator(
    valid_dir: str,
    recognize: Callable[[list[Row]], list],
    reference: Callable[[Row], str],
    model,
    batch_frames: int,
    num_utts: int,
    setup: Setup,
    window: float,
    metric: str = "wer",
    tokenize: str = "13a",
):
    """The function ``validate(step)`` that the training loop asks for: WER or BLEU of really decoded utterances.

    Checkpoints are chosen by the first score, the lower the better; of BLEU it is what is missing to 100.

    Args:
        recognize: rows of a batch to outputs that have a ``text``, see bin/recognize.py.
        reference: what should come out for a row.
        model: decides whether processes can share the work.
        num_utts: about so many, spread evenly over the set.
        window: seconds; longer utterances are left out, as decoding does not hear them at once; 0: none are.
        metric: "wer" or "bleu".
        tokenize: sacreBLEU's tokenizer of the target language.

    Raises:
        UserError: the tokenizer is not installed, or all utterances are too long.
    """
    make_metric(metric, tokenize)
    manifest = Manifest(Path(valid_dir) / "manifest.arrow")
    short = heard_at_once(manifest, window, setup.is_main)
    count = min(num_utts, len(short))
    chosen = short[np.unique(np.linspace(0, len(short) - 1, count).round().astype(int))]
    plan = batches_in_order(manifest.num_frames, batch_frames, chosen)

    def validate(step):
        pairs = []
        for batch in distributed.share(plan, model, setup):
            rows = [manifest.row(i) for i in batch]
            for row, output in zip(rows, recognize(rows), strict=True):
                pairs.append((row.lang, reference(row), output.text))
        score = mean_score(sum(distributed.gather(pairs, setup), []), metric, tokenize)
        return {"wer": score} if metric == "wer" else {"lost_bleu": 100 - score, "bleu": score}

    return validate


def saved_config(**values) -> str:
    """YAML of what a checkpoint must say about itself; dataclasses become mappings."""
    import yaml

    plain = {
        k: dataclasses.asdict(v) if dataclasses.is_dataclass(v) else v for k, v in values.items()
    }
    return yaml.safe_dump(plain, sort_keys=False, allow_unicode=True)


def mean_score(
    pairs: list[tuple[str, str, str]], metric: str = "wer", tokenize: str = "13a"
) -> float:
    """A metric of score/metrics.py, the plain mean over languages, from (language, reference, hypothesis).

    Args:
        tokenize: of BLEU, see ``make_metric``.
    """
    scorer, scores = make_metric(metric, tokenize), []
    for lang in sorted({lang for lang, _, _ in pairs}):
        refs, hyps = (
            prepare([pair[i] for pair in pairs if pair[0] == lang], lang, scorer.is_error)
            for i in (1, 2)
        )
        scores.append(float(scorer.value(scorer.stats(refs, hyps, lang).sum(0))))
    return sum(scores) / len(scores)
