"""Filterbank features on one core: the same numbers as three other libraries, and how fast."""

from pathlib import Path

import common
import numpy as np
import torch
from corpus import read_samples

from speechllm.data.fbank import INT16_SCALE, Fbank

TOLERANCE = 0.01  # of a natural logarithm, in the worst bin


def torchaudio_kaldi():
    from torchaudio.compliance import kaldi

    def extract(samples):
        wave = torch.from_numpy(samples)[None] * INT16_SCALE
        return kaldi.fbank(wave, num_mel_bins=80, dither=0.0, sample_frequency=16000)

    return extract


def kaldi_native():
    import kaldi_native_fbank

    options = kaldi_native_fbank.FbankOptions()
    options.frame_opts.dither = 0.0
    options.mel_opts.num_bins = 80

    def extract(samples):
        fbank = kaldi_native_fbank.OnlineFbank(options)
        fbank.accept_waveform(16000, samples * INT16_SCALE)
        fbank.input_finished()
        return np.stack([fbank.get_frame(i) for i in range(fbank.num_frames_ready)])

    return extract


def lhotse():
    import warnings

    from lhotse import Fbank, FbankConfig

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of snip_edges, which Kaldi's numbers need
        extractor = Fbank(FbankConfig(snip_edges=True, high_freq=0.0))
    return lambda samples: extractor.extract(samples * INT16_SCALE, 16000)


PEERS = {  # name in the table: (distribution, its extractor)
    "torchaudio.compliance.kaldi": ("torchaudio", torchaudio_kaldi),
    "kaldi-native-fbank": ("kaldi-native-fbank", kaldi_native),
    "lhotse": ("lhotse", lhotse),
}


def bench(corpus: Path, small: bool) -> list[common.Row]:
    torch.set_num_threads(1)
    waves = read_samples(corpus, 2 if small else 120)
    seconds = sum(map(len, waves)) / 16000
    sides = {common.OURS: Fbank()}
    sides |= {n: make() for n, (p, make) in PEERS.items() if common.is_installed("fbank", p)}
    reference = [sides[common.OURS](wave) for wave in waves]
    differences = {
        name: max(
            common.largest_difference(extract(wave), feats)
            for wave, feats in zip(waves, reference, strict=True)
        )
        for name, extract in sides.items()
    }
    runs = {
        name: lambda extract=extract: [extract(wave) for wave in waves]
        for name, extract in sides.items()
    }
    took = common.in_turns(runs, 1 if small else 15, 0.0 if small else 0.3)
    speed = {name: seconds / np.median(values) for name, values in took.items()}
    return [
        common.make_row(
            "fbank",
            name,
            took[common.OURS],
            took[name],
            differences[name] < TOLERANCE,
            (PEERS[name][0], "torch"),
            f"{len(waves)} utterances, {seconds:.0f} s, one core; log-mel values differ by at most "
            f"{differences[name]:.1e}; ours {speed[common.OURS]:,.0f} times real time, "
            f"theirs {speed[name]:,.0f}",
        )
        for name in sides
        if name != common.OURS
    ]


if __name__ == "__main__":
    common.main(bench, {"fbank"})
