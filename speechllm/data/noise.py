"""Noise under speech, for tests of how well systems bear it."""

import numpy as np


def add_noise(samples: np.ndarray, snr: float, key: list[int]) -> np.ndarray:
    """White noise under samples (N,), float32, ``snr`` dB weaker than their mean power.

    Args:
        key: the same numbers draw the same noise.
    """
    noise = np.random.default_rng(key).standard_normal(len(samples)).astype(np.float32)
    level = np.sqrt(np.mean(np.square(samples, dtype=np.float64)))
    return samples + np.float32(level * 10 ** (-snr / 20)) * noise
