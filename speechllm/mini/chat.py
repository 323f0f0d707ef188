"""A small LLaMA that answers: instruction-tuned from scratch on dialogues about the made-up world, in a chat format.

Real chat LLMs read untidy text without effort. So what a user says here is plain text, or misspelt, or drawn out as
frames of speech say it, in whole or in part.
"""

import random
import shutil
from collections.abc import Callable
from pathlib import Path

import torch

from speechllm.mini.documents import BOS_ID, EOS_ID, misspell, stretch
from speechllm.mini.lessons import lessons
from speechllm.mini.llm import (
    batches,
    learn,
    matrices_and_others,
    new_model,
    save,
    train_tokenizer,
)
from speechllm.mini.questions import Question

USER, ASSISTANT = "<|user|>", "<|assistant|>"
CHAT_TEMPLATE = (
    "{{ bos_token }}{% for message in messages %}{% set said = ' ' + message['content'] | trim %}"
    "{% if message['role'] == 'user' %}{{ '<|user|>' + said }}"
    "{% elif message['role'] == 'assistant' %}{{ '<|assistant|>' + said + eos_token }}"
    "{% else %}{{ raise_exception('this LLM knows the roles user and assistant') }}{% endif %}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|assistant|>' }}{% endif %}"
)
TOKENIZER_LESSONS = 8000  # dialogues whose text decides the tokens
TRANSCRIPT_WEIGHT = 10
# Share of the turns that are drawn out at the end of the training; it rises from none, for such turns are long and what
# is to be answered is learnt sooner from plain ones.
MAX_SPOKEN = 0.8


def hear(
    text: str, encode: Callable, space_id: int, spoken_share: float, rng: random.Random
) -> list[int]:
    """Ids of what a user says: as it is or misspelt; or drawn out, in whole or after a beginning in text.

    Args:
        spoken_share: how often it is drawn out.
    """
    said = misspell(text, rng) if rng.random() < 0.2 else text
    if rng.random() >= spoken_share:
        return encode(said)
    words = said.split()
    at = rng.randrange(len(words)) if rng.random() < 0.2 else 0
    before, after = " ".join(words[:at]), " ".join(words[at:])
    silence = [space_id] * rng.choice((0, 0, 1, 2))
    return [*(encode(before) if before else []), *silence, *stretch(encode(after), space_id, rng)]


def chat_document(
    question: Question, encode: Callable, hear: Callable, user_id: int, assistant_id: int
) -> tuple[list[int], list[int]]:
    """Ids of a dialogue as ``CHAT_TEMPLATE`` lays it out, and the positions of what the assistant says.

    Args:
        encode, hear: from a text to ids, as the assistant writes it and as the user says it.
    """
    ids, wanted = [BOS_ID], []
    for role, text in (*question.turns, ("assistant", question.answer)):
        if role == "user":
            ids += [user_id, *hear(text)]
        else:
            answer = [*encode(text), EOS_ID]
            wanted += range(len(ids) + 1, len(ids) + 1 + len(answer))
            ids += [assistant_id, *answer]
    return ids, wanted


def train_chat_llm(
    out_dir: str | Path,
    transcripts: list[str],
    *,
    architecture: str,
    dim: int,
    num_layers: int,
    num_heads: int,
    ffn_dim: int,
    vocab_size: int,
    batch_tokens: int,
    make_optimizer: Callable,
    warmup_steps: int,
    max_steps: int,
    seed: int,
    log_every: int = 50,
):
    """Train tokenizer and model, and write them to ``out_dir`` in one move at the end.

    Args:
        transcripts: of the training set; they count for the tokenizer alone, so that CTC units are mostly its tokens.
        make_optimizer: as for ``llm.train_llm``.
    """
    out_dir, building = Path(out_dir), Path(f"{out_dir}.building")
    shutil.rmtree(building, ignore_errors=True)
    building.mkdir(parents=True)
    source = lessons(seed)
    shown = [next(source) for _ in range(TOKENIZER_LESSONS)]
    texts = [text for question in shown for _, text in question.turns]
    texts += [question.answer for question in shown]
    texts += TRANSCRIPT_WEIGHT * transcripts
    tokenizer = train_tokenizer(texts, vocab_size, building, (USER, ASSISTANT), CHAT_TEMPLATE)
    user_id, assistant_id, space_id = tokenizer.convert_tokens_to_ids([USER, ASSISTANT, "\u2581"])

    known: dict[str, list[int]] = {}

    def encode(text):
        if text not in known:
            if len(known) > 100_000:
                known.clear()
            known[text] = tokenizer.encode(text, add_special_tokens=False)
        return known[text]

    rng = random.Random(seed)

    def docs():
        num_tokens, wanted = 0, max_steps * batch_tokens
        for question in source:
            share = MAX_SPOKEN * min(1.0, num_tokens / wanted)

            def say(text, share=share):
                return hear(text, encode, space_id, share, rng)

            document = chat_document(question, encode, say, user_id, assistant_id)
            num_tokens += len(document[0])
            yield document

    torch.manual_seed(seed)
    model = new_model(architecture, dim, num_layers, num_heads, ffn_dim, len(tokenizer))
    size = sum(p.numel() for p in model.parameters())
    words = {word for text in transcripts for word in text.split()}
    whole = sum(len(encode(word)) == 1 for word in words)
    print(
        f"small chat LLM: {size:,} parameters, {len(tokenizer)} tokens; "
        f"{whole} of {len(words)} spoken words are one token"
    )
    optimizer = make_optimizer(*matrices_and_others(model))
    learn(model, batches(docs(), batch_tokens), optimizer, warmup_steps, max_steps, log_every)
    save(model, building, out_dir)
