"""Beam search: the n-best lists of transformers' own, in any batch."""

import pytest
import torch

from helpers import EOS_ID, VOCAB, llm_batch, tiny_bloom, tiny_llama, tiny_speech_llm
from speechllm.decode.beam import beam_search
from speechllm.decode.llm import greedy
from speechllm.models.masks import prefix_mask

FAMILIES = {"llama": tiny_llama, "bloom": tiny_bloom}


def prompts(lens, dtype=torch.float32):
    generator = torch.Generator().manual_seed(3)
    return [torch.randn(n, 32, generator=generator).to(dtype) for n in lens]


def ending_llm(family, bias=None):
    """A random LLM that is likely enough to end for outputs of all lengths to compete."""
    llm = FAMILIES[family]()
    push = torch.zeros(VOCAB)
    push[EOS_ID] = bias or {"llama": 1.5, "bloom": 3.0}[family]
    head = llm.model.get_output_embeddings()
    head.register_forward_hook(lambda module, args, out: out + push.to(out.dtype))
    return llm


def generated(llm, row, num_beams, limit, **kwargs):
    """(token ids without the end, transformers' score) of each sequence that generate returns."""
    out = llm.model.generate(
        inputs_embeds=row[None],
        attention_mask=torch.ones(1, len(row), dtype=torch.long),
        num_beams=num_beams,
        num_return_sequences=num_beams,
        max_new_tokens=limit + 1,
        do_sample=False,
        eos_token_id=EOS_ID,
        pad_token_id=0,
        return_dict_in_generate=True,
        output_scores=True,
        **kwargs,
    )
    found = {}
    for ids, score in zip(out.sequences.tolist(), out.sequences_scores.tolist(), strict=True):
        ended = EOS_ID in ids
        ids = ids[: ids.index(EOS_ID)] if ended else ids[:limit]
        found.setdefault(tuple(ids), (score, ended))
    return [(list(ids), score, ended) for ids, (score, ended) in found.items()]


@pytest.mark.parametrize(
    ("family", "dtype"),
    [("llama", torch.float32), ("llama", torch.float64), ("bloom", torch.float32)],
)  # transformers' BLOOM gives nan in float64 where prompts are padded
def test_nbest_is_that_of_generate(family, dtype):
    llm = ending_llm(family).to(dtype)
    rows = prompts((3, 11, 1, 6, 7), dtype)
    limits = [9, 14, 6, 3, 0]
    hyps = beam_search(llm, rows, limits, EOS_ID)
    lengths = set()
    for row, limit, nbest in zip(rows, limits, hyps, strict=True):
        want = generated(llm, row, 4, limit)
        assert [h.token_ids for h in nbest] == [ids for ids, _, _ in want]
        for hyp, (_, score, ended) in zip(nbest, want, strict=True):
            assert hyp.status == ("ok" if ended else "max_length")
            lengths.add(len(hyp.token_ids))
            if ended:  # a cut one is ranked with the token that was cut off
                assert hyp.score / (len(hyp.token_ids) + 1) == pytest.approx(score, abs=1e-4)
    assert len(lengths) > 4, "the test should see outputs of many lengths"


@pytest.mark.parametrize("length_penalty", [0.0, 2.0])
def test_length_penalty_is_that_of_generate(length_penalty):
    llm = ending_llm("llama")
    rows = prompts((3, 8))
    hyps = beam_search(llm, rows, [8, 8], EOS_ID, num_beams=3, length_penalty=length_penalty)
    for row, nbest in zip(rows, hyps, strict=True):
        want = generated(llm, row, 3, 8, length_penalty=length_penalty)
        assert [h.token_ids for h in nbest] == [ids for ids, _, _ in want]


