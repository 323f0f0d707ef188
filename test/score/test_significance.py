import math

import numpy as np
import pytest
from scipy import stats

from speechllm.score import significance, wer

# What NIST's sc_stats 2.4.10 says of these two systems: 15 segments, mean 0.600, Z 2.201.
SC_STATS = [
    ("a b c d e f g h", "a x c d e f g h", "a b c d e f y h"),
    ("a b c d e f g h", "a x c d e x g h", "a b c d e f g h"),
    ("a b c d e f g h", "x b c d e f g", "a b c d e f g h"),
    ("k l m n o p", "k l l m n o p", "k l m n o p"),
    ("k l m n o p", "k x n o p", "k l m n q p"),
    ("q r s t u v w", "q r s t u v w", "q r s t u v w"),
    ("q r s t u v w", "q r x t x v w", "q r s t u v w z"),
    ("a c e g i k m", "c e g i k m", "a c e g z i k m"),
    ("a c e g i k m", "x x e g i y m", "a c e g i k m"),
    ("b d f h j l n", "b d f h j l n", "b d z h j l n"),
]


def errors_and_lens(num_utts=300, seed=0):
    rng = np.random.default_rng(seed)
    lens = rng.integers(3, 20, num_utts)
    return np.stack([rng.binomial(lens, 0.1), lens], axis=1)


def rate(sums):
    return sums[..., 0] / sums[..., 1]


def test_interval_agrees_with_scipy():
    data = errors_and_lens()
    low, high = significance.interval(rate(significance.resampled_sums(data, num_samples=4000)))
    theirs = stats.bootstrap(
        (data[:, 0], data[:, 1]),
        lambda errors, lens, axis: errors.sum(axis) / lens.sum(axis),
        paired=True,
        n_resamples=4000,
        method="percentile",
        rng=np.random.default_rng(1),
    ).confidence_interval
    assert low == pytest.approx(theirs.low, rel=0.02)
    assert high == pytest.approx(theirs.high, rel=0.02)


def test_interval_covers_the_truth_as_often_as_it_says():
    hits = 0
    for seed in range(200):
        samples = rate(significance.resampled_sums(errors_and_lens(150, seed), num_samples=300))
        low, high = significance.interval(samples)
        hits += low <= 0.1 <= high
    assert 0.89 <= hits / 200 <= 0.99


def test_whole_speakers_are_drawn():
    speakers = np.repeat(np.arange(12), 5)
    data = np.stack([speakers, np.ones(60)], axis=1)  # utterances of a speaker are all alike
    sums = significance.resampled_sums(data, speakers, num_samples=50)
    assert np.all(sums[:, 1] == 60) and np.all(sums[:, 0] % 5 == 0)
    by_utt = significance.resampled_sums(data, None, num_samples=1000)[:, 0].std()
    by_spk = significance.resampled_sums(data, speakers, num_samples=1000)[:, 0].std()
    assert by_spk == pytest.approx(by_utt * math.sqrt(5), rel=0.1)


def test_speakers_are_drawn_only_where_there_are_ten():
    assert significance.speaker_groups([f"s{i % 9}" for i in range(50)]) is None
    groups = significance.speaker_groups([f"s{i % 10}" for i in range(50)])
    assert groups.tolist() == [i % 10 for i in range(50)]


def test_draws_repeat_and_are_paired_between_systems():
    data = errors_and_lens()
    one = significance.resampled_sums(data, num_samples=250)
    two = significance.resampled_sums(np.hstack([data, 3 * data]), num_samples=250)
    np.testing.assert_array_equal(one, two[:, :2])
    np.testing.assert_array_equal(3 * one, two[:, 2:])


@pytest.mark.parametrize("num_infinite", [0, 10, 40, 500, 990, 1000])
def test_bounds_are_infinite_where_samples_are(num_infinite):
    samples = np.append(np.linspace(-50, 50, 1000 - num_infinite), np.full(num_infinite, math.inf))
    low, high = significance.interval(np.random.default_rng(0).permutation(samples))
    assert math.isinf(low) == (num_infinite > 975) and math.isinf(high) == (num_infinite > 25)
    if not math.isinf(low):
        assert abs(low - sorted(samples)[24]) < 2.6  # one step where samples are fewest


def test_relative_change_without_errors():
    a, b = np.array([10.0, 0.0, 0.0, 4.0]), np.array([8.0, 0.0, 1.0, 0.0])
    assert significance.relative_change(a, b).tolist() == [-20.0, 0.0, math.inf, -100.0]


def test_p_is_small_for_a_clear_difference_and_one_for_none():
    assert significance.p_value(np.full(999, -1.0)) == pytest.approx(0.001)
    assert significance.p_value(np.zeros(999)) == 1.0
    assert significance.p_value(np.array([-1.0, 1.0] * 500)) == pytest.approx(1.0, abs=0.01)


def slots(column):
    refs, hyps = ([row[k].split() for row in SC_STATS] for k in (0, column))
    alignment = wer.align(refs, hyps)
    return [alignment.slots(i) for i in range(len(refs))]


def test_mapsswe_agrees_with_sc_stats():
    outcome = significance.mapsswe(slots(1), slots(2))
    assert outcome.num_segments == 15
    assert outcome.mean_difference == pytest.approx(-0.600)
    assert outcome.z == pytest.approx(-2.201, abs=5e-4)
    assert outcome.p == pytest.approx(2 * stats.norm.sf(2.2014), abs=1e-5)


def test_mapsswe_of_a_system_with_itself_finds_nothing():
    outcome = significance.mapsswe(slots(1), slots(1))
    assert (outcome.mean_difference, outcome.z, outcome.p) == (0.0, 0.0, 1.0)
    clean = [np.zeros(5, dtype=int)]
    assert significance.mapsswe(clean, clean).p == 1.0


@pytest.mark.parametrize(("num_segments", "difference"), [(1, -1), (2, -1), (3, 1), (9, -2)])
def test_mapsswe_without_deviation_is_the_sign_test(num_segments, difference):
    nothing, wrong = np.zeros(9, dtype=int), np.zeros(9, dtype=int)
    wrong[3 : 2 * abs(difference) + 3 : 2] = 1
    a, b = [nothing] * num_segments, [wrong] * num_segments
    outcome = significance.mapsswe(*(a, b) if difference > 0 else (b, a))
    assert (outcome.num_segments, outcome.mean_difference) == (num_segments, difference)
    assert outcome.z is None
    assert outcome.p == pytest.approx(stats.binomtest(0, num_segments).pvalue)


def test_mapsswe_splits_segments_at_two_good_words():
    nothing = np.zeros(9, dtype=int)
    near, far = nothing.copy(), nothing.copy()
    near[[1, 5]] = 1  # words 0 and 2 wrong: one good word between
    far[[1, 7]] = 1  # words 0 and 3 wrong: two good words between
    assert significance.mapsswe([near], [nothing]).num_segments == 1
    assert significance.mapsswe([far], [nothing]).num_segments == 2
    inserted = nothing.copy()
    inserted[4] = 1  # an insertion between the two good words
    assert significance.mapsswe([far], [inserted]).num_segments == 1
