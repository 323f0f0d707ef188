"""The small LLM: what the command gives it to read, and that it comes out as any other Hugging Face folder."""

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from speechllm.bin import make_mini_llm
from speechllm.errors import UserError
from speechllm.mini.documents import BOS_ID, EOS_ID
from speechllm.mini.grammar import sentences
from speechllm.mini.llm import batches, train_llm
from speechllm.mini.questions import questions


def make_optimizer(matrices, others):
    return torch.optim.AdamW([{"params": [*matrices, *others], "peak_lr": 1e-2}], lr=1e-2)


def test_what_the_command_gives_it_of_a_translated_corpus(tmp_path, monkeypatch):
    given = {}
    monkeypatch.setattr(
        "speechllm.mini.llm.train_llm",
        lambda out, pairs, transcripts, asked, **more: given.update(
            pairs=pairs, transcripts=transcripts, instruction=more["instruction"]
        ),
    )
    (tmp_path / "text").write_text("a Le chien dort.\n")
    (tmp_path / "text.src").write_text("a der hund\n")
    options = ["--text", tmp_path / "text", "--text_src", tmp_path / "text.src"]
    options += ["--out", tmp_path / "llm", "--langs", "de", "--num_sentences", "20"]
    make_mini_llm.main([str(word) for word in (*options, "--target", "fr")])
    assert given["pairs"] == [("der hund", "Le chien dort.")]
    assert sorted(given["transcripts"]) == ["Le chien dort.", "der hund"]
    assert given["instruction"] == "translate to French:"
    make_mini_llm.main([str(word) for word in (*options, "--target", "en")])
    assert len(given["pairs"]) == 21 and given["instruction"] == "translate to English:"
    for text, english in given["pairs"][:20]:
        assert text == text.lower() and english[0].isupper() and english.endswith(".")


def test_what_the_command_gives_it_to_read(tmp_path, monkeypatch):
    """Made-up sentences and questions of the training split, and the transcripts that are named."""
    given = {}
    monkeypatch.setattr(
        "speechllm.mini.llm.train_llm",
        lambda out, pairs, transcripts, asked, **_: given.update(
            pairs=pairs, transcripts=transcripts, asked=asked
        ),
    )
    (tmp_path / "text").write_text("a the dog sleeps\nb the cat sleeps\n")
    options = ["--langs", "en de", "--text", tmp_path / "text", "--out", tmp_path / "llm"]
    make_mini_llm.main([str(word) for word in (*options, "--num_sentences", "300")])
    assert given["transcripts"] == ["the dog sleeps", "the cat sleeps"]
    for split in ("dev", "test"):
        others = {s.text for lang in ("en", "de") for s in sentences(lang, 80, 7, split=split)}
        assert not others & {text for text, _ in given["pairs"]}
        for question in questions(100, 7, split=split, kinds=("scene",)):
            assert question.turns[0][1] not in {text for text, _ in given["asked"]}
    assert len(given["pairs"]) == 600 and all(answer for _, answer in given["asked"])


def test_labels_are_the_ids_from_where_prediction_begins():
    docs = [([5, 6, BOS_ID, 5, 6, EOS_ID], 2), ([BOS_ID, 7, EOS_ID], 0)]
    ids, labels = next(batches(iter(docs * 1024), batch_tokens=10_000))
    for row, label in zip(ids.tolist(), labels.tolist(), strict=True):
        if row[0] == 5:
            assert label == [-100, -100, BOS_ID, 5, 6, EOS_ID]
        else:
            assert label[:3] == row[:3] == [BOS_ID, 7, EOS_ID] and set(label[3:]) <= {-100}


@pytest.mark.parametrize("architecture", ["llama", "bloom"])
def test_it_is_an_ordinary_folder_that_has_learnt(tmp_path, architecture):
    sentences = [
        ("the dog sees the cat", "the dog sees the cat"),
        ("ein hund schläft", "a dog sleeps"),
    ]
    sizes = {"dim": 32, "num_layers": 2, "num_heads": 2, "ffn_dim": 64, "vocab_size": 320}
    torch.manual_seed(0)
    train_llm(
        tmp_path / "llm",
        sentences[:1],
        ["ein hund schläft"],
        architecture=architecture,
        **sizes,
        batch_tokens=400,
        make_optimizer=make_optimizer,
        warmup_steps=5,
        max_steps=150,
    )
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "llm")
    model = AutoModelForCausalLM.from_pretrained(tmp_path / "llm").eval()
    text = "ein hund schläft"
    ids = tokenizer(text, add_special_tokens=False, return_tensors="pt").input_ids
    prompt = torch.cat([ids, torch.tensor([[BOS_ID]])], 1)
    out = model.generate(prompt, max_new_tokens=20, do_sample=False)[0, prompt.size(1) :]
    assert tokenizer.decode(out, skip_special_tokens=True).strip() == text


def test_no_text_is_an_error(tmp_path):
    with pytest.raises(UserError, match="no text"):
        train_llm(tmp_path / "llm", [], [], make_optimizer=make_optimizer)


def test_its_tokens_are_no_phrases_of_a_language_without_spaces(tmp_path):
    text = "我的朋友在北京"
    sizes = {"vocab_size": 400, "dim": 32, "num_layers": 1, "ffn_dim": 48, "max_steps": 1}
    more = sizes | {"make_optimizer": make_optimizer}
    tokens = {}
    for name, cut in (("cut", {"cut": lambda text: "\t".join(text)}), ("whole", {})):
        train_llm(tmp_path / name, [], [text, text + "去", "tea"] * 20, **more, **cut)
        tokenizer = AutoTokenizer.from_pretrained(tmp_path / name)
        tokens[name] = tokenizer.encode(text, add_special_tokens=False)
        assert tokenizer.decode(tokens[name]) == text
    assert len(tokens["whole"]) < len(text) <= len(tokens["cut"])
