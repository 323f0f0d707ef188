import numpy as np
import pytest
import soundfile
import torch
from audio_files import RATE, noise

from speechllm.data.fbank import BLOCK_FRAMES, Fbank


def plain_fbank(samples, num_mel_bins=80, low=20.0, high=8000.0):
    """Kaldi's filterbank written down step by step in float64."""
    frames = []
    mel = lambda hertz: 1127 * np.log(1 + hertz / 700)  # noqa: E731
    edges = np.linspace(mel(low), mel(high), num_mel_bins + 2)
    bins = mel(np.arange(256) * RATE / 512)
    window = (0.5 - 0.5 * np.cos(2 * np.pi * np.arange(400) / 399)) ** 0.85
    for start in range(0, len(samples) - 399, 160):
        frame = samples[start : start + 400].astype(np.float64) * 32768
        frame = frame - frame.mean()
        frame = frame - 0.97 * np.concatenate([frame[:1], frame[:-1]])
        power = np.abs(np.fft.fft(np.concatenate([frame * window, np.zeros(112)]))[:256]) ** 2
        energies = []
        for left, centre, right in zip(edges, edges[1:], edges[2:], strict=False):
            weight = np.where(bins < centre, (bins - left) / (centre - left), 0)
            weight = np.where(bins >= centre, (right - bins) / (right - centre), weight)
            energies.append((power * np.clip(weight, 0, None)).sum())
        frames.append(np.log(np.maximum(energies, np.finfo(np.float32).eps)))
    return np.array(frames)


@pytest.mark.parametrize(
    "name, settings",
    [
        ("test.txt", {"num_mel_bins": 23}),
        ("test-40.txt", {"num_mel_bins": 40}),
        ("test-40-no-snip-edges.txt", {"num_mel_bins": 40, "snip_edges": False}),
        ("test-with-energy.txt", {"num_mel_bins": 23, "use_energy": True}),
    ],
)
def test_equals_what_kaldi_printed(shared, name, settings):
    folder = shared / "reference" / "kaldi_fbank"
    rows = (folder / name).read_text().replace("]", "").splitlines()
    stored = np.array([[float(x) for x in row.split()] for row in rows[1:] if row.strip()])
    samples, _ = soundfile.read(folder / "test.wav", dtype="float32")
    feats = Fbank(**settings)(samples)
    assert feats.shape == stored.shape and feats.dtype == torch.float32
    assert np.abs(feats.numpy() - stored).max() < 0.05
    assert np.abs(feats.numpy() - stored).mean() < 1e-3


@pytest.mark.parametrize("offset", [0.0, 0.3])
def test_equals_the_definition(offset):
    samples = noise(1.0) * 0.5 + np.float32(offset)
    np.testing.assert_allclose(Fbank()(samples), plain_fbank(samples), atol=0.01)


@pytest.mark.parametrize("settings", [{}, {"snip_edges": False}, {"use_energy": True}])
@pytest.mark.parametrize("num_samples", [400, 559, 560, 4567])
def test_equals_torchaudio(settings, num_samples):
    kaldi = pytest.importorskip("torchaudio.compliance.kaldi")
    samples = torch.from_numpy(noise(1.0))[:num_samples]
    theirs = kaldi.fbank(
        samples[None] * 32768, num_mel_bins=80, dither=0.0, energy_floor=0.0, **settings
    )
    ours = Fbank(**settings)(samples)
    torch.testing.assert_close(ours, theirs, atol=0.02, rtol=0)


@pytest.mark.parametrize("num_samples", [0, 1, 399, 400, 559, 560, 16000])
@pytest.mark.parametrize("snip_edges", [True, False])
def test_number_of_frames(num_samples, snip_edges):
    fbank = Fbank(snip_edges=snip_edges)
    feats = fbank(torch.randn(num_samples))
    assert feats.shape == (fbank.num_frames(num_samples), 80)
    if snip_edges:
        assert len(feats) == len(range(0, num_samples - 399, 160))
    else:
        assert len(feats) == (num_samples + 80) // 160
    assert torch.isfinite(feats).all()


def test_frames_do_not_depend_on_the_length_of_the_audio():
    samples = torch.from_numpy(noise(BLOCK_FRAMES * 0.01 * 2.2))
    whole = Fbank()(samples)
    for first, last in (
        (0, 10),
        (BLOCK_FRAMES - 3, BLOCK_FRAMES + 3),
        (len(whole) - 5, len(whole)),
    ):
        part = Fbank()(samples[first * 160 : (last - 1) * 160 + 400])
        torch.testing.assert_close(part, whole[first:last], atol=1e-3, rtol=0)


def test_digital_silence_is_the_floor():
    assert torch.equal(
        Fbank()(torch.zeros(16000)), torch.full((98, 80), torch.finfo(torch.float32).eps).log()
    )


def test_more_filters_than_frequencies_is_an_error():
    with pytest.raises(ValueError, match="200 mel bins are too many"):
        Fbank(num_mel_bins=200)