def test_repetition_penalty_is_that_of_generate():
    llm = ending_llm("llama")
    (row,) = prompts((4,))
    (plain,) = beam_search(llm, [row], [10], EOS_ID)
    (nbest,) = beam_search(llm, [row], [10], EOS_ID, repetition_penalty=1.5)
    want = generated(llm, row, 4, 10, repetition_penalty=1.5)
    assert [h.token_ids for h in nbest] == [ids for ids, _, _ in want]
    assert [h.token_ids for h in nbest] != [h.token_ids for h in plain]


def test_wide_beam_finds_the_best_of_all_outputs():
    llm = ending_llm("llama", bias=4.0)
    (row,) = prompts((5,))
    scores = {}
    for ids in [(), *((t,) for t in range(VOCAB) if t != EOS_ID)]:
        x = torch.cat([row, llm.embed(torch.tensor(ids, dtype=torch.long))])[None]
        log_probs = llm.logits(llm.hidden(x))[0, len(row) - 1 :].log_softmax(-1)
        scores[ids] = sum(float(log_probs[i, t]) for i, t in enumerate([*ids, EOS_ID]))
    best = max(scores, key=lambda ids: scores[ids] / (len(ids) + 1))
    (nbest,) = beam_search(llm, [row], [1], EOS_ID, num_beams=VOCAB)
    found = next(h for h in nbest if h.status == "ok")
    assert tuple(found.token_ids) == best
    assert found.score == pytest.approx(scores[best], abs=1e-3)


def test_one_beam_is_greedy():
    llm = ending_llm("llama")
    rows, limits = prompts((3, 11, 1, 6)), [9, 14, 6, 2]
    beams = beam_search(llm, rows, limits, EOS_ID, num_beams=1)
    for (hyp,), want in zip(beams, greedy(llm, rows, limits, EOS_ID), strict=True):
        assert (hyp.token_ids, hyp.status) == (want.token_ids, want.status)
        assert hyp.score == pytest.approx(want.score, abs=1e-3)


def test_nbest_does_not_depend_on_the_batch():
    llm = ending_llm("bloom")
    rows, limits = prompts((3, 11, 1, 6)), [9, 14, 6, 3]
    together = beam_search(llm, rows, limits, EOS_ID)
    for row, limit, want in zip(rows, limits, together, strict=True):
        (alone,) = beam_search(llm, [row], [limit], EOS_ID)
        assert [h.token_ids for h in alone] == [h.token_ids for h in want]
        assert [h.score for h in alone] == pytest.approx([h.score for h in want], abs=1e-3)


def test_scores_under_prefix_attention_are_those_of_a_full_forward():
    model = tiny_speech_llm(attention="prefix")
    batch = llm_batch()
    rows, spans = model.rows(batch["feats"], batch["feat_lens"], batch["prompts"])
    hyps = beam_search(model.llm, rows, [6] * 3, EOS_ID, spans)
    for row, span, nbest in zip(rows, spans, hyps, strict=True):
        for hyp in nbest:
            tokens = hyp.token_ids + ([EOS_ID] if hyp.status == "ok" else [])
            x = torch.cat([row, model.llm.embed(torch.tensor(hyp.token_ids))])[None]
            span_now = torch.nn.functional.pad(span, (0, len(hyp.token_ids)))[None]
            mask = prefix_mask(torch.tensor([x.size(1)]), span_now)
            with torch.no_grad():
                logits = model.llm.logits(model.llm.hidden(x, mask))
            log_probs = logits[0, len(row) - 1 :].log_softmax(-1)
            want = sum(float(log_probs[i, t]) for i, t in enumerate(tokens))
            assert hyp.score == pytest.approx(want, abs=1e-3)


def test_utterances_that_end_at_once_leave_the_others_alone():
    llm = ending_llm("llama")
    rows, limits = prompts((3, 11, 1, 6)), [0, 0, 7, 0]  # one of four goes on, and becomes four
    together = beam_search(llm, rows, limits, EOS_ID)
    (alone,) = beam_search(llm, rows[2:3], [7], EOS_ID)
    assert [h.token_ids for h in together[2]] == [h.token_ids for h in alone]
