"""Search: against plain recomputation, alone and in batches."""

import pytest
import torch

from helpers import (
    BOS_ID,
    EOS_ID,
    VOCAB,
    llm_batch,
    one_of,
    tiny_bloom,
    tiny_llama,
    tiny_speech_llm,
)
from speechllm.decode.ctc import ctc_greedy
from speechllm.decode.llm import greedy, penalise_repetition
from speechllm.models.llm_loading import load_llm
from speechllm.models.llm_tokenizer import LlmTokenizer
from speechllm.models.masks import prefix_mask


def greedy_without_cache(llm, row, max_tokens, speech=None):
    """Recompute the whole row for every token."""
    out = []
    while len(out) < max_tokens:
        x = torch.cat([row, llm.embed(torch.tensor(out, dtype=torch.long))])[None]
        mask = None
        if speech is not None:
            span = torch.nn.functional.pad(speech, (0, len(out)))[None]
            mask = prefix_mask(torch.tensor([x.size(1)]), span)
        token = int(llm.logits(llm.hidden(x, mask))[0, -1].argmax())
        if token == EOS_ID:
            break
        out.append(token)
    return out


@pytest.mark.parametrize("family", [tiny_llama, tiny_bloom])
def test_greedy_equals_recomputation_in_any_batch(family):
    llm = family()
    torch.manual_seed(0)
    rows = [torch.randn(n, 32) for n in (3, 9, 1, 6)]
    limits = [12, 7, 15, 10]
    want = [greedy_without_cache(llm, row, n) for row, n in zip(rows, limits, strict=True)]
    batched = [h.token_ids for h in greedy(llm, rows, limits, EOS_ID)]
    alone = [
        greedy(llm, [row], [n], EOS_ID)[0].token_ids for row, n in zip(rows, limits, strict=True)
    ]
    assert batched == want
    assert alone == want


def test_greedy_with_prefix_attention_equals_recomputation():
    model = tiny_speech_llm(attention="prefix")
    batch = llm_batch()
    rows, spans = model.rows(batch["feats"], batch["feat_lens"], batch["prompts"])
    hyps = greedy(model.llm, rows, [8] * 3, EOS_ID, spans)
    for row, span, hyp in zip(rows, spans, hyps, strict=True):
        assert hyp.token_ids == greedy_without_cache(model.llm, row, 8, span)


def test_decoding_does_not_depend_on_the_batch():
    model = tiny_speech_llm()
    batch = llm_batch()
    together = greedy(
        model.llm,
        *[model.rows(batch["feats"], batch["feat_lens"], batch["prompts"])[0]],
        [9] * 3,
        EOS_ID,
    )
    for b in range(3):
        single = one_of(batch, b)
        rows, _ = model.rows(single["feats"], single["feat_lens"], single["prompts"])
        (alone,) = greedy(model.llm, rows, [9], EOS_ID)
        assert alone.token_ids == together[b].token_ids
        assert alone.score == pytest.approx(together[b].score, abs=1e-3)


def test_score_is_the_sum_of_log_probabilities():
    llm = tiny_llama()
    row = torch.randn(4, 32)
    (hyp,) = greedy(llm, [row], [6], EOS_ID)
    x = torch.cat([row, llm.embed(torch.tensor(hyp.token_ids))])[None]
    log_probs = llm.logits(llm.hidden(x))[0].log_softmax(-1)[3:]
    wanted = hyp.token_ids + ([EOS_ID] if hyp.status == "ok" else [])
    assert hyp.score == pytest.approx(
        sum(float(log_probs[i, t]) for i, t in enumerate(wanted)), abs=1e-3
    )


def test_length_limit_is_reported():
    llm = tiny_llama()
    llm.model.lm_head.weight.data[EOS_ID] = -10 * llm.model.lm_head.weight.data.abs().sum(0)
    hyps = greedy(llm, [torch.rand(2, 32), torch.rand(5, 32)], [0, 3], 39 + VOCAB)
    assert [len(h.token_ids) for h in hyps] == [0, 3]
    assert [h.status for h in hyps] == ["max_length", "max_length"]


def test_repetition_penalty_moves_only_seen_tokens():
    logits = torch.tensor([[2.0, -2.0, 1.0]])
    seen = torch.tensor([[True, True, False]])
    assert penalise_repetition(logits, seen, 2.0).tolist() == [[1.0, -4.0, 1.0]]


def test_ctc_greedy_merges_and_removes():
    frames = [0, 3, 3, 0, 3, 5, 5, 1, 0, 0]
    log_probs = torch.nn.functional.one_hot(torch.tensor([frames, frames]), 6).float()
    assert ctc_greedy(log_probs, torch.tensor([10, 5])) == [[3, 3, 5, 1], [3, 3]]


def test_real_llama_writes_its_published_greedy_text(shared):
    folder = shared / "llm" / "stories260K"
    if not folder.is_dir():
        pytest.skip(f"{folder} is not on this machine")
    tokenizer, llm = LlmTokenizer(str(folder)), load_llm(str(folder)).eval()
    assert tokenizer.bos_id == BOS_ID and tokenizer.eos_id == EOS_ID
    (hyp,) = greedy(llm, [llm.embed(torch.tensor([tokenizer.bos_id]))], [200], tokenizer.eos_id)
    assert (
        tokenizer.decode(hyp.token_ids).strip()
        == (folder / "greedy_200_steps.txt").read_text().strip()
    )
