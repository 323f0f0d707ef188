"""What of a training's settings an LLM does not fit is found from its config, before anything is trained."""

import pytest
from transformers import BloomConfig, LlamaConfig

from speechllm.bin import check_llm
from speechllm.errors import UserError
from speechllm.models import llm_tokenizer


@pytest.fixture
def look(tmp_path, monkeypatch, capsys):
    """Look at an LLM of a config with some options of train_llm; what is printed."""

    class Tokens(list):
        def __init__(self, name):
            super().__init__("abc")

        def render_chat(self, turns, system=""):
            raise UserError("has no chat template")

        encode = encode_after = None

    monkeypatch.setattr(llm_tokenizer, "LlmTokenizer", Tokens)

    def run(config, *options):
        config.save_pretrained(tmp_path / "llm")
        check_llm.main([*options, str(tmp_path / "llm")])
        return capsys.readouterr().out

    return run


PREFIX = ["--speech_attention", "prefix"]


def test_an_llm_that_fits_is_named(look):
    assert "llama, 3 tokens" in look(LlamaConfig(), *PREFIX, "--init", "exp/other")
    assert "bloom, 3 tokens" in look(BloomConfig())


@pytest.mark.parametrize(
    ("config", "options", "message"),
    [
        (BloomConfig(), PREFIX, "speech_attention: prefix needs .* bloom does not: .*ALiBi"),
        (BloomConfig(), ["--packing", "true"], "packing needs .* bloom does not: .*ALiBi"),
        (
            LlamaConfig(),
            [*PREFIX, "--llm.attention", "flash_attention_2"],
            "llama does not: llm.attention flash_attention_2 reads none",
        ),
        (LlamaConfig(), ["--chat", "true"], "has no chat template"),
        (
            LlamaConfig(),
            ["--packing", "true", "--distill_weight", "0.5"],
            "packing and distill_weight do not go together",
        ),
    ],
)
def test_an_llm_that_does_not_fit_is_refused_with_the_reason(look, config, options, message):
    with pytest.raises(UserError, match=message) as error:
        look(config, *options)
    assert "\n" not in str(error.value)
