"""Speed perturbation (Ko et al., 2015): speech at another speed, as that of other speakers."""

import re

import numpy as np
import soxr

PREFIX = re.compile(r"sp\d+(?:\.\d+)?-")


def speed_prefix(speed: float) -> str:
    """What stands before the ids at this speed; nothing at the natural one.

    >>> speed_prefix(0.9), speed_prefix(1.0)
    ('sp0.9-', '')
    """
    return "" if speed == 1.0 else f"sp{speed:g}-"


def split_prefix(utt_id: str) -> tuple[str, str]:
    """Prefix and natural id.

    >>> split_prefix("sp1.1-en_000001_2_3")
    ('sp1.1-', 'en_000001_2_3')
    """
    match = PREFIX.match(utt_id)
    prefix = match.group() if match else ""
    return prefix, utt_id[len(prefix) :]


def change_speed(samples: np.ndarray, speed: float) -> np.ndarray:
    """Play (N,) samples at another speed, pitch included: (about N / speed,)."""
    return samples if speed == 1.0 else soxr.resample(samples, 1000.0 * speed, 1000.0)
