"""A tiny chat LLM learns to listen, is looked at before and after, and is found out where training has changed it."""

import json
import re
from dataclasses import asdict

import pytest
import torch
import yaml

from helpers import make_number_set, tiny_llama
from speechllm.bin import check_frozen, make_mini_llm, train_llm, training
from speechllm.build import build_ctc_model
from speechllm.config import ConformerConfig, TrainCtcConfig
from speechllm.data import tokenizer
from speechllm.errors import UserError
from speechllm.mini import chat as mini_chat
from speechllm.models.llm_loading import llm_revision
from speechllm.train import checkpoint
from speechllm.train.distributed import Setup

TEXTS = {"s-a": "1 2 3", "s-b": "2 1", "s-c": "3 3 1"}
SIZES = ["--chat", "true", "--max_steps", "1", "--dim", "32", "--ffn_dim", "48"]
SIZES += ["--vocab_size", "700", "--batch_tokens", "300"]


@pytest.fixture(scope="module")
def parts(tmp_path_factory):
    """A folder with what a training starts from."""
    folder = tmp_path_factory.mktemp("parts")
    for name in ("train", "dev"):
        make_number_set(folder / name, TEXTS)
    llm = ["--text", str(folder / "train/text"), "--out", str(folder / "chat_llm")]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(mini_chat, "TOKENIZER_LESSONS", 500)
        make_mini_llm.main([*llm, *SIZES])
    units = tokenizer.train(TEXTS.values(), folder / "units.model", 6)
    encoder = ConformerConfig(dim=16, num_layers=1, num_heads=2, ffn_dim=32, subsampling_channels=4)
    config = TrainCtcConfig(encoder=encoder)
    ctc = build_ctc_model(config, units.vocab_size, num_mel_bins=2)
    saved = {"model": "ctc", "num_mel_bins": 2, "num_units": units.vocab_size}
    text = yaml.safe_dump(saved | {"config": asdict(config)})
    files = {"units.model": folder / "units.model"}
    checkpoint.write(folder / "ctc/best", ctc.state_dict(), text, files)
    about = {"model": "chat_llm", "revision": llm_revision(str(folder / "chat_llm"))}
    about["settings"] = {"prompt": "{audio}", "system": ""}
    (folder / "train/responses.json").write_text(json.dumps(about))
    dialogue = {"id": "a", "turns": [{"role": "user", "text": "who sells bread"}]}
    (folder / "dialogues.jsonl").write_text(json.dumps(dialogue) + "\n")
    return folder


def train(parts, exp_dir, *options):
    options = ["--chat", "true", "--prompt", "{audio}", "--optim.max_steps", "1", *options]
    paths = {"train_dir": "train", "valid_dir": "dev", "encoder": "ctc", "llm_name": "chat_llm"}
    for name, path in paths.items():
        options += [f"--{name}", str(parts / path)]
    train_llm.main([*options, "--exp_dir", str(exp_dir)])


def check(parts, exp_dir) -> dict:
    """The report, and under "error" what the command ended with."""
    out = exp_dir / "frozen.json"
    options = ["--model", exp_dir, "--responses", parts / "train", "--out", out]
    error = ""
    try:
        check_frozen.main([str(word) for word in (*options, parts / "dialogues.jsonl")])
    except UserError as caught:
        error = str(caught)
    return json.loads(out.read_text()) | {"error": error}


def change(llm):
    with torch.no_grad():
        next(llm.parameters())[0, 0] += 1e-3


@pytest.mark.parametrize("changed", [False, True])
def test_a_frozen_llm_that_training_has_changed_in_memory_is_found_out(
    parts, tmp_path, monkeypatch, changed
):
    run = training.run_training

    def run_and_change(model, *args):
        run(model, *args)
        if changed:
            change(model.llm)

    monkeypatch.setattr(training, "run_training", run_and_change)
    train(parts, tmp_path / "llm", "--lora.rank", "0")
    report = check(parts, tmp_path / "llm")
    assert report["text_logits_equal"] and report["revisions_equal"]  # of the same folder twice
    before, after = report["weights_before_training"], report["weights_after_training"]
    assert before.startswith("sha256:") and (before != after) is changed
    assert report["training_kept_weights"] is not changed
    assert ("its weights in memory were others at the end" in report["error"]) is changed


