"""The small LLM: what it reads, and that it comes out as any other Hugging Face folder."""

import random
from difflib import SequenceMatcher
from itertools import groupby, islice

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from speechllm.bin import make_mini_llm
from speechllm.errors import UserError
from speechllm.mini.grammar import sentences
from speechllm.mini.llm import (
    BOS_ID,
    EOS_ID,
    batches,
    corrupt,
    documents,
    misspell,
    stretch,
    train_llm,
)
from speechllm.mini.questions import questions

WORDS = {word: 10 + i for i, word in enumerate("translate to english: a b c d e f".split())}
PAIRS = [("a b c", "d e"), ("b c d e", ""), ("c a", "f")]


def encode(text):
    return [WORDS.get(word, 29) for word in text.split()]  # 29: any misspelt word


def make_optimizer(matrices, others):
    return torch.optim.AdamW([{"params": [*matrices, *others], "peak_lr": 1e-2}], lr=1e-2)


def kinds_of(docs):
    """Documents by what they are, judged from their ids alone."""
    texts, english = ({tuple(encode(p[i])) for p in PAIRS if p[i]} for i in (0, 1))
    found = {"alone": 0, "copy": 0, "shuffled": 0, "repaired": 0, "translated": 0, "answered": 0}
    for ids, first in docs:
        assert ids[-1] == EOS_ID and ids.count(BOS_ID) == 1
        at = ids.index(BOS_ID)
        source, target = tuple(ids[:at]), tuple(ids[at + 1 : -1])
        assert first in (0, at)  # all of a text is to be learnt, or what follows its source
        if source == target:
            is_text = source in texts
            found["copy" if is_text else "shuffled"] += 1
            assert sorted(source) in [sorted(text) for text in texts]
        elif source == tuple(encode("f f a")):
            found["answered"] += 1
            assert target == tuple(encode("e e"))
        elif not source:
            found["alone"] += 1
            assert target in texts
        elif source[:3] == tuple(encode("translate to english:")):
            found["translated"] += 1
            assert (source[3:], target) in {
                (tuple(encode(a)), tuple(encode(b))) for a, b in PAIRS if b
            }
        else:
            found["repaired"] += 1
            assert sorted(target) in [sorted(text) for text in texts]
    return found


def test_documents_repeat_repair_and_translate():
    docs = documents(PAIRS, encode, 30, random.Random(0), space_id=4, asked=[("f f a", "e e")])
    found = kinds_of(list(islice(docs, 3000)))
    assert all(found.values()) and found["copy"] > 0.15 * 3000
    assert found["repaired"] > 0.4 * 3000  # mostly drawn out, as speech is


def test_translations_have_their_share_and_are_heard_in_several_ways():
    instruction = "translate to d:"
    words = {"translate": 10, "to": 11, "d:": 12} | {w: WORDS[w] for w in "abcdef"}

    def to_ids(text):
        return [words.get(word, 29) for word in text.split()]

    docs = documents(
        PAIRS, to_ids, 30, random.Random(0), 4, instruction=instruction, translated_share=0.8
    )
    found = {"clean": 0, "other": 0, "alone": 0}
    english = {tuple(to_ids(b)): tuple(to_ids(a)) for a, b in PAIRS if b}
    total = 3000
    for ids, first in islice(docs, total):
        at = ids.index(BOS_ID)
        source, target = tuple(ids[:at]), tuple(ids[at + 1 : -1])
        if target not in english:
            continue
        if source[:3] == (10, 11, 12):
            assert first == at
            heard = source[3:]
            found["clean" if heard == english[target] else "other"] += 1
            assert heard
        elif not source:
            assert first == 0
            found["alone"] += 1
    # two of three texts have a translation
    assert sum(found.values()) > 0.8 * total * 2 / 3 * 0.95
    assert all(found[kind] > 0.03 * total for kind in found)


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


def test_a_damaged_copy_is_near_its_source():
    rng = random.Random(0)
    ids = list(range(3, 1003))
    damaged = corrupt(ids, 2000, rng)
    assert damaged != ids and abs(len(damaged) - 1000) < 50
    assert len(set(damaged) & set(ids)) > 850


def test_a_misspelt_text_is_near_its_source():
    text = "the old farmer sells bread and cakes at the market in the morning"
    rng, near = random.Random(0), []
    for _ in range(300):
        wrong = misspell(text, rng)
        assert set(wrong) <= set(text) and wrong == " ".join(wrong.split())
        near.append(SequenceMatcher(None, text, wrong, autojunk=False).ratio())
    assert 0.95 < sum(near) / len(near) < 0.99


def test_a_stretched_text_is_the_text_without_repeats_and_fillers():
    ids, filler = list(range(10, 500)), 3
    longer = stretch(ids, filler, random.Random(0))
    assert len(longer) > 2 * len(ids)
    assert [token for token, _ in groupby(longer) if token != filler] == ids


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
