"""A small LLaMA trained from scratch on the made-up world's text, saved as an ordinary Hugging Face folder."""

import json
import math
import os
import random
import re
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import sentencepiece
import torch
import torch.nn.functional as F
from transformers import AutoTokenizer, BloomConfig, BloomForCausalLM, LlamaConfig, LlamaForCausalLM

from speechllm.errors import UserError
from speechllm.mini.documents import BOS_ID, EOS_ID, TRANSLATE, UNK_ID, documents

TRANSCRIPT_WEIGHT = 10


def train_tokenizer(
    texts: list[str],
    vocab_size: int,
    out_dir: Path,
    symbols: tuple[str, ...] = (),
    chat_template: str = "",
):
    """SentencePiece BPE in the two files that transformers reads as a LlamaTokenizer.

    A text that does not support ``vocab_size`` pieces gets fewer.

    Args:
        texts: with a tab where no piece may go on.
        symbols: strings that are one token each wherever they stand, as the marks of a chat format.
        chat_template: in jinja, for an LLM that chats.

    Raises:
        UserError: the text has more characters than that.
    """
    options = {}
    if any("\t" in text for text in texts):  # other normalisation makes a space of a tab
        options = {"pretokenization_delimiter": "\t", "normalization_rule_name": "identity"}
    try:
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=iter(texts),
            model_prefix=str(out_dir / "tokenizer"),
            vocab_size=vocab_size,
            model_type="bpe",
            character_coverage=1.0,
            byte_fallback=True,  # no text is unreadable for a real LLM either
            user_defined_symbols=list(symbols),
            unk_id=UNK_ID,
            bos_id=BOS_ID,
            eos_id=EOS_ID,
            num_threads=1,
            hard_vocab_limit=False,
            minloglevel=2,
            **options,
        )
    except RuntimeError as error:
        if match := re.search(r"set it to a value <= (\d+)", str(error)):
            return train_tokenizer(texts, int(match.group(1)), out_dir, symbols, chat_template)
        raise UserError(
            f"vocab_size {vocab_size} of the small LLM is too small for the characters of its text "
            f"({' '.join(str(error).split())[-120:]}); raise it in conf/mini/llm.yaml"
        ) from error
    (out_dir / "tokenizer.vocab").unlink()
    settings = {
        "tokenizer_class": "LlamaTokenizer",
        "legacy": False,
        "bos_token": "<s>",
        "eos_token": "</s>",
        "unk_token": "<unk>",
        "model_max_length": 1024,
    }
    if symbols:
        settings["extra_special_tokens"] = list(symbols)
    if chat_template:
        settings["chat_template"] = chat_template
    (out_dir / "tokenizer_config.json").write_text(json.dumps(settings, indent=1), encoding="utf-8")
    return AutoTokenizer.from_pretrained(out_dir)


def batches(docs: Iterator[tuple], batch_tokens: int, pool: int = 2048):
    """Endless batches (ids (B, L), labels (B, L), -100 where nothing is predicted), similar lengths together.

    Args:
        docs: ids, and the position from which on they are predicted or a list of the positions that are.
    """
    rng = random.Random(0)
    while True:
        chunk = sorted((next(docs) for _ in range(pool)), key=lambda doc: len(doc[0]))
        groups, group = [], []
        for doc in chunk:
            if group and len(doc[0]) * (len(group) + 1) > batch_tokens:
                groups.append(group)
                group = []
            group.append(doc)
        groups.append(group)
        rng.shuffle(groups)
        for group in groups:
            L = max(len(ids) for ids, _ in group)
            ids = torch.full((len(group), L), EOS_ID)
            labels = torch.full((len(group), L), -100)
            for row, (doc, first) in enumerate(group):
                ids[row, : len(doc)] = torch.tensor(doc)
                wanted = list(range(first, len(doc))) if isinstance(first, int) else first
                labels[row, wanted] = ids[row, wanted]
            yield ids, labels


def new_model(
    architecture: str, dim: int, num_layers: int, num_heads: int, ffn_dim: int, vocab_size: int
):
    """A LLaMA or BLOOM with fresh weights."""
    special = {
        "bos_token_id": BOS_ID,
        "eos_token_id": EOS_ID,
        "pad_token_id": None,
        "vocab_size": vocab_size,
    }
    if architecture == "llama":
        return LlamaForCausalLM(
            LlamaConfig(
                hidden_size=dim,
                num_hidden_layers=num_layers,
                num_attention_heads=num_heads,
                intermediate_size=ffn_dim,
                max_position_embeddings=1024,
                **special,
            )
        )
    if architecture == "bloom":
        return BloomForCausalLM(
            BloomConfig(hidden_size=dim, n_layer=num_layers, n_head=num_heads, **special)
        )
    raise UserError(f"architecture must be llama or bloom, got {architecture!r}")