def test_a_note_of_a_training_that_was_finished_before_is_not_made_up(parts, tmp_path):
    folder = tmp_path / "llm"
    train(parts, folder, "--lora.rank", "0")
    (folder / train_llm.LLM_WEIGHTS).unlink()  # as where it was stopped before the note
    train(parts, folder, "--lora.rank", "0")
    assert check(parts, folder)["training_kept_weights"] is None


def test_a_training_that_replaces_another_drops_its_note(parts, tmp_path, monkeypatch):
    folder = tmp_path / "llm"
    train(parts, folder, "--lora.rank", "0")
    note = folder / train_llm.LLM_WEIGHTS
    assert note.exists()

    def stop(*args):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(training, "run_training", stop)
        with pytest.raises(KeyboardInterrupt):
            train(parts, folder, "--lora.rank", "0", "--overwrite", "true")
    assert not note.exists()
    note.write_text("{}")
    train(parts, folder, "--lora.rank", "2", "--overwrite", "true")
    assert not note.exists()


def test_the_note_is_found_from_the_checkpoint_too(parts, tmp_path):
    train(parts, tmp_path / "llm", "--lora.rank", "0")
    out = tmp_path / "frozen.json"
    options = ["--model", tmp_path / "llm/best", "--responses", parts / "train", "--out", out]
    check_frozen.main([str(word) for word in (*options, parts / "dialogues.jsonl")])
    assert json.loads(out.read_text())["training_kept_weights"] is True


def test_the_alignment_loss_has_its_units_without_a_ctc_loss(parts, tmp_path, capsys):
    options = ["--train_encoder", "false", "--alignment_weight", "1", "--train.log_every", "1"]
    train(parts, tmp_path / "llm", *options)
    (logged,) = re.findall(r"misalignment ([\d.]+)", capsys.readouterr().out)
    assert 0 < float(logged) <= 2  # one less a cosine


@pytest.mark.parametrize("attention", ["causal", "prefix"])
def test_a_model_that_looks_both_ways_is_told_before_training_what_it_is_for(
    parts, tmp_path, capsys, monkeypatch, attention
):
    def stop(*args):
        raise KeyboardInterrupt

    monkeypatch.setattr(training, "run_training", stop)
    with pytest.raises(KeyboardInterrupt):
        train(parts, tmp_path / "llm", "--speech_attention", attention)
    told = "WARNING: speech_attention: prefix: bin/chat, which reads a talk bit by bit, will refuse"
    assert (told in capsys.readouterr().out) == (attention == "prefix")


def test_an_llm_that_learns_has_no_note(parts, tmp_path):
    train(parts, tmp_path / "llm", "--lora.rank", "2")
    assert not (tmp_path / "llm" / train_llm.LLM_WEIGHTS).exists()
    report = check(parts, tmp_path / "llm")
    assert report["training_kept_weights"] is None and not report["error"]


def noted(exp_dir, llm, train_it, overwrite=False):
    """What is noted after a training that ``train_it`` stands for."""
    with train_llm.noting_weights(llm, str(exp_dir), overwrite, Setup()):
        train_it(llm)
    path = exp_dir / train_llm.LLM_WEIGHTS
    return json.loads(path.read_text()) if path.exists() else None


def killed(llm):
    raise KeyboardInterrupt


def nothing(llm):
    pass


def test_what_is_noted_is_of_the_process_that_ends_a_training(tmp_path):
    base = checkpoint.digest(tiny_llama())
    with pytest.raises(KeyboardInterrupt):
        noted(tmp_path, tiny_llama(), killed)
    assert not (tmp_path / train_llm.LLM_WEIGHTS).exists()
    assert noted(tmp_path, tiny_llama(), nothing) == {"before": base, "after": base}
    (tmp_path / "best").mkdir()
    assert noted(tmp_path, tiny_llama(), change) == {"before": base, "after": base}  # was finished
    again = noted(tmp_path, tiny_llama(), change, overwrite=True)
    assert again["before"] == base != again["after"]
