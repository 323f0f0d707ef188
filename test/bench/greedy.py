"""Greedy decoding, with drafts as good as CTC's and without, against ``generate`` of transformers."""

from functools import partial
from pathlib import Path

import common
import llama
import numpy as np
import torch
from torch.nn.utils.rnn import pad_sequence
from transformers import StoppingCriteria, StoppingCriteriaList

from speechllm.decode.ctc import ctc_greedy
from speechllm.decode.llm import greedy
from speechllm.decode.speculative import describe, speculative_greedy
from speechllm.models.adapters import merge_adapters

ROUNDS = {1: 9, 16: 21}  # by batch size; a round of the larger takes a second
VOCAB_SIZE = 2000  # the mini preset has 1,258
ENCODER_DIM, NUM_UNITS = 144, 1001  # of the mini preset


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


def bench(corpus: Path, small: bool) -> list[common.Row]:
    vocab_size, num_utts = (60, 3) if small else (VOCAB_SIZE, 16)
    llm = llama.make_llm(vocab_size, small)
    batch = llama.make_batch(llm.dim, vocab_size, num_utts, 2.0 if small else 10.0)
    with torch.no_grad():
        rows = llama.prompt_rows(llm.embed, batch["feats"], batch["feat_lens"], batch["prompts"])
    limits = [len(target) for target in batch["targets"]]
    seconds = float(batch["feat_lens"].sum()) / llama.POSITIONS_PER_SECOND

    merge_adapters(llm.model)  # as bin/decode does; what is left are plain matrices, for both sides
    frames = torch.randn(num_utts, batch["feats"].size(1), ENCODER_DIM)
    ctc_head = torch.nn.Linear(ENCODER_DIM, NUM_UNITS)

    def theirs(size: int) -> list[list[int]]:
        ids = []
        for at in range(0, len(rows), size):
            ids += generate(llm.model, rows[at : at + size], limits[at : at + size])
        return ids

    def token_by_token(size: int) -> list[list[int]]:
        hyps = []
        for at in range(0, len(rows), size):
            hyps += greedy(llm, rows[at : at + size], limits[at : at + size], llama.EOS_ID)
        return [hyp.token_ids for hyp in hyps]

    @torch.inference_mode()
    def hear(part: slice):
        """What a draft costs on top of the encoder; its text is random, so that another one is checked."""
        ctc_greedy(ctc_head(frames[part]).log_softmax(-1), batch["feat_lens"][part])

    generator = torch.Generator().manual_seed(2)
    drafts = [llama.damage(ids, vocab_size, generator) for ids in theirs(1)]
    stats = []

    def drafted(size: int) -> list[list[int]]:
        hyps = []
        stats.clear()
        for at in range(0, len(rows), size):
            part = slice(at, at + size)
            hear(part)
            found = speculative_greedy(llm, rows[part], drafts[part], limits[part], llama.EOS_ID)
            hyps += found[0]
            stats.extend(found[1])
        return [hyp.token_ids for hyp in hyps]

    found = []
    for size in (1, num_utts) if small else ROUNDS:
        expected = theirs(size)
        equal = drafted(size) == token_by_token(size) == expected
        sides = {"drafted": partial(drafted, size), "plain": partial(token_by_token, size)}
        took = common.in_turns(
            sides | {"peer": partial(theirs, size)}, 1 if small else ROUNDS[size]
        )
        speed = {name: seconds / np.median(values) for name, values in took.items()}
        distinct = len({token for row in expected for token in row})
        with_drafts = (
            f"drafts are the output with {llama.DRAFT_FAULT_RATE:.1%} faults per token, as many and "
            f"as long as in drafts of the mini preset's CTC; {describe(stats)}; the CTC layer and its "
            "greedy search are timed with ours, from CTC's units to tokens is not"
        )
        for side, name, drafting in (
            ("drafted", f"greedy_b{size}", with_drafts),
            ("plain", f"no_drafts_b{size}", "ours token by token too"),
        ):
            found.append(
                common.make_row(
                    name,
                    "transformers generate",
                    took[side],
                    took["peer"],
                    equal,
                    ("transformers", "peft", "torch"),
                    f"{num_utts} utterances of {seconds:.0f} s, {sum(limits)} tokens ({distinct} "
                    f"different), the same for both; the mini preset's LLM with random weights and "
                    f"LoRA, adapters merged on both sides, every row with its own length; "
                    f"{drafting}; ours {speed[side]:.0f} times real time, theirs "
                    f"{speed['peer']:.0f}",
                )
            )
    return found


if __name__ == "__main__":
    common.main(bench, {f"{kind}_b{size}" for kind in ("greedy", "no_drafts") for size in ROUNDS})
