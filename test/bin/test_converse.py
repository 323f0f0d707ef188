"""What converse refuses before it loads a model, and whose errors it names."""

import json

import pytest

from helpers import tiny_speech_llm
from speechllm.bin import converse
from speechllm.data.dialogue import Dialogue, Part, Turn
from speechllm.data.prompts import ChatTemplate
from speechllm.errors import UserError


def test_two_tests_of_one_name_are_refused(tmp_path):
    path = tmp_path / "mine.jsonl"
    path.write_text(json.dumps({"id": "a", "turns": [{"role": "user", "text": "hi"}]}) + "\n")
    tests = [f"mine={path}", f"other={path}", f"mine={path},history=drop"]
    with pytest.raises(UserError) as error:
        converse.main(["--model", "none", "--out", str(tmp_path / "out"), *tests])
    assert str(error.value).startswith(f"'{tests[2]}': there is a test mine before it; ")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("name", ["../out", "a/b", "..", ""])
def test_a_set_is_named_by_a_word_that_can_be_a_folder(name):
    with pytest.raises(UserError, match=r"should be SET=FILE"):
        converse.parse_test(f"{name}=d.jsonl")


def test_an_error_of_the_chat_template_names_the_dialogue():
    def render(messages):
        raise UserError("the chat template does not take this dialogue")

    template = ChatTemplate("{audio}", render, list, list)
    systems = converse.Systems(tiny_speech_llm(), template, 5, "cpu")
    turns = (Turn("system", (Part(text="be kind"),)), Turn("user", (Part(text="hi"),)))
    with pytest.raises(UserError, match="^d.jsonl:3: the chat template does not take this"):
        systems.text_rows([Dialogue("d3", turns, where="d.jsonl:3")])
