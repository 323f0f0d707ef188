"""Rescoring: CTC scores against all alignments, the best weights against trying by hand."""

import itertools
import math

import pytest
import torch

from helpers import BOS_ID, EOS_ID, tiny_bloom, tiny_llama
from speechllm.decode.rescore import (
    Weights,
    choose,
    combine,
    ctc_scores,
    order,
    text_scores,
    tune,
)


def all_alignments(log_probs, units):
    """log of the summed probability of the frame labels that give these units."""
    T, V = log_probs.shape
    total = 0.0
    for labels in itertools.product(range(V), repeat=T):
        if [unit for unit, _ in itertools.groupby(labels) if unit] == units:
            total += math.exp(sum(float(log_probs[t, label]) for t, label in enumerate(labels)))
    return math.log(total) if total else -math.inf


def test_ctc_scores_are_sums_over_alignments_in_any_batch():
    torch.manual_seed(0)
    log_probs, lens = torch.randn(3, 5, 4).log_softmax(-1), torch.tensor([5, 3, 0])
    units = [[[1, 2], [], [3, 3, 1], [1, 1, 1, 1]], [[2], [1, 1, 1]], [[], [1]]]
    scores = ctc_scores(log_probs, lens, units)
    for row, n, hyps, got in zip(log_probs, lens.tolist(), units, scores, strict=True):
        assert got == pytest.approx([all_alignments(row[:n], hyp) for hyp in hyps], abs=1e-4)
    assert scores[0][3] == scores[1][1] == -math.inf


LLM = [[-1.0, -1.5, -4.0], [-2.0, -2.1]]
CTC = [[-9.0, -3.0, -2.0], [-1.0, -math.inf]]
NUM_WORDS = [[3, 3, 4], [2, 2]]
ERRORS = [[2, 0, 1], [0, 1]]


@pytest.mark.parametrize(
    ("weights", "want"),
    [
        (Weights(0.0), [0, 0]),
        (Weights(0.5), [1, 0]),
        (Weights(1.0), [2, 0]),
        (Weights(0.0, 4.0), [2, 0]),
    ],
)
def test_weights_choose(weights, want):
    assert choose(LLM, CTC, NUM_WORDS, weights) == want


def test_tuning_takes_the_smallest_weight_with_the_fewest_errors():
    def cost(places):
        return sum(row[i] for row, i in zip(ERRORS, places, strict=True))

    best, tried = tune(cost, LLM, CTC, NUM_WORDS)
    # the second hypothesis wins from -1 + w - 9 w < -1.5 + 1.5 w - 3 w, w > 1 / 13
    assert best == Weights(0.1, 0.0)
    assert tried[Weights(0.0, 0.0)] == 2 and tried[best] == 0
    assert min(tried.values()) == 0 and len(tried) == 21 * 4


def test_impossible_hypotheses_lose_only_where_ctc_counts():
    assert choose([[-1.0, -2.0]], [[-math.inf, -5.0]], [[1, 1]], Weights(0.0)) == [0]
    assert choose([[-1.0, -2.0]], [[-math.inf, -5.0]], [[1, 1]], Weights(0.05)) == [1]


@pytest.mark.parametrize(
    ("llm", "ctc", "want"),
    [
        ([-1.0, -2.0, -3.0], [-9.0, -1.0, -1.0], [1, 2, 0]),
        ([-1.0, -2.0, -3.0], [-math.inf, -9.0, -1.0], [2, 1, 0]),
        ([-1.0, -1.0], [-2.0, -2.0], [0, 1]),
        ([-3.0, -1.0], [-math.inf, -math.inf], [0, 1]),
    ],
)
def test_order_is_best_first_and_stable(llm, ctc, want):
    assert order(llm, ctc, [0] * len(llm), Weights(ctc=0.5)) == want


def test_scores_over_a_power_of_the_words_do_not_favour_short_ones():
    llm, other, words = [-4.0, -6.0], [-4.0, -6.0], [2, 4]
    assert combine(llm, other, words, Weights(0.5)).tolist() == [-4.0, -6.0]
    assert combine(llm, other, words, Weights(0.5, 0.0, 1.0)).tolist() == [-2.0, -1.5]
    got = combine(llm, other, words, Weights(0.25, 1.0, 0.5))
    assert got.tolist() == pytest.approx([(-4 + 2) / 2**0.5, (-6 + 4) / 4**0.5])
    assert combine([-1.0], [-1.0], [0], Weights(0.5, 0.0, 1.0)).tolist() == [-1.0]


def test_tuning_by_any_cost_tries_everything_and_takes_the_simplest_of_the_best():
    wanted = [2, 0]

    def cost(places):
        return sum(a != b for a, b in zip(places, wanted, strict=True))

    best, tried = tune(cost, LLM, CTC, NUM_WORDS, (0.0, 0.5, 1.0))
    assert len(tried) == 21 * 4 * 3 and tried[best] == min(tried.values()) == 0
    cheaper = [w for w, c in tried.items() if c == 0]
    assert best == min(cheaper, key=lambda w: (w.ctc, w.word_score, w.length_norm))


@pytest.mark.parametrize("make_llm", [tiny_llama, tiny_bloom])
def test_text_scores_are_sums_over_tokens_in_any_batch(make_llm):
    llm = make_llm()
    rows = [[BOS_ID, 5, 6, 7, EOS_ID], [BOS_ID, EOS_ID], [BOS_ID, 9, EOS_ID], [BOS_ID, 5, EOS_ID]]
    want = []
    for row in rows:
        logits = llm.logits(llm.hidden(llm.embed(torch.tensor([row]))))[0].log_softmax(-1)
        want.append(sum(float(logits[i, token]) for i, token in enumerate(row[1:])))
    for batch_tokens in (1, 7, 100):
        assert text_scores(llm, rows, batch_tokens) == pytest.approx(want, abs=1e-3)
