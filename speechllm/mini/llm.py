"""A small LLaMA trained from scratch on the made-up world's text, saved as an ordinary Hugging Face folder.

A real LLM can repeat, translate and repair what stands before; recognition with a frozen LLM lives on that
(arXiv:2307.11795: "the problem collapses to a repetition task"). So this one reads more than sentences.
"""

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

UNK_ID, BOS_ID, EOS_ID = 0, 1, 2
TRANSLATE = "translate to english:"
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
        symbols: strings that are one token each wherever they stand, as the marks of a chat format.
        chat_template: in jinja, for an LLM that chats.

    Raises:
        UserError: the text has more characters than that.
    """
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


def corrupt(ids: list[int], vocab_size: int, rng: random.Random) -> list[int]:
    """Ids with some tokens left out, some replaced and some said twice."""
    out = []
    for token in ids:
        draw = rng.random()
        if draw < 0.05:
            continue
        out.append(rng.randrange(3, vocab_size) if draw < 0.10 else token)
        if draw > 0.95:
            out.append(token)
    return out


def misspell(text: str, rng: random.Random) -> str:
    """A text with some letters and spaces left out, some replaced by others of its own and some said twice."""
    out = []
    for letter in text:
        draw = rng.random()
        if draw < 0.02:
            continue
        out.append(rng.choice(text) if draw < 0.03 else letter)
        if draw > 0.99:
            out.append(letter)
    return " ".join("".join(out).split())


def stretch(ids: list[int], filler: int, rng: random.Random) -> list[int]:
    """Ids that last for one or two positions each, with up to four of a filler between them, as frames of speech."""
    out = []
    for token in ids:
        out += [token] * rng.choice((1, 1, 1, 2, 2))
        out += [filler] * rng.choice((0, 0, 0, 0, 0, 1, 1, 1, 2, 4))
    return out


def translation(
    text: str, ids: list[int], english: list[int], encode, rng: random.Random, space_id: int
) -> tuple[list[int], list[int]]:
    """A source and its translation: the source as it is or misspelt, drawn out or not; at times no source at all."""
    draw = rng.random()
    if draw < 0.1:
        return [], english
    heard = encode(misspell(text, rng)) if draw < 0.5 else ids
    return stretch(heard, space_id, rng) if rng.random() < 0.5 else heard, english


def documents(
    sentences: list[tuple[str, str]],
    encode,
    vocab_size: int,
    rng: random.Random,
    space_id: int,
    asked: list[tuple[str, str]] = (),
    instruction: str = TRANSLATE,
    translated_share: float = 0.0,
) -> Iterator[tuple[list[int], int]]:
    """Endless training documents, as ids and the position from which they are worth predicting.

    Most of them repeat a sentence, ``sentence <s> sentence </s>``, which is the layout of recognition with the
    audio in place of the first sentence: as it is, in a random order, from a copy that is damaged or misspelt, and, as
    frames of speech say it, drawn out with spaces between its tokens. The others are sentences alone, and translated
    where there is a translation; and questions about a statement before them, with their answers.

    Args:
        sentences: pairs of a text and its English translation ("" where there is none).
        encode: text to token ids.
        space_id: token that is a bare space.
        asked: pairs of a statement with a question, and the answer.
        instruction: what stands before a text that is to be translated.
        translated_share: of the documents: translations beyond those few, see ``translation``.
    """
    encoded = [
        (text, encode(text), encode(english) if english else None) for text, english in sentences
    ]
    instruction = encode(instruction)
    asked = [(encode(question), encode(answer)) for question, answer in asked]
    while True:
        rng.shuffle(encoded)
        for text, ids, english in encoded:
            if translated_share and english is not None and rng.random() < translated_share:
                source, target = translation(text, ids, english, encode, rng, space_id)
                source = [*instruction, *source] if source else []
                yield [*source, BOS_ID, *target, EOS_ID], len(source)
                continue
            kind = rng.random()
            if asked and kind < 0.04:
                question, answer = rng.choice(asked)
                yield [*question, BOS_ID, *answer, EOS_ID], len(question)
            elif kind < 0.22:
                yield [*ids, BOS_ID, *ids, EOS_ID], 0
            elif kind < 0.28:
                yield [BOS_ID, *ids, EOS_ID], 0
            elif kind < 0.36:
                shuffled = rng.sample(ids, len(ids))
                yield [*shuffled, BOS_ID, *shuffled, EOS_ID], len(shuffled)
            elif kind < 0.42 or (english is None and kind < 0.50):
                source = corrupt(ids, vocab_size, rng)
                if rng.random() < 0.5:
                    source = encode(misspell(text, rng))
                yield [*source, BOS_ID, *ids, EOS_ID], len(source)
            elif kind < 0.50:
                yield [*instruction, *ids, BOS_ID, *english, EOS_ID], len(instruction) + len(ids)
            else:
                draw = rng.random()
                wanted = rng.sample(ids, len(ids)) if draw < 0.2 else ids
                heard = encode(misspell(text, rng)) if draw > 0.6 else wanted
                source = stretch(heard, space_id, rng)
                yield [*source, BOS_ID, *wanted, EOS_ID], len(source)


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
    tokenizer = train_tokenizer(texts, vocab_size, building)

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
