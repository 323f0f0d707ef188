"""WER or BLEU of several systems under noise, babble, other speeds and a narrow band: a part of bin/analyse.

The audio is read again; nothing but its features changes on the way to the models.
"""

import numpy as np

from speechllm.analysis import distortion
from speechllm.bin.training import mean_score
from speechllm.config import FbankConfig
from speechllm.data.audio import read_audio
from speechllm.data.collate import pad_feats
from speechllm.data.data_dir import iter_audio
from speechllm.data.fbank import Fbank
from speechllm.data.sampler import batches_in_order, spread
from speechllm.data.speed import change_speed

NUM_BABBLERS = 40  # utterances of the set that babble is made of


def distort(samples, kind: str, level: float, others: list, rng, sample_rate: int):
    """Samples (N,) as they are heard under a condition, see analysis/distortion.py."""
    if kind == "white noise":
        return distortion.add_noise(samples, distortion.white_noise(len(samples), rng), level)
    if kind == "babble":
        noise = distortion.babble(others, len(samples), rng)
        return distortion.add_noise(samples, noise, level)
    if kind == "speed":
        return change_speed(samples, level)
    if kind == "sampling rate":
        return distortion.narrow_band(samples, sample_rate, round(level))
    return samples


def robustness(
    make_recognizers: dict,
    rows: list,
    audio: dict,
    others: dict,
    fbank,
    batch_frames: int,
    metric: str = "wer",
    tokenize: str = "13a",
) -> list[dict]:
    """A metric of every system under every condition.

    Args:
        make_recognizers: system to a function from a loader of features to a recognizer, see bin/recognize.py.
        rows: of a manifest.
        audio: samples by utterance id.
        others: samples of the utterances that babble in the background.
        fbank: from samples to features (T, F).
    """
    report = []
    for number, (kind, level) in enumerate(distortion.CONDITIONS):
        feats = {}
        for i, row in enumerate(rows):
            background = [x for utt_id, x in others.items() if utt_id != row.utt_id]
            rng = np.random.default_rng((number, i))
            heard = distort(audio[row.utt_id], kind, level, background, rng, fbank.sample_rate)
            heard = np.pad(heard, (0, max(0, fbank.length - len(heard))))  # one frame at least
            feats[row.utt_id] = fbank(heard)

        def load(batch, device, feats=feats):
            return pad_feats([feats[row.utt_id] for row in batch], device)

        found = {"kind": kind, "level": level}
        lens = np.array([len(feats[row.utt_id]) for row in rows])
        for system, make_recognizer in make_recognizers.items():
            recognize, pairs = make_recognizer(load), []
            for batch in batches_in_order(lens, batch_frames):
                own = [rows[i] for i in batch]
                outputs = zip(own, recognize(own), strict=True)
                pairs += [(row.lang, row.text, output.text) for row, output in outputs]
            found[system] = mean_score(pairs, metric, tokenize)
        report.append(found)
    return report


def read_samples(data_dir, utt_ids: set[str], config: FbankConfig) -> dict:
    """Samples (N,) of some utterances.

    Raises:
        UserError: audio that is missing or cannot be read.
    """
    return {
        utt_id: read_audio(path, config.sample_rate, start, end, config.resample)
        for utt_id, path, start, end in iter_audio(data_dir)
        if utt_id in utt_ids
    }


def measure(
    make_recognizers: dict,
    rows: list,
    data_dir,
    num_utts: int,
    config,
    batch_frames: int,
    metric: str,
    tokenize: str = "13a",
):
    """The report of ``robustness`` on utterances that are spread over a set.

    Args:
        rows: of the set's manifest; their audio is read again.
        config: of the features.

    Raises:
        UserError: audio that is missing or cannot be read.
    """
    babblers = [rows[i].utt_id for i in spread(len(rows), NUM_BABBLERS)]
    rows = [rows[i] for i in spread(len(rows), num_utts)]
    audio = read_samples(data_dir, {row.utt_id for row in rows} | set(babblers), config)
    others = {utt_id: audio[utt_id] for utt_id in babblers}
    fbank = Fbank(config.num_mel_bins, config.sample_rate)
    scored_by = (metric, tokenize)
    report = robustness(make_recognizers, rows, audio, others, fbank, batch_frames, *scored_by)
    return {"num_utts": len(rows), "metric": metric, "conditions": report}