def decoder_layers(model) -> torch.nn.ModuleList:
    """The repeated blocks."""
    return next(m for m in model.modules() if isinstance(m, torch.nn.ModuleList))


def matrices_and_others(model) -> tuple[list, list]:
    """The matrices inside the blocks, and all other parameters."""
    inner = [p for layer in decoder_layers(model) for p in layer.parameters() if p.dim() == 2]
    names = {id(p) for p in inner}
    return inner, [p for p in model.parameters() if id(p) not in names]


def train_llm(
    out_dir: str | Path,
    sentences: list[tuple[str, str]],
    transcripts: list[str],
    asked: list[tuple[str, str]] = (),
    *,
    architecture: str = "llama",
    dim: int = 256,
    num_layers: int = 4,
    num_heads: int = 4,
    ffn_dim: int = 688,
    vocab_size: int = 2000,
    batch_tokens: int = 4000,
    make_optimizer: Callable,
    warmup_steps: int = 50,
    max_steps: int = 1000,
    seed: int = 1,
    log_every: int = 50,
    instruction: str = TRANSLATE,
    translated_share: float = 0.0,
    cut: Callable[[str], str] = str,
):
    """Train tokenizer and model, and write them to ``out_dir`` in one move at the end.

    Args:
        sentences: texts with their English translation, "" where there is none.
        transcripts: texts that it reads as well and that count most for its tokenizer. Trained on the same, CTC
            units of kind bpe are then mostly its tokens, and what stands at one position of speech is one token.
        asked: statements with a question, and their answers.
        make_optimizer: from the matrices inside the model and its other parameters; every group of the optimizer
            has its ``peak_lr``.
        instruction, translated_share: see ``documents``.
        cut: puts a tab into a text where no piece of the tokenizer may go on.

    Raises:
        UserError: no sentences.
    """
    sentences = sentences + [(text, "") for text in transcripts]
    if not sentences:
        raise UserError(
            "the small LLM has no text to read; give it a grammar (langs) or a text file"
        )
    out_dir, building = Path(out_dir), Path(f"{out_dir}.building")
    shutil.rmtree(building, ignore_errors=True)
    building.mkdir(parents=True)
    texts = sorted({text for text, _ in sentences}) + TRANSCRIPT_WEIGHT * transcripts
    texts += [text for pair in asked for text in pair]
    texts += [instruction] * TRANSCRIPT_WEIGHT
    tokenizer = train_tokenizer(list(map(cut, texts)), vocab_size, building)

    def encode(text):
        return tokenizer.encode(text, add_special_tokens=False)

    torch.manual_seed(seed)
    model = new_model(architecture, dim, num_layers, num_heads, ffn_dim, len(tokenizer))
    print(
        f"small LLM: {sum(p.numel() for p in model.parameters()):,} parameters, {len(tokenizer)} tokens"
    )
    optimizer = make_optimizer(*matrices_and_others(model))
    space_id = tokenizer.convert_tokens_to_ids("\u2581")
    docs = documents(
        sentences,
        encode,
        len(tokenizer),
        random.Random(seed),
        space_id,
        asked,
        instruction,
        translated_share,
    )
    learn(model, batches(docs, batch_tokens), optimizer, warmup_steps, max_steps, log_every)
    save(model, building, out_dir)


def learn(model, stream, optimizer, warmup_steps: int, max_steps: int, log_every: int):
    """Train on batches of ``batches``; the rate of every group follows a warm-up and a half cosine."""
    start = time.monotonic()
    for step in range(1, max_steps + 1):
        decayed = 0.5 * (1 + math.cos(math.pi * step / max_steps))
        for group in optimizer.param_groups:
            group["lr"] = group["peak_lr"] * min(step / warmup_steps, 0.02 + 0.98 * decayed)
        ids, labels = next(stream)
        hidden = model.base_model(input_ids=ids[:, :-1]).last_hidden_state
        wanted = labels[:, 1:]
        loss = F.cross_entropy(model.lm_head(hidden[wanted >= 0]), wanted[wanted >= 0])
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        if step % log_every == 0 or step == max_steps:
            left = (time.monotonic() - start) / step * (max_steps - step)
            print(f"step {step}/{max_steps} loss {loss.item():.3f} left {left:.0f} s", flush=True)


def save(model, building: Path, out_dir: Path):
    """Write the model beside its tokenizer in ``building``, which then takes the place of ``out_dir``."""
    model.save_pretrained(building)
    shutil.rmtree(out_dir, ignore_errors=True)
    os.replace(building, out_dir)
