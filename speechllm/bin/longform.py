"""Long recordings made of test utterances, decoded in windows: WER and peak memory against the utterances themselves.

Both error rates are over the same words: an utterance counts as often as the recordings hold it.

python -m speechllm.bin.longform --config conf/mini/decode.yaml --fbank_config conf/mini/fbank.yaml \
    --model exp/mini/llm exp/mini/tables/2/ms240/llm --out exp/mini/longform data/mini/test

Several models, as of several strides, are compared on the same recordings.
"""

import sys

from speechllm.bin import cli
from speechllm.config import DecodeConfig

PAUSE = 0.3  # seconds of silence between the utterances of a recording
# getrusage would tell the memory of the process that started this one, where that is more.
DECODE_AND_TELL = """
from speechllm.bin import cli, decode
cli.run(decode.main)
print(open("/proc/self/status").read())
"""


def get_parser(argv=None):
    parser = cli.config_parser(__doc__, DecodeConfig, argv)
    parser.add_argument("data_dir", help="test set with audio and manifest.arrow")
    parser.add_argument("--model", nargs="+", required=True, help="experiment folders")
    parser.add_argument("--fbank_config", default="", help="YAML of the features")
    parser.add_argument("--minutes", type=float, default=10.0, help="length of a recording (10)")
    parser.add_argument("--files", type=int, default=1, help="recordings per language (1)")
    parser.add_argument("--out", required=True, help="folder for longform.json and the recordings")
    return parser


def playlist(rows: list, wanted: float, seed: int) -> list:
    """Rows of one language in random order, and again from the start, until they last so many seconds."""
    import random

    order, total = random.Random(seed).sample(rows, len(rows)), 0.0
    chosen = []
    while total < wanted:
        chosen.append(order[len(chosen) % len(order)])
        total += chosen[-1].num_frames / 100 + PAUSE
    return chosen


def record(data_dir, out_dir, minutes: float, num_files: int, sample_rate: int) -> list[str]:
    """Write a data directory of long recordings; the text of one is that of its utterances.

    Returns:
        ids of the utterances in all recordings, each as often as it is in them.

    Raises:
        UserError: audio that cannot be read.
    """
    import numpy as np
    import soundfile

    from speechllm.data.audio import read_audio
    from speechllm.data.data_dir import Utterance, iter_audio, write_data_dir
    from speechllm.data.manifest import Manifest
    from speechllm.score.normalize import is_unspaced

    manifest = Manifest(data_dir / "manifest.arrow")
    places = {utt_id: place for utt_id, *place in iter_audio(data_dir)}
    by_lang: dict[str, list] = {}
    for i in range(len(manifest)):
        by_lang.setdefault(manifest.row(i).lang, []).append(manifest.row(i))
    out_dir.mkdir(parents=True, exist_ok=True)
    pause, made, used = np.zeros(round(PAUSE * sample_rate), np.float32), [], []
    for lang, rows in sorted(by_lang.items()):
        for number in range(num_files):
            chosen = playlist(rows, 60 * minutes, number)
            used += [row.utt_id for row in chosen]
            pieces = []
            for row in chosen:
                path, start, end = places[row.utt_id]
                pieces += [read_audio(path, sample_rate, start, end), pause]
            utt_id = f"{lang}_long_{number:03}"
            path = out_dir.resolve() / f"{utt_id}.flac"
            soundfile.write(path, np.concatenate(pieces), sample_rate)
            text = ("" if is_unspaced(lang) else " ").join(row.text for row in chosen)
            made.append(Utterance(utt_id, f"{lang}_long", text, str(path), lang))
    write_data_dir(out_dir, made)
    return used


def extract(data_dir, fbank_config: str):
    """Features and manifest of a data directory."""
    from speechllm.bin import compile_manifest, extract_fbank

    options = ["--config", fbank_config] if fbank_config else []
    extract_fbank.main([*options, "--data_dir", str(data_dir)])
    compile_manifest.main([str(data_dir)])


def decode_alone(options: list[str]) -> float:
    """Run bin/decode in a process of its own; its greatest memory in MiB.

    Raises:
        UserError: it failed.
    """
    import subprocess

    from speechllm.errors import UserError

    done = subprocess.run(
        [sys.executable, "-c", DECODE_AND_TELL, *options], stdout=subprocess.PIPE, text=True
    )
    if done.returncode:
        raise UserError("decoding has failed; the lines above say why")
    return int(done.stdout.split("VmHWM:")[1].split()[0]) / 1024


def error_rate(data_dir, hyp_dir, utt_ids: list[str] | None = None) -> float:
    """WER in percent, the plain mean over languages.

    Args:
        utt_ids: utterances that count, each as often as it stands there; all of them once if None.
    """
    from speechllm.bin.training import mean_score
    from speechllm.data.data_dir import read_data_dir
    from speechllm.data.tables import read_table

    hyps = read_table(hyp_dir / "text")
    pairs = {u.utt_id: (u.lang, u.text, hyps[u.utt_id]) for u in read_data_dir(data_dir)}
    return mean_score([pairs[utt_id] for utt_id in (pairs if utt_ids is None else utt_ids)])


def main(argv=None):
    config, args = cli.parse(get_parser(argv), DecodeConfig, argv)
    import dataclasses
    import json
    from pathlib import Path

    from speechllm import load
    from speechllm.bin.decode import check
    from speechllm.config import FbankConfig
    from speechllm.data.manifest import Manifest
    from speechllm.score.results import replace_text

    features = cli.read_config(FbankConfig, args.fbank_config)
    for model in args.model:
        check(config, load.model_kind(model))
        cli.check_mel_bins(features, load.read_checkpoint_config(load.checkpoint_path(model)))
    out, short = Path(args.out), Path(args.data_dir)
    long = out / "long"
    used = record(short, long, args.minutes, args.files, features.sample_rate)
    extract(long, args.fbank_config)
    settings = [f"--{name}={value}" for name, value in dataclasses.asdict(config).items()]
    report = {"window": config.window, "overlap": config.overlap, "models": {}}
    for number, model in enumerate(args.model):
        found = {}
        for name, data_dir, counted in (("short", short, used), ("long", long, None)):
            hyps = out / f"{number}_{name}"
            memory = decode_alone([*settings, "--model", model, "--out", str(hyps), str(data_dir)])
            frames = Manifest(data_dir / "manifest.arrow").num_frames
            found[name] = {
                "minutes": float(frames.sum()) / 6000,
                "longest_minutes": float(frames.max()) / 6000,
                "wer": error_rate(data_dir, hyps / data_dir.name, counted),
                "peak_mib": memory,
            }
            print(
                f"{model}, {name}: longest {found[name]['longest_minutes']:.1f} minutes, "
                f"WER {found[name]['wer']:.2f} %, {memory:.0f} MiB"
            )
        report["models"][model] = found
    replace_text(out / "longform.json", json.dumps(report, indent=1))


if __name__ == "__main__":
    cli.run(main)
