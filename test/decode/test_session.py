"""A dialogue in the KV cache: the same as reading everything anew, at a fraction of the work."""

import pytest
import torch

from helpers import EOS_ID, tiny_llama
from speechllm.decode.llm import greedy, sampler
from speechllm.decode.session import Session


@pytest.fixture
def llm():
    return tiny_llama()


def row_of(llm, parts, audio):
    with torch.no_grad():
        return torch.cat([audio[p] if isinstance(p, int) else llm.embed(p) for p in parts])


def talk(llm, session, parts, audio, max_tokens=6, **options):
    row = row_of(llm, parts, audio)
    logits = session.prompt(parts, [len(a) for a in audio], row)
    return list(session.answer(logits, max_tokens, **options))


def test_answers_are_those_of_reading_everything_anew(llm):
    torch.manual_seed(1)
    audio = [0.3 * torch.randn(n, llm.dim) for n in (5, 3)]
    session, parts, is_first = Session(llm, EOS_ID), [], True
    for turn in ([torch.tensor([1, 8]), 0, torch.tensor([9])], [torch.tensor([4, 5])], [1]):
        parts = [*parts, *turn]
        answer = talk(llm, session, parts, audio)
        (hyp,) = greedy(llm, [row_of(llm, parts, audio)], [6], EOS_ID)
        assert answer == hyp.token_ids
        new = len(row_of(llm, turn, audio)) + (not is_first)  # later it begins with an answer's end
        assert session.num_computed == new
        is_first = False
        parts.append(torch.tensor([*answer, EOS_ID]))


def test_a_history_that_changed_is_read_again_from_there(llm):
    audio = []
    first = [torch.tensor([1, 8, 9, 10, 11])]
    other = [torch.tensor([1, 8, 20, 21])]
    session = Session(llm, EOS_ID)
    talk(llm, session, first, audio)
    assert talk(llm, session, other, audio) == talk(llm, Session(llm, EOS_ID), other, audio)
    assert session.num_computed == 2


def test_drawn_tokens_depend_on_the_row_and_not_on_its_batch(llm):
    rows = [llm.embed(torch.tensor(ids)).detach() for ids in ([1, 5, 6], [1, 7], [1, 8, 9, 3])]
    together = greedy(llm, rows, [8] * 3, EOS_ID, choose=sampler([3, 4, 5], 1.0))
    for row, seed, hyp in zip(rows, (3, 4, 5), together, strict=True):
        (alone,) = greedy(llm, [row], [8], EOS_ID, choose=sampler([seed], 1.0))
        assert alone.token_ids == hyp.token_ids
        assert alone.score == pytest.approx(hyp.score, abs=1e-3)


def test_a_small_nucleus_is_the_most_likely_token():
    log_probs = torch.tensor([[0.5, 0.3, 0.2], [0.1, 0.2, 0.7]]).log()
    assert sampler([1, 2], 1.0, top_p=0.01)(log_probs, [0, 1]).tolist() == [0, 2]
    choose = sampler([1], 1.0, top_p=0.6)
    drawn = [choose(log_probs[:1], [0]).item() for _ in range(300)]
    assert set(drawn) == {0, 1} and abs(drawn.count(0) / 300 - 0.625) < 0.1


def test_a_token_is_where_the_rows_own_random_number_falls():
    torch.manual_seed(0)
    log_probs = (3 * torch.randn(3, 50)).log_softmax(-1)
    seeds, choose = [7, 8, 9], sampler([7, 8, 9], 0.7, top_p=0.9)
    generators = [torch.Generator().manual_seed(seed) for seed in seeds]
    for rows in ([0, 1, 2], [2, 0], [1]):
        for b, token in zip(rows, choose(log_probs[rows], rows).tolist(), strict=True):
            probs = {i: p for i, p in enumerate((log_probs[b].double() / 0.7).softmax(-1).tolist())}
            likely, nucleus = sorted(probs, key=probs.get, reverse=True), []
            while sum(probs[i] for i in nucleus) < 0.9:
                nucleus.append(likely[len(nucleus)])
            draw = torch.rand(1, dtype=torch.float64, generator=generators[b]).item()
            left = draw * sum(probs[i] for i in nucleus)
            for want in nucleus:
                left -= probs[want]
                if left < 0:
                    break
            assert token == want


def test_an_answer_repeats_itself_as_little_as_greedy_search_lets_it(llm):
    parts, options = [torch.tensor([1, 8, 9])], {"repetition_penalty": 3.0}
    (hyp,) = greedy(llm, [row_of(llm, parts, [])], [20], EOS_ID, repetition_penalty=3.0)
    found = talk(llm, Session(llm, EOS_ID), parts, [], 20, **options)
    assert found == hyp.token_ids != talk(llm, Session(llm, EOS_ID), parts, [], 20)
