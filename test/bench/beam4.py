"""Beam search with four beams against ``generate(num_beams=4)`` of transformers on the same embeddings."""

from pathlib import Path

import common
import llama
import numpy as np
import torch
from torch.nn.utils.rnn import pad_sequence

from speechllm.decode.beam import beam_search
from speechllm.models.adapters import merge_adapters

NUM_BEAMS = 4
VOCAB_SIZE = 2000  # the mini preset has 1,258
MAX_TOKENS = 60
END_PUSH = 4.2  # on the end token's logit, so that outputs of many lengths compete
TIE = 1e-3  # log-probability per token


def push_end(llm, push: float):
    """Make the end token, which llama.make_llm has muted, likely enough for outputs to end."""
    bias = torch.zeros(llm.model.get_output_embeddings().weight.size(0))
    bias[llama.EOS_ID] = push
    llm.model.get_output_embeddings().register_forward_hook(lambda module, args, out: out + bias)


def generate(model, rows: list[torch.Tensor], max_tokens: int) -> list[list[tuple[list, float]]]:
    """Per row the n-best as (token ids with the end, score), by transformers."""
    inputs = pad_sequence(rows, batch_first=True, padding_side="left")
    lens = torch.tensor([len(row) for row in rows])
    mask = torch.arange(inputs.size(1)) >= inputs.size(1) - lens[:, None]
    with torch.inference_mode():
        out = model.generate(
            inputs_embeds=inputs,
            attention_mask=mask.long(),
            do_sample=False,
            num_beams=NUM_BEAMS,
            num_return_sequences=NUM_BEAMS,
            max_new_tokens=max_tokens + 1,
            eos_token_id=llama.EOS_ID,
            pad_token_id=0,
            return_dict_in_generate=True,
            output_scores=True,
        )
    lists = [[] for _ in rows]
    for i, (ids, score) in enumerate(
        zip(out.sequences.tolist(), out.sequences_scores.tolist(), strict=True)
    ):
        end = ids.index(llama.EOS_ID) + 1 if llama.EOS_ID in ids else len(ids)
        lists[i // NUM_BEAMS].append((ids[:end], score))
    return lists


def ended(lists) -> list[list[tuple[list, float]]]:
    """Of our n-best the same as ``generate`` gives, for those that ended by themselves."""
    return [
        [
            ([*h.token_ids, llama.EOS_ID], h.score / (len(h.token_ids) + 1))
            for h in hyps
            if h.status == "ok"
        ]
        for hyps in lists
    ]


def are_equal(ours, theirs) -> bool:
    """Whether both n-best lists are alike; those whose scores differ by less than a tie may change places."""
    for own, other in zip(ours, theirs, strict=True):
        other = [(ids, score) for ids, score in other if ids[-1] == llama.EOS_ID]
        if sorted(ids for ids, _ in own) != sorted(ids for ids, _ in other):
            return False
        scores = [dict((tuple(ids), score) for ids, score in hyps) for hyps in (own, other)]
        if any(abs(scores[0][ids] - scores[1][ids]) > TIE for ids in scores[0]):
            return False
        pairs = zip(own, other, strict=True)
        if any(a != b and abs(s - t) > TIE for (a, s), (b, t) in pairs):
            return False
    return True


def bench(corpus: Path, small: bool) -> list[common.Row]:
    vocab_size, num_utts, limit = (60, 3, 8) if small else (VOCAB_SIZE, 16, MAX_TOKENS)
    llm = llama.make_llm(vocab_size, small)
    merge_adapters(llm.model)  # as bin/decode does; what is left are plain matrices, for both sides
    push_end(llm, 1.5 if small else END_PUSH)
    batch = llama.make_batch(llm.dim, vocab_size, num_utts, 2.0 if small else 10.0)
    with torch.no_grad():
        rows = llama.prompt_rows(llm.embed, batch["feats"], batch["feat_lens"], batch["prompts"])
    seconds = float(batch["feat_lens"].sum()) / llama.POSITIONS_PER_SECOND

    def ours():
        return beam_search(llm, rows, [limit] * len(rows), llama.EOS_ID, num_beams=NUM_BEAMS)

    def theirs():
        return generate(llm.model, rows, limit)

    own = ended(ours())
    took = common.in_turns({common.OURS: ours, "peer": theirs}, 1 if small else 7)
    speed = {name: seconds / np.median(values) for name, values in took.items()}
    lengths = [len(ids) for hyps in own for ids, _ in hyps]
    return [
        common.make_row(
            "beam4",
            "transformers generate, num_beams=4",
            took[common.OURS],
            took["peer"],
            are_equal(own, theirs()) and len(lengths) > 0,
            ("transformers", "peft", "torch"),
            f"{num_utts} utterances of {seconds:.0f} s in one batch; {len(lengths)} of the n-best "
            f"ended by themselves, after {min(lengths, default=0)} to {max(lengths, default=0)} "
            f"tokens, and are the same; the mini preset's LLM with random weights and LoRA, "
            f"adapters merged on both sides; ours "
            f"{speed[common.OURS]:.0f} times real time, theirs {speed['peer']:.0f}",
        )
    ]


if __name__ == "__main__":
    common.main(bench, {"beam4"})
