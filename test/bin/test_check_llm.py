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

        def render_chat(self, messages):
            if any(message["role"] == "system" for message in messages):
                raise UserError("knows no system turn")
            return " ".join(message["content"] for message in messages)

        def encode(self, text):
            return [1] * len(text)

        encode_after = encode

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
    assert "llama, 3 tokens" in look(LlamaConfig(), "--chat", "true")


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
        (LlamaConfig(), ["--chat", "true", "--system", "be kind"], "knows no system turn"),
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
