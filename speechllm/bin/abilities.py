"""Whether a speech LLM listens to its audio, and still writes as before: a part of bin/analyse."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from speechllm.analysis.listening import silenced, with_other_audio
from speechllm.bin.recognize import load_feats
from speechllm.data.sampler import batches_in_order
from speechllm.models.adapters import without_adapters
from speechllm.score.evaluate import AVERAGE, score_rows
from speechllm.score.inputs import Reference
from speechllm.score.metrics import make_metric
from speechllm.score.perplexity import perplexity


def listening(
    make_recognizer: Callable,
    rows: list,
    batch_frames: int,
    metric: str = "wer",
    tokenize: str = "13a",
) -> dict:
    """WER or BLEU of rows of a manifest with their own audio, with that of others, and with silence.

    Args:
        make_recognizer: from a loader of features to a recognizer, see bin/recognize.py.

    Returns:
        per audio the average over languages, and in ``own_against_shuffled`` the change from shuffled to own as in
        results.json, of errors in percent, else in points, with the 95 % interval of a paired bootstrap; None where
        it is infinite.
    """
    report = {"num_utts": len(rows), "metric": metric}
    cases = {
        "own": (rows, load_feats),
        "shuffled": (with_other_audio(rows), load_feats),
        "silent": (rows, silenced(load_feats)),
    }
    hyps = {audio: [""] * len(rows) for audio in cases}
    for audio, (heard, load) in cases.items():
        recognize = make_recognizer(load)
        for batch in batches_in_order(np.array([r.num_frames for r in heard]), batch_frames):
            outputs = recognize([heard[i] for i in batch])
            for i, output in zip(batch, outputs, strict=True):
                hyps[audio][i] = output.text
    texts, langs, spk_ids = ([getattr(row, k) for row in rows] for k in ("text", "lang", "spk_id"))
    utt_ids, order = [row.utt_id for row in rows], sorted(set(langs))
    reference = Reference(utt_ids, texts, langs, spk_ids, Path(), order)
    scorer = make_metric(metric, tokenize)
    scored = score_rows(reference, hyps, scorer, scorer.is_error, baseline="shuffled")
    found = {(row["system"], row["metric"]): row for row in scored if row["lang"] == AVERAGE}
    report |= {audio: found[audio, metric]["value"] for audio in cases}
    against = found.get(("own", f"{metric}_vs_shuffled"), {})
    against = {key: against.get(key) for key in ("value", "low", "high")}
    return report | {"own_against_shuffled": None if None in against.values() else against}


def describe_listening(report: dict) -> str:
    """The line that is printed of what ``listening`` reports."""
    metric = report["metric"]
    told = ", ".join(f"{audio} {report[audio]:.1f}" for audio in ("own", "shuffled", "silent"))
    if gain := report["own_against_shuffled"]:
        unit = " %" if make_metric(metric).is_error else ""
        low, high = (f"{gain[k]:+.1f}" for k in ("low", "high"))
        told += f"; own against shuffled {gain['value']:+.1f}{unit} [{low}, {high}]"
    return f"{metric.upper()} with audio {told}"


def next_tokens(llm, rows: list[list[int]], device) -> tuple[list, list]:
    """What an LLM makes of texts: per text -log p of its tokens after the first, and the most likely ones."""
    nlls, guesses = [], []
    for ids in rows:
        token_ids = torch.tensor([ids], device=device)
        with torch.no_grad():
            log_probs = llm.logits(llm.hidden(llm.embed(token_ids)))[0, :-1].log_softmax(-1)
        nlls.append(-log_probs.gather(1, token_ids[0, 1:, None])[:, 0].cpu().numpy())
        guesses.append(log_probs.argmax(-1).cpu().numpy())
    return nlls, guesses


def writing(llm, base_llm, rows: list[list[int]], device) -> dict:
    """What learning to listen has done to the LLM as a writer.

    Args:
        rows: token ids of held-out texts, the beginning of a text first.

    Returns:
        perplexity per token with the adapters and without, the share of positions at which both think the same token
        most likely, and whether, without, every token's likelihood is bit by bit that of the LLM as it was loaded.
    """
    nlls, guesses = next_tokens(llm, rows, device)
    with without_adapters(llm.model):
        plain_nlls, plain_guesses = next_tokens(llm, rows, device)
    base_nlls, _ = next_tokens(base_llm, rows, device)
    return {
        "num_texts": len(rows),
        "perplexity": perplexity(nlls),
        "perplexity_without_adapters": perplexity(plain_nlls),
        "agreement": float((np.concatenate(guesses) == np.concatenate(plain_guesses)).mean()),
        "equal_without_adapters": bool(
            all(np.array_equal(a, b) for a, b in zip(plain_nlls, base_nlls, strict=True))
        ),
    }


def describe_writing(report: dict, finetuned: bool) -> str:
    """The lines that are printed of what ``writing`` reports.

    Args:
        finetuned: the LLM's own weights have learnt too.
    """
    lines = [
        f"perplexity of text {report['perplexity']:.2f}, without the adapters "
        f"{report['perplexity_without_adapters']:.2f}; agreement {report['agreement']:.3f}"
    ]
    if report["equal_without_adapters"]:
        lines.append("without the adapters every likelihood is bit by bit that of the LLM before")
    elif finetuned:
        lines.append(
            "without adapters it is NOT the LLM before, as was to be expected: llm.finetune is true"
        )
    else:
        lines.append(
            "WARNING: without the adapters it is NOT the LLM before, though its weights were not trained; "
            "is it the same LLM (--llm), in the same dtype, as in training?"
        )
    return "\n".join(lines)
