"""The second half of a cascade: an LLM reads text in the place of speech."""

from types import SimpleNamespace

import pytest
import torch

from helpers import BOS_ID, EOS_ID, make_number_set, tiny_llama
from speechllm import build, load
from speechllm.bin import translate
from speechllm.bin.recognize import Output
from speechllm.config import DecodeConfig
from speechllm.data.prompts import ChatTemplate, PromptTemplate
from speechllm.data.rows import Row
from speechllm.data.tables import read_table, write_table
from speechllm.decode.llm import greedy


def encode(text: str) -> list[int]:
    return [3 + ord(c) % 37 for c in text]


TOKENIZER = SimpleNamespace(eos_id=EOS_ID, decode=lambda ids: " ".join(map(str, ids)))
TEMPLATES = {
    "prompt": PromptTemplate("{bos}to {prompt}:{audio}", encode, BOS_ID, EOS_ID),
    "chat": ChatTemplate("to {prompt}: {audio}", lambda turns: turns[0]["content"], encode, encode),
}


@pytest.mark.parametrize("kind", TEMPLATES)
def test_the_llm_reads_what_was_heard(kind):
    llm, template = tiny_llama(), TEMPLATES[kind]
    rows = [Row(f"u{i}", "s", "x", None, "German", "en", "x", 0, 100) for i in range(2)]
    heard = {"u0": "good day", "u1": "rain"}
    recognize = translate.text_recognizer(llm, TOKENIZER, template, heard, DecodeConfig(), "cpu")
    for row, output in zip(rows, recognize(rows), strict=True):
        said = heard[row.utt_id]
        ids = encode(f"to German: {said}")
        if kind == "prompt":
            ids = [BOS_ID, *encode(f"to German:{said}")]
        (hyp,) = greedy(llm, [llm.embed(torch.tensor(ids))], [20], EOS_ID)
        assert output == Output(TOKENIZER.decode(hyp.token_ids), hyp.status)


def test_a_long_utterance_is_translated_once(tmp_path, monkeypatch):
    words = " ".join(map(str, range(200)))  # 80 seconds
    make_number_set(tmp_path / "set", {"s-long": words})
    (tmp_path / "heard/set").mkdir(parents=True)
    write_table(tmp_path / "heard/set/text", {"s-long": words})
    saved = {"llm": "x", "config": {"llm": {}}}
    monkeypatch.setattr(load, "open_checkpoint", lambda folder, kind: (saved, tmp_path))
    monkeypatch.setattr(load, "find_llm", lambda name, path: name)
    monkeypatch.setattr(build, "build_llm", lambda config, name: tiny_llama())
    monkeypatch.setattr("speechllm.bin.recognize.text_side", lambda *args: (None, None, None))

    def repeat(llm, tokenizer, template, heard, config, device):
        return lambda rows: [Output(heard[row.utt_id], "ok") for row in rows]

    monkeypatch.setattr(translate, "text_recognizer", repeat)
    options = {"model": "x", "heard": tmp_path / "heard", "out": tmp_path / "out"}
    argv = [str(word) for name, value in options.items() for word in (f"--{name}", value)]
    translate.main([*argv, str(tmp_path / "set")])
    assert read_table(tmp_path / "out/set/text") == {"s-long": words}
