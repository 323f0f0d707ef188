"""From experiment folders to objects: old checkpoints, where the LLM is, how a run starts from another."""

from dataclasses import asdict

import pytest
import torch
from safetensors.torch import save_file

from helpers import VOCAB, tiny_llama, tiny_speech_llm
from speechllm import build, load
from speechllm.bin import chat
from speechllm.config import (
    ConformerConfig,
    EspnetEncoderConfig,
    Ia3Config,
    LlmConfig,
    LoraConfig,
    NoPeftConfig,
    OftConfig,
    QformerAdaptorConfig,
    StackAdaptorConfig,
    TrainCtcConfig,
    TrainLlmConfig,
    from_dict,
)
from speechllm.errors import UserError
from speechllm.models.llm_loading import llm_source


@pytest.mark.parametrize(
    "section, expected",
    [
        ({"type": "qformer", "window": 3}, QformerAdaptorConfig(window=3)),
        ({"type": "stack", "stack_factor": 2}, StackAdaptorConfig(stack_factor=2)),
        ({"stack_factor": 2}, StackAdaptorConfig(stack_factor=2)),
    ],
)
def test_a_saved_kind_is_the_same_again(section, expected):
    config = from_dict(TrainLlmConfig, {"adaptor": section})
    assert config.adaptor == expected
    assert from_dict(TrainLlmConfig, asdict(config)) == config


def test_encoders_saved_without_a_type_are_conformers():
    assert from_dict(TrainCtcConfig, {"encoder": {"dim": 8}}).encoder == ConformerConfig(dim=8)
    espnet = EspnetEncoderConfig(options={"output_size": 8})
    assert from_dict(TrainCtcConfig, {"encoder": asdict(espnet)}).encoder == espnet


def test_keys_of_older_versions_are_passed_over():
    saved = {"decode": {"min_tokens": 10, "batch_frames": 3}, "train_encoder": False}
    assert from_dict(TrainLlmConfig, saved) == TrainLlmConfig(train_encoder=False)


def test_an_unknown_kind_in_a_checkpoint_is_named():
    with pytest.raises(UserError, match="adaptor.type 'mlp'; this version knows stack, conv"):
        from_dict(TrainLlmConfig, {"adaptor": {"type": "mlp"}})


def make_llm(folder):
    folder.mkdir(parents=True)
    (folder / "config.json").write_text("{}")
    return folder


def test_a_local_llm_is_named_by_its_absolute_path(tmp_path, monkeypatch):
    make_llm(tmp_path / "exp" / "base_llm")
    monkeypatch.chdir(tmp_path)
    assert llm_source("exp/base_llm") == str(tmp_path / "exp" / "base_llm")
    assert llm_source("meta-llama/Llama-2-7b-hf") == "meta-llama/Llama-2-7b-hf"


@pytest.mark.parametrize("saved", ["exp/mini/base_llm", "/gone/exp/mini/base_llm"])
@pytest.mark.parametrize("checkpoint", ["mini/llm/best", "unpacked/model"])
def test_an_llm_is_found_beside_a_moved_or_packed_checkpoint(
    tmp_path, monkeypatch, saved, checkpoint
):
    path = tmp_path / checkpoint
    path.mkdir(parents=True)
    beside = make_llm(tmp_path / checkpoint.split("/")[0] / "base_llm")
    monkeypatch.chdir("/")
    assert load.find_llm(saved, path) == str(beside)


def test_an_llm_is_where_it_was_or_has_a_name(tmp_path):
    folder = make_llm(tmp_path / "base_llm")
    (tmp_path / "model").mkdir()
    assert load.find_llm(str(folder), tmp_path / "other") == str(folder)
    assert load.find_llm("gpt2", tmp_path / "model") == "gpt2"
    assert load.find_llm("org/model-7b", tmp_path / "model") == "org/model-7b"


@pytest.mark.parametrize("saved", ["exp/mini/base_llm", "/gone/base_llm"])
def test_a_lost_llm_is_named_with_the_option_that_helps(tmp_path, saved):
    path = tmp_path / "llm" / "best"
    path.mkdir(parents=True)
    with pytest.raises(UserError, match=f"neither in {saved} nor in .*/base_llm; .* --llm"):
        load.find_llm(saved, path)


