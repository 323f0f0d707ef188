import numpy as np
import pytest

from speechllm.data.sampler import (
    batches_in_order,
    longest_first,
    padding_share,
    plan_batches,
    sample_languages,
    share_of_rank,
)

LENS = np.random.default_rng(0).gamma(4.0, 150.0, 5000).astype(np.int32) + 20


def flat(batches):
    return np.concatenate(batches)


@pytest.mark.parametrize("batch_frames", [2000, 12000, 100_000])
@pytest.mark.parametrize("max_batch_size", [0, 7])
@pytest.mark.parametrize("plan", ["random", "in order"])
def test_batches_keep_the_budget_and_hold_each_utterance_once(batch_frames, max_batch_size, plan):
    if plan == "random":
        batches = plan_batches(LENS, batch_frames, 1, 0, max_batch_size=max_batch_size)
    else:
        batches = batches_in_order(LENS, batch_frames, max_batch_size=max_batch_size)
    assert sorted(flat(batches).tolist()) == list(range(len(LENS)))
    for batch in batches:
        assert len(batch) * LENS[batch].max() <= batch_frames or len(batch) == 1
        assert not max_batch_size or len(batch) <= max_batch_size


def test_batches_are_well_filled():
    batches = plan_batches(LENS, 12000, 1, 0)
    assert padding_share(LENS, batches) < 0.06
    filled = sum(len(b) * LENS[b].max() for b in batches) / (12000 * len(batches))
    assert filled > 0.9


def test_longer_utterances_than_the_budget_are_alone():
    lens = np.array([50, 5000, 60, 7000, 40])
    for batches in (plan_batches(lens, 200, 1, 0), batches_in_order(lens, 200)):
        assert sorted(map(sorted, map(list, batches))) == [[0, 2, 4], [1], [3]]


def test_seed_and_epoch_decide_the_batches():
    def plan(seed, epoch):
        return [b.tolist() for b in plan_batches(LENS, 12000, seed, epoch)]

    assert plan(1, 0) == plan(1, 0)
    assert plan(1, 0) != plan(1, 1) and plan(1, 0) != plan(2, 0)
    first, second = ({frozenset(b) for b in plan(1, epoch)} for epoch in (0, 1))
    assert len(first & second) < 0.1 * len(first)  # who stands together changes as well


def test_order_of_batches_is_random():
    longest = [LENS[b].max() for b in plan_batches(LENS, 12000, 1, 0)]
    assert abs(np.corrcoef(longest, np.arange(len(longest)))[0, 1]) < 0.2


def test_decoding_begins_with_the_longest():
    longest = [LENS[b].max() for b in batches_in_order(LENS, 12000)]
    assert longest == sorted(longest, reverse=True)


@pytest.mark.parametrize("dtype", [np.int32, np.int64, np.float32])
def test_longest_first_is_a_stable_sort(dtype):
    lens = np.concatenate([LENS, LENS[::-1], [0, 1]]).astype(dtype)
    want = np.argsort(-lens.astype(np.float64), kind="stable")
    assert longest_first(lens).tolist() == want.tolist()


def test_only_chosen_utterances_are_used():
    chosen = np.arange(0, len(LENS), 3)
    assert sorted(flat(plan_batches(LENS, 12000, 1, 0, chosen))) == chosen.tolist()
    assert sorted(flat(batches_in_order(LENS, 12000, chosen))) == chosen.tolist()


@pytest.mark.parametrize("world_size", [1, 2, 3, 8, 200])
def test_ranks_get_equally_many_batches_and_lose_none(world_size):
    batches = plan_batches(LENS, 50_000, 1, 0)
    shares = [share_of_rank(batches, rank, world_size) for rank in range(world_size)]
    assert len({len(share) for share in shares}) == 1
    together = [tuple(b) for share in shares for b in share]
    assert set(together) == {tuple(b) for b in batches}
    assert len(together) < len(batches) + world_size


@pytest.mark.parametrize("beta, expected", [(1.0, 0.2), (0.5, 1 / 3), (0.0, 0.5), (2.0, 1 / 17)])
def test_languages_get_their_shares(beta, expected):
    lang_ids = (np.arange(len(LENS)) % 5 == 0).astype(np.int32)
    lens = np.full(len(LENS), 300)
    drawn = flat(plan_batches(lens, 12000, 1, 0, None, 0, lang_ids, beta))
    assert (lang_ids[drawn] == 1).mean() == pytest.approx(expected, abs=0.002)
    assert len(drawn) == pytest.approx(len(LENS), abs=2)


def test_language_sampling_repeats_no_utterance_before_all_were_used():
    lang_ids = np.array([0] * 100 + [1] * 10, np.int32)
    lens = np.full(110, 100)
    drawn = sample_languages(lens, np.arange(110), lang_ids, 0.0, np.random.default_rng(0))
    counts = np.bincount(drawn, minlength=110)
    assert counts[:100].max() == 1 and counts[:100].sum() == 55
    assert set(counts[100:]) <= {5, 6} and counts[100:].sum() == 55


def test_other_epochs_draw_other_utterances():
    lang_ids = np.array([0] * 100 + [1] * 10, np.int32)
    lens = np.full(110, 100)
    drawn = [set(flat(plan_batches(lens, 1000, 1, e, None, 0, lang_ids, 0.0))) for e in range(8)]
    assert set.union(*drawn) == set(range(110))


def test_padding_share_by_hand():
    lens = np.array([10, 6, 4, 8])
    assert padding_share(lens, [np.array([0, 1]), np.array([2, 3])]) == pytest.approx(8 / 36)


def test_empty_choice_gives_no_batches():
    assert plan_batches(LENS, 1000, 1, 0, np.array([], int)) == []
    assert batches_in_order(LENS, 1000, np.array([], int)) == []
