"""Speech positions beside tokens."""

import pytest

from speechllm.analysis.lengths import length_report, plot_lengths

SIZES = [("de", 40, 10, 8), ("de", 20, 6, 8), ("fr", 30, 4, 4)]


def test_ratios_are_those_of_the_sums(tmp_path):
    report = length_report(SIZES)
    assert list(report) == ["all", "de", "fr"]
    assert report["de"]["positions_per_token"] == pytest.approx(16 / 16)
    assert report["all"]["frames_per_position"] == pytest.approx(90 / 20)
    assert report["all"]["num_utts"] == 3 and report["fr"]["tokens"] == 4
    plot_lengths(SIZES, tmp_path / "lengths.png")
    assert (tmp_path / "lengths.png").read_bytes()[:4] == b"\x89PNG"