ADAPTED = {  # an LLM as it is, and all ways of training it
    "frozen": (0, NoPeftConfig(), False),
    "lora": (2, NoPeftConfig(), False),
    "ia3": (0, Ia3Config(), False),
    "oft": (0, OftConfig(block_size=8), False),
    "finetune": (0, NoPeftConfig(), True),
}


def speech_llm_with(way: str, seed: int = 0):
    rank, peft, finetune = ADAPTED[way]
    llm = tiny_llama()
    build.adapt_llm(llm, LoraConfig(rank=rank), LlmConfig(finetune=finetune), peft)
    return tiny_speech_llm(llm, seed)


def saved(model, folder):
    folder.mkdir(parents=True)
    save_file(model.checkpoint_state_dict(), folder / "model.safetensors")
    return folder


@pytest.mark.parametrize("way", ADAPTED)
def test_what_of_the_llm_only_the_new_model_trains_begins_as_it_is(tmp_path, way):
    source, model = speech_llm_with("frozen", seed=1), speech_llm_with(way)
    before = {name: p.clone() for name, p in model.llm.named_parameters()}
    load.init_speech_llm(model, saved(source, tmp_path / "best"))
    assert torch.equal(model.adaptor.proj.weight, source.adaptor.proj.weight)
    assert all(torch.equal(p, before[name]) for name, p in model.llm.named_parameters())


@pytest.mark.parametrize("way", ["lora", "finetune"])
def test_what_the_new_model_would_lose_is_no_start(tmp_path, way):
    folder = saved(speech_llm_with(way), tmp_path / "best")
    with pytest.raises(UserError, match=r"is no start for this config \(first: llm\."):
        load.init_speech_llm(speech_llm_with("frozen"), folder)


def test_a_model_of_another_kind_is_named(tmp_path):
    (tmp_path / "model.safetensors").touch()
    with pytest.raises(UserError, match=f"{tmp_path}: weights without config.yaml; name a model"):
        load.load_chat_llm(tmp_path)
    (tmp_path / "config.yaml").write_text("model: ctc")
    for load_as in (load.load_speech_llm, load.load_chat_llm):
        with pytest.raises(UserError, match=f"{tmp_path}: holds a CTC model, not a speech LLM"):
            load_as(tmp_path)
    with pytest.raises(UserError, match="holds a CTC model, not an encoder-decoder"):
        load.load_encoder_decoder(tmp_path)
    (tmp_path / "config.yaml").write_text("{model: speech_llm, config: {chat: false}}")
    with pytest.raises(UserError, match="not trained with chat: true, so it has no turns"):
        load.load_chat_llm(tmp_path)


def test_a_model_that_looks_both_ways_is_no_talker_and_told_what_else_it_is_for(tmp_path):
    (tmp_path / "model.safetensors").touch()  # refused before weights are read
    config = "{model: speech_llm, config: {chat: true, speech_attention: prefix}}"
    (tmp_path / "config.yaml").write_text(config)
    way_out = "train with speech_attention: causal, or use bin/converse"
    with pytest.raises(UserError, match=f"speech_attention: prefix, .*; {way_out}") as error:
        chat.main(["--model", str(tmp_path)])
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("num_tokens", "fits"), [(VOCAB - 1, True), (VOCAB, True), (VOCAB + 1, False)]
)
def test_an_llm_without_embeddings_for_all_tokens_is_another(
    tmp_path, monkeypatch, num_tokens, fits
):
    """Some LLMs have more embeddings than tokens, none has fewer."""
    asked = []
    monkeypatch.setattr(load, "LlmTokenizer", lambda name: asked.append(name) or range(num_tokens))
    if fits:
        load.check_vocabulary(tiny_llama(), "other/llm", tmp_path)
    else:
        told = f"other/llm: has embeddings of {VOCAB} tokens, but .* an LLM of {num_tokens}; say"
        with pytest.raises(UserError, match=told):
            load.check_vocabulary(tiny_llama(), "other/llm", tmp_path)
    assert asked == [str(tmp_path / "tokenizer")]
