"""Kaldi's log-mel filterbank for one whole utterance at a time."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

INT16_SCALE = 32768.0  # Kaldi reads samples as 16-bit integers, we as floats in [-1, 1)
EPSILON = torch.finfo(torch.float32).eps  # Kaldi's floor under the logarithm
PREEMPHASIS = 0.97
BLOCK_FRAMES = 512  # frames worked on at once, so that they stay in the processor's cache
NUM_BANDS = 4  # parts of the mel matrix, each multiplied only where it is not zero


def mel_scale(hertz: float) -> float:
    return 1127.0 * math.log(1.0 + hertz / 700.0)


def mel_matrix(
    num_mel_bins: int, fft_size: int, sample_rate: int, low: float, high: float
) -> Tensor:
    """Triangular filters, evenly spaced in mel: (fft_size // 2 + 1, num_mel_bins)."""
    mel_low, mel_high = mel_scale(low), mel_scale(high)
    step = (mel_high - mel_low) / (num_mel_bins + 1)
    left = mel_low + step * torch.arange(num_mel_bins, dtype=torch.float64)
    hertz = torch.arange(fft_size // 2, dtype=torch.float64) * sample_rate / fft_size
    mel = (1127.0 * torch.log(1.0 + hertz / 700.0))[:, None]
    up, down = (mel - left) / step, (left + 2 * step - mel) / step
    filters = torch.minimum(up, down).clamp(min=0.0)
    return F.pad(filters, (0, 0, 0, 1))  # Kaldi leaves the Nyquist frequency out


class Fbank:
    """Log-mel filterbank equal to Kaldi's compute-fbank-feats without dither.

    Args:
        num_mel_bins: filters from ``low_freq`` to ``high_freq``; 0 is half the sampling rate.
        use_energy: put the log energy of the frame before the filters.
        snip_edges: only frames inside the audio; otherwise one per shift, with mirrored edges.

    Raises:
        ValueError: so many filters that one of them holds no FFT bin.
    """

    def __init__(
        self,
        num_mel_bins: int = 80,
        sample_rate: int = 16000,
        frame_length_ms: float = 25.0,
        frame_shift_ms: float = 10.0,
        low_freq: float = 20.0,
        high_freq: float = 0.0,
        use_energy: bool = False,
        snip_edges: bool = True,
    ):
        self.sample_rate = sample_rate
        self.length = int(sample_rate * frame_length_ms / 1000)
        self.shift = int(sample_rate * frame_shift_ms / 1000)
        self.fft_size = 1 << (self.length - 1).bit_length()
        self.use_energy, self.snip_edges = use_energy, snip_edges
        high_freq = high_freq if high_freq > 0 else sample_rate / 2 + high_freq
        filters = mel_matrix(num_mel_bins, self.fft_size, sample_rate, low_freq, high_freq)
        if not (filters.sum(0) > 0).all():
            raise ValueError(
                f"{num_mel_bins} mel bins are too many for a window of {self.length} samples"
            )
        # Real and imaginary parts are squared in one go and added by the product with doubled rows.
        doubled = filters.float().repeat_interleave(2, dim=0)
        self.bands = []  # (first row, last row, filters of these rows)
        for band in doubled.tensor_split(min(NUM_BANDS, num_mel_bins), dim=1):
            rows = band.sum(1).nonzero()
            first, last = int(rows.min()), int(rows.max()) + 1
            self.bands.append((first, last, band[first:last].contiguous()))
        self.num_mel_bins = num_mel_bins
        window = torch.hann_window(self.length, periodic=False, dtype=torch.float64).pow(
            0.85
        )  # povey
        self.window = (window * INT16_SCALE).float()
        self.dim = num_mel_bins + int(use_energy)

    def num_frames(self, num_samples: int) -> int:
        """Frames of an audio with this many samples; 0 if it is shorter than one window."""
        if self.snip_edges:
            return 0 if num_samples < self.length else 1 + (num_samples - self.length) // self.shift
        return (num_samples + self.shift // 2) // self.shift

    def mirror(self, samples: Tensor) -> Tensor:
        """Extend the audio at both ends by its mirror image, as far as the frames reach over."""
        left = self.length // 2 - self.shift // 2
        right = (self.num_frames(len(samples)) - 1) * self.shift + self.length - left - len(samples)
        index = torch.arange(-left, len(samples) + max(0, right))
        while index.min() < 0 or index.max() >= len(
            samples
        ):  # more than once where the audio is very short
            index = torch.where(index < 0, -index - 1, index)
            index = torch.where(index >= len(samples), 2 * len(samples) - 1 - index, index)
        return samples[index]

    def __call__(self, samples) -> Tensor:
        """Map samples (N,), float32 in [-1, 1), to (T, F) float32."""
        samples = torch.as_tensor(samples, dtype=torch.float32)
        num_frames = self.num_frames(len(samples))
        out = torch.empty(num_frames, self.dim)
        if num_frames == 0:
            return out
        if not self.snip_edges:
            samples = self.mirror(samples)
        # Kaldi takes off a frame's mean m before pre-emphasis. Both are linear, so it can be done
        # after it: (x[t] - m) - 0.97 (x[t-1] - m) = (x[t] - 0.97 x[t-1]) - 0.03 m. The window is 0
        # at a frame's first sample, so what stands there does not matter.
        emphasised = torch.sub(samples[1:], samples[:-1], alpha=PREEMPHASIS)
        raw = samples.unfold(0, self.length, self.shift)
        means = frame_means(samples, self.length, self.shift, num_frames)
        frames = emphasised.unfold(0, self.length - 1, self.shift)
        offsets = (means * (1 - PREEMPHASIS))[:, None]
        block = torch.zeros(min(BLOCK_FRAMES, num_frames), self.fft_size)
        mel = out[:, int(self.use_energy) :]
        for start in range(0, num_frames, BLOCK_FRAMES):
            stop = min(start + BLOCK_FRAMES, num_frames)
            windowed = block[: stop - start]
            inner = windowed[:, 1 : self.length]
            torch.sub(frames[start:stop], offsets[start:stop], out=inner)
            inner *= self.window[1:]
            power = torch.view_as_real(torch.fft.rfft(windowed)).flatten(1).square_()
            at = 0
            for first, last, filters in self.bands:
                width = filters.size(1)
                torch.mm(power[:, first:last], filters, out=mel[start:stop, at : at + width])
                at += width
        if self.use_energy:
            centred = (raw - means[:, None]) * INT16_SCALE
            out[:, 0] = centred.square().sum(1)
        return out.clamp_(min=EPSILON).log_()


def frame_means(samples: Tensor, length: int, shift: int, num_frames: int) -> Tensor:
    """Mean of each frame, from the sums of pieces that frames share: (T,)."""
    piece = math.gcd(length, shift)
    whole = samples[: len(samples) // piece * piece].view(-1, piece).sum(1)
    return whole.unfold(0, length // piece, shift // piece)[:num_frames].sum(1) / length
