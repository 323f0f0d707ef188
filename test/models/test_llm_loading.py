"""An LLM that is not there, or is not whole, is one clear line."""

import pytest

from speechllm.errors import UserError
from speechllm.models.llm_loading import load_llm, load_llm_config, load_tokenizer, opening

LOADERS = {
    load_llm: "cannot be loaded",
    load_llm_config: "has no readable config",
    load_tokenizer: "has no readable tokenizer",
}


@pytest.mark.parametrize("load", LOADERS)
@pytest.mark.parametrize("name", ["./none", "/none", "~/none", "models/none/7b"])
def test_a_folder_that_is_not_there_is_not_asked_of_the_hub(load, name):
    with pytest.raises(UserError) as error:
        load(name)
    assert str(error.value) == (
        f"LLM '{name}': there is no such folder; give one, or a name of the Hugging Face hub"
    )


@pytest.mark.parametrize("load", LOADERS)
def test_a_folder_without_the_files_is_named(load, tmp_path):
    with pytest.raises(UserError) as error:
        load(str(tmp_path))
    message = str(error.value)
    assert message.startswith(f"LLM '{tmp_path}' {LOADERS[load]}: ") and "\n" not in message


@pytest.mark.parametrize("kind", [OSError, ValueError])
def test_errors_of_transformers_become_one_line(kind):
    with pytest.raises(UserError) as error, opening("some/llm", "cannot be loaded"):
        raise kind("no  file\nnamed config.json\n" + 1000 * "x")
    message = str(error.value)
    assert message.startswith("LLM 'some/llm' cannot be loaded: no file named config.json xxx")
    assert len(message) < 400


def test_other_errors_keep_their_traceback():
    with pytest.raises(KeyError), opening("some/llm", "cannot be loaded"):
        raise KeyError("ours")
