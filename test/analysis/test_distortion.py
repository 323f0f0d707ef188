"""Noise, babble, speed and bands: powers and spectra as they are asked for."""

import numpy as np
import pytest
import torch
from matplotlib import pyplot

from speechllm.analysis.distortion import (
    CONDITIONS,
    add_noise,
    babble,
    narrow_band,
    plot_distortion,
    white_noise,
)
from speechllm.bin.recognize import Output
from speechllm.bin.robustness import distort, read_samples, robustness
from speechllm.config import FbankConfig
from speechllm.data.data_dir import Utterance, write_data_dir
from speechllm.data.fbank import Fbank
from speechllm.data.rows import Row
from speechllm.errors import UserError

RATE = 16000


def tone(hertz: float, seconds=1.0, size=0.1) -> np.ndarray:
    at = np.arange(round(RATE * seconds)) / RATE
    return (size * np.sin(2 * np.pi * hertz * at)).astype(np.float32)


def power(samples) -> float:
    return float(np.mean(np.square(samples, dtype=np.float64)))


@pytest.mark.parametrize("snr", [20.0, 0.0, -5.0])
def test_noise_has_the_power_that_the_ratio_says(snr):
    samples, noise = tone(300), white_noise(RATE, np.random.default_rng(0))
    added = add_noise(samples, noise, snr) - samples
    assert 10 * np.log10(power(samples) / power(added)) == pytest.approx(snr, abs=0.01)


def test_silence_stays_silence():
    silence = np.zeros(100, np.float32)
    assert not add_noise(silence, white_noise(100, np.random.default_rng(0)), 10.0).any()
    assert not add_noise(silence, silence, 10.0).any()


def test_babble_holds_all_voices_at_equal_power():
    voices = [tone(200, 0.5, 0.3), tone(1000, 2.0, 0.01), np.zeros(500, np.float32)]
    sound = babble(voices, RATE, np.random.default_rng(0))
    assert len(sound) == RATE
    spectrum = np.abs(np.fft.rfft(sound))
    assert spectrum[200] == pytest.approx(spectrum[1000], rel=0.05)
    assert {int(i) for i in spectrum.argsort()[-2:]} == {200, 1000}


def test_a_narrow_band_has_no_high_tones():
    low, high = tone(1000), tone(6000)
    heard = narrow_band(low + high, RATE)
    assert abs(len(heard) - RATE) < 10
    spectrum = np.abs(np.fft.rfft(heard, RATE))
    whole = np.abs(np.fft.rfft(low + high))
    assert spectrum[1000] == pytest.approx(whole[1000], rel=0.05)
    assert spectrum[6000] < 0.01 * whole[6000]
    assert narrow_band(low, 8000) is low


def test_speed_moves_length_and_pitch():
    heard = distort(tone(500), "speed", 1.25, [], None, RATE)
    assert len(heard) == pytest.approx(RATE / 1.25, abs=5)
    assert np.abs(np.fft.rfft(heard, RATE)).argmax() == pytest.approx(625, abs=2)


def rows_and_audio(num=4):
    rows = [Row(f"u{i}", "s", f"word {i}", None, None, "en", "x", 0, 98) for i in range(num)]
    return rows, {row.utt_id: tone(300 + 200 * i) for i, row in enumerate(rows)}


def test_every_system_hears_the_same_under_every_condition():
    rows, audio = rows_and_audio()
    heard = {"a": [], "b": []}

    def make(system):
        def make_recognizer(load):
            def recognize(batch):
                feats, lens = load(batch, "cpu")
                heard[system].append((feats, lens))
                return [Output(row.text if system == "a" else "", "ok") for row in batch]

            return recognize

        return make_recognizer

    systems = {system: make(system) for system in heard}
    report = robustness(systems, rows, audio, audio, Fbank(), batch_frames=1000)
    assert [(row["kind"], row["level"]) for row in report] == list(CONDITIONS)
    assert all(row["a"] == 0 and row["b"] == 100 for row in report)
    both = {system: make(system) for system in heard}
    (clean, *_) = robustness(both, rows, audio, audio, Fbank(), batch_frames=1000, metric="chrf")
    assert (round(clean["a"]), clean["b"]) == (100, 0)
    for (feats, lens), (other, other_lens) in zip(heard["a"], heard["b"], strict=True):
        assert torch.equal(feats, other) and torch.equal(lens, other_lens)
    clean = Fbank()(audio["u0"])
    torch.testing.assert_close(heard["a"][0][0][0], clean)
    assert len(heard["a"]) == 2 * len(CONDITIONS)
    for feats, lens in heard["a"][1 : len(CONDITIONS)]:
        assert lens[0] != len(clean) or not torch.allclose(feats[0, : len(clean)], clean, atol=0.1)


def test_missing_audio_is_named(tmp_path):
    utts = [Utterance("s1", "s", "a", str(tmp_path / "none.wav"), "en")]
    write_data_dir(tmp_path / "set", utts)
    with pytest.raises(UserError, match="none.wav: cannot be read"):
        read_samples(tmp_path / "set", {"s1"}, FbankConfig())


def test_picture_shows_every_system_under_every_condition(tmp_path, monkeypatch):
    rows = [
        {"kind": k, "level": x, "ctc": 10.0 + i, "llm": 5.0 + i / 2}
        for i, (k, x) in enumerate(CONDITIONS)
    ]
    figures = []
    monkeypatch.setattr(pyplot, "close", figures.append)
    plot_distortion(rows, tmp_path / "r.png", "BLEU")
    monkeypatch.undo()
    assert (tmp_path / "r.png").read_bytes().startswith(b"\x89PNG")
    noise, speed, band = figures[0].axes
    pyplot.close(figures[0])
    assert noise.get_ylabel() == "BLEU"

    def values(system, *kinds):
        return {row["level"]: row[system] for row in rows if row["kind"] in kinds}

    lines = {line.get_label(): dict(line.get_xydata().tolist()) for line in noise.lines}
    for system in ("ctc", "llm"):
        for kind in ("white noise", "babble"):
            assert lines[f"{system}, {kind}"] == values(system, kind)
        assert set(lines[f"{system}, clean"].values()) == {rows[0][system]}
    for line, system in zip(speed.lines, ("ctc", "llm"), strict=True):
        points = line.get_xydata().tolist()
        assert dict(points) == values(system, "speed") | {1.0: rows[0][system]}
        assert points == sorted(points)
    names = ["clean", *(f"{level / 1000:g} kHz" for level in values("ctc", "sampling rate"))]
    assert [label.get_text() for label in band.get_xticklabels()] == names
    groups = zip(band.get_xticks(), *band.containers, strict=True)
    wanted = [rows[0], *(row for row in rows if row["kind"] == "sampling rate")]
    last = -1.0
    for (tick, ctc, llm), row in zip(groups, wanted, strict=True):
        assert (ctc.get_height(), llm.get_height()) == (row["ctc"], row["llm"])
        left, right = ctc.get_x(), llm.get_x() + llm.get_width()
        assert llm.get_x() == pytest.approx(ctc.get_x() + ctc.get_width())
        assert tick == pytest.approx((left + right) / 2)  # the name stands below its bars
        assert left > last
        last = right
