"""Noise at a given distance below the speech."""

import numpy as np
import pytest

from speechllm.data.noise import add_noise


@pytest.mark.parametrize("snr", [20.0, 0.0, -5.0])
def test_noise_is_as_strong_as_asked(snr):
    speech = 0.3 * np.sin(np.arange(16000, dtype=np.float32) / 7)
    noise = add_noise(speech, snr, [1, 2]) - speech
    measured = 10 * np.log10(np.mean(speech**2) / np.mean(noise**2))
    assert measured == pytest.approx(snr, abs=0.2)
    assert np.array_equal(add_noise(speech, snr, [1, 2]), speech + noise)
    assert not np.array_equal(add_noise(speech, snr, [1, 3]), speech + noise)
    assert add_noise(speech, snr, [1]).dtype == np.float32
