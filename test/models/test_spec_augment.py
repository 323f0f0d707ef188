"""SpecAugment and dropout: what is hidden, and how much."""

import math

import torch

from speechllm.data.fbank import Fbank
from speechllm.models.dropout import Dropout
from speechllm.models.spec_augment import SpecAugment, warp_frequencies


def test_masks_stay_inside_their_limits():
    augment = SpecAugment(
        num_freq_masks=1, max_freq_width=5, num_time_masks=1, max_time_width=9, max_time_share=0.2
    )
    lens = torch.tensor([100, 30])
    widths_freq, widths_time = set(), set()
    for seed in range(200):
        torch.manual_seed(seed)
        hidden = augment.train()(torch.ones(2, 100, 20), lens) == 0
        for b, n in enumerate([100, 30]):
            rows = hidden[b].all(1)
            assert not rows[n:].any()
            widths_time.add((b, int(rows.sum())))
            widths_freq.add(int(hidden[b].all(0).sum()))
    assert widths_freq == set(range(6))
    assert {n for b, n in widths_time if b == 0} == set(range(10))  # 9 frames at most
    assert {n for b, n in widths_time if b == 1} == set(range(7))  # 20 % of 30 frames


def test_a_warped_tone_is_the_tone_of_the_warped_frequency():
    extractor = Fbank(num_mel_bins=80)
    seconds = torch.arange(16000) / 16000

    def peak(feats):  # the loudest bin, in fractions of bins, of the middle of a tone
        power = feats[40].exp()
        return float((power * torch.arange(80)).sum() / power.sum())

    for hz, factor in ((1000, 1.1), (2000, 0.9), (3000, 1.05)):
        tone, other = (
            extractor(torch.sin(2 * math.pi * f * seconds).numpy()) for f in (hz, hz / factor)
        )
        warped = warp_frequencies(torch.as_tensor(tone)[None], torch.tensor([factor]))[0]
        assert abs(peak(warped) - peak(torch.as_tensor(other))) < 0.35
        assert abs(peak(warped) - peak(torch.as_tensor(tone))) > 0.7


def test_warp_of_one_changes_nothing_and_every_utterance_has_its_own():
    feats = torch.randn(2, 30, 80)
    assert torch.allclose(warp_frequencies(feats, torch.ones(2)), feats, atol=1e-3)
    both = warp_frequencies(feats[:1].expand(2, -1, -1), torch.tensor([1.0, 1.1]))
    assert torch.allclose(both[0], feats[0], atol=1e-3) and not torch.allclose(both[1], feats[0])


def test_no_masks_when_evaluating():
    feats = torch.randn(2, 50, 20)
    assert torch.equal(SpecAugment().eval()(feats, torch.tensor([50, 40])), feats)


def test_dropout_keeps_the_expected_value_and_drops_its_share():
    torch.manual_seed(0)
    x = torch.ones(1_000_003)
    out = Dropout(0.1).train()(x)
    assert abs((out == 0).float().mean() - 0.1) < 0.003
    assert abs(out.mean() - 1) < 0.003
    assert torch.equal(Dropout(0.1).eval()(x), x)
