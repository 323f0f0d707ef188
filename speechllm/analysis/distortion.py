"""Speech made harder to hear: noise at a signal-to-noise ratio, babble, a narrow band."""

from pathlib import Path

import numpy as np
import soxr

NUM_VOICES = 5  # that babble together
SNRS = (30.0, 20.0, 10.0, 0.0)  # dB
SPEEDS = (0.8, 0.9, 1.1, 1.2)
NARROW_RATE = 8000  # Hz, the sampling rate of a telephone
# What is heard, as (kind, level); a clean hearing comes first.
CONDITIONS = (
    ("clean", 0.0),
    *(("white noise", snr) for snr in SNRS),
    *(("babble", snr) for snr in SNRS),
    *(("speed", speed) for speed in SPEEDS),
    ("sampling rate", float(NARROW_RATE)),
)


def add_noise(samples: np.ndarray, noise: np.ndarray, snr: float) -> np.ndarray:
    """Samples (N,) with noise (N,) whose power is ``snr`` dB below theirs; silence stays as it is."""
    power, noise_power = (float(np.mean(np.square(x, dtype=np.float64))) for x in (samples, noise))
    if not noise_power:
        return samples
    scale = np.sqrt(power / noise_power / 10 ** (snr / 10))
    return (samples + scale * noise).astype(np.float32)


def white_noise(num_samples: int, rng: np.random.Generator) -> np.ndarray:
    """(N,) with the same power at all frequencies."""
    return rng.standard_normal(num_samples, dtype=np.float32)


def babble(
    others: list[np.ndarray], num_samples: int, rng: np.random.Generator, voices: int = NUM_VOICES
) -> np.ndarray:
    """(N,) of several voices at equal power, each from a random place on and repeated where it ends.

    Args:
        others: samples of other utterances, of which some are drawn.
    """
    drawn = rng.permutation(len(others))[:voices]
    total = np.zeros(num_samples, np.float32)
    for i in drawn:
        voice = others[i]
        power = float(np.mean(np.square(voice, dtype=np.float64)))
        if power > 0:
            start = int(rng.integers(len(voice)))
            total += np.resize(np.roll(voice, -start), num_samples) / np.sqrt(power)
    return total


def narrow_band(samples: np.ndarray, sample_rate: int, through: int = NARROW_RATE) -> np.ndarray:
    """Samples (N,) as they come out of a channel of a lower sampling rate: about (N,)."""
    if through >= sample_rate:
        return samples
    return soxr.resample(soxr.resample(samples, sample_rate, through), through, sample_rate)


def plot_distortion(rows: list[dict], path: str | Path, unit: str = "WER (%)"):
    """Draw a metric against SNR, against speed, and with a narrow band.

    Args:
        rows: ``{kind, level, <system>: value}``.
        unit: of the values.
    """
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    systems = [name for name in rows[0] if name not in ("kind", "level")]
    clean = rows[0]
    figure, (noise, speed, band) = pyplot.subplots(1, 3, figsize=(11, 3.5), layout="constrained")
    for number, system in enumerate(systems):
        colour = f"C{number}"
        for kind, line in (("white noise", "-"), ("babble", "--")):
            points = [row for row in rows if row["kind"] == kind]
            x, y = [row["level"] for row in points], [row[system] for row in points]
            noise.plot(x, y, line, marker="o", color=colour, label=f"{system}, {kind}")
        noise.axhline(clean[system], color=colour, linestyle=":", label=f"{system}, clean")
        points = [row | {"level": 1.0} if row is clean else row for row in rows]
        points = [row for row in points if row["kind"] in ("clean", "speed")]
        points.sort(key=lambda row: row["level"])
        speed.plot(
            [row["level"] for row in points],
            [row[system] for row in points],
            marker="o",
            color=colour,
            label=system,
        )
        narrow = [row for row in rows if row["kind"] == "sampling rate"]
        names = ["clean", *(f"{row['level'] / 1000:g} kHz" for row in narrow)]
        places = np.arange(len(names)) + 0.4 * number
        band.bar(places, [clean[system], *(row[system] for row in narrow)], 0.4, label=system)
        band.set_xticks(np.arange(len(names)) + 0.2 * (len(systems) - 1), names)
    noise.invert_xaxis()
    noise.set_xlabel("SNR (dB)")
    speed.set_xlabel("speed")
    band.set_xlabel("sampling rate")
    noise.set_ylabel(unit)
    for axes in (noise, speed, band):
        axes.set_ylim(bottom=0)
        axes.legend(fontsize=7)
    figure.savefig(path, dpi=110)
    pyplot.close(figure)
