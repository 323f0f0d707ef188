"""Drafts: the output of greedy search, whatever the draft, in fewer passes if it is good."""

import random

import pytest
import torch

from helpers import BOS_ID, EOS_ID, VOCAB, llm_batch, tiny_bloom, tiny_llama, tiny_speech_llm
from speechllm.decode.llm import greedy
from speechllm.decode.speculative import Draft, DraftStats, describe, speculative_greedy
from speechllm.errors import UserError

FAMILIES = {"llama": tiny_llama, "bloom": tiny_bloom}


def prompts(lens):
    generator = torch.Generator().manual_seed(3)
    return [torch.randn(n, 32, generator=generator) for n in lens]


def damaged(tokens, errors, seed):
    """A copy with so many tokens replaced, left out or put in."""
    draw, tokens = random.Random(seed), list(tokens)
    for _ in range(errors):
        at = draw.randrange(len(tokens)) if tokens else 0
        tokens[at : at + draw.randrange(2)] = draw.choices(range(3, VOCAB), k=draw.randrange(2))
    return tokens


def assert_same(got, want):
    assert [h.token_ids for h in got] == [h.token_ids for h in want]
    assert [h.status for h in got] == [h.status for h in want]
    assert [h.score for h in got] == pytest.approx([h.score for h in want], abs=1e-3)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("errors", [0, 1, 4, 40])
def test_output_is_that_of_greedy(family, errors):
    llm = FAMILIES[family]()
    rows, limits = prompts((3, 9, 1, 6, 14)), [20, 7, 25, 0, 12]
    want = greedy(llm, rows, limits, EOS_ID)
    drafts = [damaged(h.token_ids, errors, seed=b) for b, h in enumerate(want)]
    got, stats = speculative_greedy(llm, rows, drafts, limits, EOS_ID)
    assert_same(got, want)
    for hyp, limit, one, draft in zip(got, limits, stats, drafts, strict=True):
        assert one.num_tokens == len(hyp.token_ids) + 1
        assert one.num_passes + one.num_accepted == one.num_tokens
        assert one.draft_len == len(draft)
        if errors == 0:
            assert one.num_passes == 1 and one.num_accepted == min(limit, len(draft))


@pytest.mark.parametrize("kind", ["empty", "wrong everywhere", "too long", "ends early"])
def test_output_is_that_of_greedy_with_a_bad_draft(kind):
    llm = tiny_llama()
    rows, limits = prompts((5, 2, 8)), [10, 15, 6]
    want = greedy(llm, rows, limits, EOS_ID)
    drafts = {
        "empty": [[] for _ in want],
        "wrong everywhere": [[3 + (t - 2) % (VOCAB - 3) for t in h.token_ids] for h in want],
        "too long": [h.token_ids + list(range(3, 38)) for h in want],
        "ends early": [[EOS_ID], [*want[1].token_ids[:3], EOS_ID, 5], []],
    }[kind]
    got, stats = speculative_greedy(llm, rows, drafts, limits, EOS_ID)
    assert_same(got, want)
    assert all(one.num_passes <= one.num_tokens for one in stats)


def test_output_does_not_depend_on_the_batch():
    llm = tiny_bloom()
    rows, limits = prompts((3, 9, 1, 6)), [20, 7, 25, 12]
    want = greedy(llm, rows, limits, EOS_ID)
    drafts = [damaged(h.token_ids, b, seed=b) for b, h in enumerate(want)]
    _, together = speculative_greedy(llm, rows, drafts, limits, EOS_ID)
    for b in range(4):
        alone, stats = speculative_greedy(llm, rows[b : b + 1], [drafts[b]], [limits[b]], EOS_ID)
        assert_same(alone, want[b : b + 1])
        assert stats == together[b : b + 1]


def test_prefix_attention_covers_the_audio_and_not_the_draft():
    model = tiny_speech_llm(attention="prefix")
    batch = llm_batch()
    rows, spans = model.rows(batch["feats"], batch["feat_lens"], batch["prompts"])
    want = greedy(model.llm, rows, [12] * 3, EOS_ID, spans)
    drafts = [damaged(h.token_ids, b, seed=b) for b, h in enumerate(want)]
    got, stats = speculative_greedy(model.llm, rows, drafts, [12] * 3, EOS_ID, spans)
    assert_same(got, want)
    assert stats[0].num_passes == 1


