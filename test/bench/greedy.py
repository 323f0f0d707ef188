"""Greedy decoding, with drafts as CTC gives them and without, against ``generate`` of transformers."""

from functools import partial
from pathlib import Path

import common
import llama
import numpy as np
import torch
from torch.nn.utils.rnn import pad_sequence
from transformers import StoppingCriteria, StoppingCriteriaList

from speechllm.decode.llm import greedy
from speechllm.decode.speculative import describe, speculative_greedy

BATCH_SIZES = (1, 16)
ERROR_RATE = 0.08  # of a draft's tokens are wrong: as many as words of the mini preset's CTC
VOCAB_SIZE = 2000  # of the mini preset


class RowLimits(StoppingCriteria):
    """Every row ends after a number of tokens of its own."""

    def __init__(self, limits: list[int]):
        self.limits = torch.tensor(limits)

    def __call__(self, input_ids, scores, **kwargs):
        return input_ids.size(1) >= self.limits


def generate(model, rows: list[torch.Tensor], limits: list[int]) -> list[list[int]]:
    """Token ids by transformers, padded on the left as its documentation says."""
    inputs = pad_sequence(rows, batch_first=True, padding_side="left")
    lens = torch.tensor([len(row) for row in rows])
    mask = torch.arange(inputs.size(1)) >= inputs.size(1) - lens[:, None]
    with torch.inference_mode():
        ids = model.generate(
            inputs_embeds=inputs,
            attention_mask=mask.long(),
            do_sample=False,
            max_new_tokens=max(limits),
            stopping_criteria=StoppingCriteriaList([RowLimits(limits)]),
            pad_token_id=llama.EOS_ID,
        )
    return [row[:limit].tolist() for row, limit in zip(ids, limits, strict=True)]


def damage(token_ids: list[int], vocab_size: int, generator: torch.Generator) -> list[int]:
    """A draft of an output: ``ERROR_RATE`` of its tokens replaced, left out, or followed by one too many."""
    draft = []
    for token in token_ids:
        wrong = int(torch.randint(llama.EOS_ID + 1, vocab_size, (), generator=generator))
        kinds = ([wrong], [], [token, wrong])
        draw = float(torch.rand((), generator=generator)) / ERROR_RATE
        draft += kinds[int(draw * len(kinds))] if draw < 1 else [token]
    return draft


def bench(corpus: Path, small: bool) -> list[common.Row]:
    vocab_size, num_utts = (60, 3) if small else (VOCAB_SIZE, 16)
    llm = llama.make_llm(vocab_size, small)
    batch = llama.make_batch(llm.dim, vocab_size, num_utts, 2.0 if small else 10.0)
    with torch.no_grad():
        rows = llama.prompt_rows(llm.embed, batch["feats"], batch["feat_lens"], batch["prompts"])
    limits = [len(target) for target in batch["targets"]]
    seconds = float(batch["feat_lens"].sum()) / llama.POSITIONS_PER_SECOND

    peer = llama.make_llm(vocab_size, small)  # ours is merged with its adapters, as bin/decode does
    llm.merge_adapters()

    def theirs(size: int) -> list[list[int]]:
        ids = []
        for at in range(0, len(rows), size):
            ids += generate(peer.model, rows[at : at + size], limits[at : at + size])
        return ids

    def token_by_token(size: int) -> list[list[int]]:
        hyps = []
        for at in range(0, len(rows), size):
            hyps += greedy(llm, rows[at : at + size], limits[at : at + size], llama.EOS_ID)
        return [hyp.token_ids for hyp in hyps]

    generator = torch.Generator().manual_seed(2)
    drafts = [damage(ids, vocab_size, generator) for ids in theirs(1)]
    stats = []

    def drafted(size: int) -> list[list[int]]:
        hyps = []
        stats.clear()
        for at in range(0, len(rows), size):
            batch = slice(at, at + size)
            found = speculative_greedy(llm, rows[batch], drafts[batch], limits[batch], llama.EOS_ID)
            hyps += found[0]
            stats.extend(found[1])
        return [hyp.token_ids for hyp in hyps]

    found = []
    for size in (1, num_utts) if small else BATCH_SIZES:
        expected = theirs(size)
        equal = drafted(size) == token_by_token(size) == expected
        sides = {"drafted": partial(drafted, size), "plain": partial(token_by_token, size)}
        took = common.in_turns(sides | {"peer": partial(theirs, size)}, 1 if small else 7)
        speed = {name: seconds / np.median(values) for name, values in took.items()}
        distinct = len({token for row in expected for token in row})
        found.append(
            common.make_row(
                f"greedy_b{size}",
                "transformers generate",
                took["drafted"],
                took["peer"],
                equal,
                ("transformers", "peft", "torch"),
                f"{num_utts} utterances of {seconds:.0f} s, {sum(limits)} tokens ({distinct} "
                f"different), the same for both; the mini preset's LLM with random weights "
                f"and LoRA, every row with its own length; drafts with {ERROR_RATE:.0%} of their "
                f"tokens wrong; {describe(stats)}; ours {speed['drafted']:.0f} times real time "
                f"({speed['plain']:.0f} without drafts), theirs {speed['peer']:.0f}",
            )
        )
    return found


if __name__ == "__main__":
    common.main(bench, {f"greedy_b{size}" for size in BATCH_SIZES})
