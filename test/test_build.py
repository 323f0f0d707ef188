"""From configs to objects: kinds, what of the LLM learns, templates."""

from dataclasses import replace
from types import SimpleNamespace

import pytest

from helpers import tiny_llama
from speechllm import build
from speechllm.config import LlmConfig, LoraConfig, TrainCtcConfig, TrainLlmConfig, kinds_of
from speechllm.errors import UserError


def test_every_kind_in_the_config_can_be_built():
    assert kinds_of(TrainCtcConfig)["encoder"].keys() == build.ENCODERS.keys()
    assert kinds_of(TrainLlmConfig)["adaptor"].keys() == build.ADAPTORS.keys()
    for config in kinds_of(TrainLlmConfig)["adaptor"].values():
        adaptor = build.build_kind(build.ADAPTORS, config(), 6, 8)
        assert type(adaptor) is build.ADAPTORS[config.type]
    assert kinds_of(TrainLlmConfig)["peft"].keys() == {"none", *build.ADAPTERS}


@pytest.mark.parametrize(
    "finetune, rank, trained", [(False, 0, "nothing"), (False, 2, "adapters"), (True, 0, "all")]
)
def test_what_the_llm_learns(finetune, rank, trained):
    llm = tiny_llama()
    build.adapt_llm(llm, LoraConfig(rank=rank), LlmConfig(finetune=finetune))
    learns = {name: p.requires_grad for name, p in llm.named_parameters()}
    expected = {
        name: {"nothing": False, "all": True}.get(trained, "lora_" in name) for name in learns
    }
    assert learns == expected and (any(learns.values()) or trained == "nothing")


def test_finetuning_and_adapters_together_are_refused():
    with pytest.raises(UserError, match="llm.finetune: true.*lora.rank is 8; set lora.rank: 0"):
        build.adapt_llm(tiny_llama(), LoraConfig(rank=8), LlmConfig(finetune=True))


def test_every_task_has_its_template():
    tokenizer = SimpleNamespace(encode=lambda text: [ord(c) for c in text], bos_id=1, eos_id=2)
    config = TrainLlmConfig(prompt="{audio}{bos}", other_tasks={"chain": "both:{audio}{bos}"})
    made = build.build_templates(config, tokenizer)
    assert {task: t.template for task, t in made.items()} == {
        "text": "{audio}{bos}",
        "chain": "both:{audio}{bos}",
    }
    config = TrainLlmConfig(other_tasks={"sing": "{audio}"})
    with pytest.raises(UserError, match="other_tasks: there is no task 'sing'; there are trans"):
        build.build_templates(config, tokenizer)


def test_what_the_llm_thinks_is_no_help_to_learn_transcripts():
    answers = TrainLlmConfig(distill_weight=0.8)
    for config in (answers, TrainLlmConfig(target="transcript")):
        build.check_llm_training(config)
    with pytest.raises(UserError, match="set distill_weight: 0$") as error:
        build.check_llm_training(replace(answers, target="transcript"))
    assert "\n" not in str(error.value)


def test_an_alignment_by_a_ctc_that_drifts_is_refused():
    kept = TrainLlmConfig(alignment_weight=1.0, ctc_weight=0.3)
    for config in (kept, replace(kept, ctc_weight=0.0, train_encoder=False)):
        build.check_llm_training(config)
    with pytest.raises(UserError, match="alignment_weight .* set ctc_weight above 0"):
        build.check_llm_training(replace(kept, ctc_weight=0.0))
