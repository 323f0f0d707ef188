"""What stops the training of an LLM before anything large is loaded, or is said about it."""

import hashlib
import json

import pytest

from speechllm.bin import train_llm
from speechllm.config import TrainLlmConfig
from speechllm.errors import UserError
from speechllm.models import llm_loading


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--packing", "true", "--distill_weight", "0.5"], "packing and distill_weight do not go"),
        (
            ["--target", "transcript", "--distill_weight", "0.8"],
            "target: transcript learns .* distill_weight 0.8 .* set distill_weight: 0",
        ),
        (["--llm.finetune", "true"], "llm.finetune: true trains all weights, but lora.rank is 8"),
        (["--peft.type", "ia3"], "peft.type: ia3 stands in the place of LoRA, but lora.rank is 8"),
        ([], "train/manifest.arrow: no such file"),
    ],
)
def test_contradictions_and_missing_data_are_named_first(tmp_path, options, message):
    paths = {"train_dir": "train", "valid_dir": "dev", "exp_dir": "exp", "encoder": "no_encoder"}
    argv = [word for name, path in paths.items() for word in (f"--{name}", str(tmp_path / path))]
    with pytest.raises(UserError, match=message):
        train_llm.main([*argv, "--llm_name", "./no_llm", *options])


HUB, OTHER_HUB = "1e8a2b", "77c0de"
FOLDER, OTHER_FOLDER = "sha256:00aa", "sha256:00bb"


@pytest.mark.parametrize(
    ("gave", "hears", "same"),
    [
        (HUB, HUB, True),
        (HUB, OTHER_HUB, False),
        (FOLDER, FOLDER, True),
        (FOLDER, OTHER_FOLDER, False),
        (HUB, FOLDER, None),
        (FOLDER, HUB, None),
        ("None", "None", None),
        (HUB, "None", None),
    ],
)
def test_answers_of_another_llm_are_refused_where_that_can_be_told(
    tmp_path, monkeypatch, gave, hears, same
):
    config = TrainLlmConfig()
    settings = {"prompt": config.prompt, "system": config.system}
    about = {"model": "giver", "revision": gave, "settings": settings}
    (tmp_path / "responses.json").write_text(json.dumps(about))
    monkeypatch.setattr(llm_loading, "llm_revision", lambda name: hears)
    assert llm_loading.same_revision(gave, hears) is same
    if same is False:
        message = f"those of giver .{gave}., not of --llm_name hearer .{hears}.; give that one"
        with pytest.raises(UserError, match=message):
            train_llm.check_responses(str(tmp_path), config, "hearer")
        return
    warning = train_llm.check_responses(str(tmp_path), config, "hearer")
    told = f"those of giver ({gave}), which cannot be compared with --llm_name hearer ({hears})"
    assert (told in warning) if same is None else warning == ""


def test_folders_are_told_apart_by_weights_and_config_and_older_notes_by_weights(tmp_path):
    def revision(name, weights, config):
        folder = tmp_path / name
        folder.mkdir()
        (folder / "model.safetensors").write_bytes(weights)
        (folder / "config.json").write_text(config)
        return llm_loading.llm_revision(str(folder))

    one, same = revision("one", b"1", "{}"), revision("same", b"1", "{}")
    assert one == same and llm_loading.same_revision(one, same) is True
    assert llm_loading.same_revision(one, revision("weights", b"2", "{}")) is False
    other_config = revision("config", b"1", '{"rope_theta": 1}')
    assert llm_loading.same_revision(one, other_config) is False
    older = f"sha256:{hashlib.sha256(b'1').hexdigest()}"  # as responses.json had it
    assert llm_loading.same_revision(older, one) is llm_loading.same_revision(one, older) is True
    assert llm_loading.same_revision(older, revision("third", b"3", "{}")) is False


def test_a_training_set_that_no_llm_has_answered_is_not_checked(tmp_path):
    assert train_llm.check_responses(str(tmp_path), TrainLlmConfig(), "./no_llm") == ""


@pytest.mark.parametrize("name", ["prompt", "system"])
def test_answers_to_another_prompt_are_refused(tmp_path, monkeypatch, name):
    config = TrainLlmConfig()
    settings = {"prompt": config.prompt, "system": config.system} | {name: "be kind"}
    about = {"model": "giver", "revision": HUB, "settings": settings}
    (tmp_path / "responses.json").write_text(json.dumps(about))
    monkeypatch.setattr(llm_loading, "llm_revision", lambda name: HUB)
    with pytest.raises(UserError, match=f"given with {name} 'be kind', the training has"):
        train_llm.check_responses(str(tmp_path), config, "hearer")