@pytest.fixture(scope="module")
def copying_llm():
    """An LLM that was taught for a moment to write the prompt again, as a speech LLM does."""
    llm = tiny_llama()
    llm.finetune_all()
    torch.manual_seed(0)
    optimizer = torch.optim.AdamW(llm.parameters(), 3e-3)
    for _ in range(120):
        text = torch.randint(3, 20, (32, 5))
        ids = torch.cat([text, text.new_full((32, 1), BOS_ID), text], 1)
        labels = torch.cat([text.new_full((32, 5), -1), text, text.new_full((32, 1), EOS_ID)], 1)
        loss, weight, _ = llm.loss(llm.hidden(llm.embed(ids)), labels)
        optimizer.zero_grad()
        (loss / weight).backward()
        optimizer.step()
    return llm.eval()


def test_a_trained_llm_repairs_a_draft_in_few_passes(copying_llm):
    generator = torch.Generator().manual_seed(1)
    texts = [torch.randint(3, 20, (n,), generator=generator) for n in (5, 5, 4, 5)]
    rows = [copying_llm.embed(torch.cat([text, torch.tensor([BOS_ID])])) for text in texts]
    want = greedy(copying_llm, rows, [12] * 4, EOS_ID)
    drafts = [damaged(h.token_ids, 1, seed=b) for b, h in enumerate(want)]
    got, stats = speculative_greedy(copying_llm, rows, drafts, [12] * 4, EOS_ID)
    assert_same(got, want)
    assert sum(one.num_passes for one in stats) <= 3 * len(stats)


@pytest.mark.parametrize(
    ("written", "rest"),
    [
        ("", "abcdef"),
        ("ab", "cdef"),
        ("abX", "def"),  # replaced
        ("abd", "ef"),  # left out
        ("abXc", "def"),  # put in: seen with the next token that agrees
        ("aXYd", "ef"),
        ("abcdef", ""),
        ("abcdefgh", ""),
    ],
)
def test_draft_goes_on_where_the_output_stands(written, rest):
    draft = Draft([ord(c) for c in "abcdef"])
    for c in written:
        draft.write(ord(c))
    assert "".join(map(chr, draft.rest())) == rest


def test_edit_distances_are_those_of_the_textbook():
    draw = random.Random(0)
    for _ in range(30):
        tokens, output = (draw.choices(range(4), k=draw.randrange(1, 9)) for _ in range(2))
        draft = Draft(tokens)
        table = [list(range(len(tokens) + 1))]
        for token in output:
            draft.write(token)
            row = [table[-1][0] + 1]
            for j, other in enumerate(tokens):
                row.append(min(row[j] + 1, table[-1][j + 1] + 1, table[-1][j] + (other != token)))
            table.append(row)
        if draft.distances is None:
            assert output == tokens[: len(output)]
        else:
            assert draft.distances.tolist() == table[-1]


@pytest.mark.parametrize(("num_rows", "longest"), [(1, 40), (4, 32), (20, 8)])
def test_rows_share_what_is_checked_in_a_pass(num_rows, longest, monkeypatch):
    llm, limits = tiny_llama(), [41] * num_rows
    llm.model.get_output_embeddings().weight.data[EOS_ID] = (
        0.0  # outputs are as long as they may be
    )
    rows = prompts((5,) * num_rows)
    want = greedy(llm, rows, limits, EOS_ID)
    read, read_tokens = [], llm.read_tokens
    monkeypatch.setattr(
        llm, "read_tokens", lambda state, rows: (read.append(rows), read_tokens(state, rows))[1]
    )
    drafts = [[3 + (h.token_ids[0] - 2) % (VOCAB - 3), *h.token_ids[1:]] for h in want]
    assert_same(speculative_greedy(llm, rows, drafts, limits, EOS_ID)[0], want)
    assert len(read[0]) == num_rows
    assert {len(tokens) - 1 for tokens in read[0]} == {longest}


def test_repetition_penalty_is_refused():
    with pytest.raises(UserError, match="repetition_penalty 1.5 does not go with drafts"):
        speculative_greedy(tiny_llama(), prompts((3,)), [[5]], [4], EOS_ID, repetition_penalty=1.5)


def test_an_llm_that_drops_what_it_has_read_is_refused():
    llm = tiny_llama()
    llm.config.sliding_window = 4
    llm.config.layer_types = ["sliding_attention"] * 2
    with pytest.raises(UserError, match="a llama with a sliding window"):
        speculative_greedy(llm, prompts((3,)), [[5]], [4], EOS_ID)


def test_describe_adds_up():
    stats = [DraftStats(10, 9, 2, 11), DraftStats(0, 0, 5, 5)]
    assert describe(stats) == (
        "drafts: 90.0 % of 10 draft tokens accepted, 3.50 LLM passes per utterance instead of 8.00"
    )
