"""What a trained speech LLM does with audio: alignment of speech positions and text, and whether it listens.

python -m speechllm.bin.analyse --model exp/mini/llm --out exp/mini/analysis data/mini/test
"""

import argparse

from speechllm.bin import cli
from speechllm.config import DecodeConfig


def get_parser():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data_dir", help="data directory with manifest.arrow")
    parser.add_argument("--model", required=True, help="experiment folder of a speech LLM")
    parser.add_argument(
        "--llm",
        default="",
        help="the LLM, if it is not where it was in training or beside the model",
    )
    parser.add_argument(
        "--out", required=True, help="folder for alignment.json, listening.json and the pictures"
    )
    parser.add_argument("--num_plots", type=int, default=8, help="pictures, spread over the set")
    parser.add_argument("--decode_config", default="", help="YAML of the decode command")
    parser.add_argument(
        "--listen_utts",
        type=int,
        default=200,
        help="utterances, spread over the set, that are decoded with the audio of others and with silence",
    )
    return parser


def spread(num_rows: int, wanted: int) -> list[int]:
    """Up to ``wanted`` row numbers at equal distances."""
    import numpy as np

    return np.linspace(0, num_rows - 1, min(wanted, num_rows)).astype(int).tolist()


def alignments(model, tokenizer, manifest, plotted: set[int], out, device) -> dict:
    """Monotonicity and sharpness of the similarity of speech positions and text, per language; draws the pictures."""
    import numpy as np
    import torch

    from speechllm.analysis.alignment import cosine_matrix, monotonicity, plot_alignment, sharpness
    from speechllm.data.ark import read_ark

    scores = []
    for i in range(len(manifest)):
        row = manifest.row(i)
        token_ids = torch.tensor(tokenizer.encode(row.text), dtype=torch.long, device=device)
        if len(token_ids) == 0:
            continue
        feats = read_ark(row.ark, row.offset)
        lens = torch.tensor([len(feats)], device=device)
        speech, lens = model.encode(feats[None].to(device), lens)
        embeddings = model.llm.embed(token_ids)
        matrix = cosine_matrix(
            speech[0, : lens[0]].float().cpu().numpy(), embeddings.float().cpu().numpy()
        )
        scores.append((row.lang, monotonicity(matrix), sharpness(matrix)))
        if i in plotted:
            tokens = [tokenizer.tokenizer.convert_ids_to_tokens(t) for t in token_ids.tolist()]
            plot_alignment(matrix, tokens, row.utt_id, out / f"alignment_{row.utt_id}.png")
    report = {"num_utts": len(scores)}
    for column, name in enumerate(("monotonicity", "sharpness"), start=1):
        values = {"all": [s[column] for s in scores]}
        for score in scores:
            values.setdefault(score[0], []).append(score[column])
        report[name] = {key: float(np.nanmean(value)) for key, value in sorted(values.items())}
    return report


def listening(model, text_side, manifest, config: DecodeConfig, chosen: list[int], device) -> dict:
    """WER of the chosen rows with their own audio, with that of others, and with silence."""
    import numpy as np

    from speechllm.analysis.listening import AUDIO, silenced, with_other_audio
    from speechllm.bin.decode import llm_recognizer, load_feats
    from speechllm.bin.training import word_error_rate
    from speechllm.data.sampler import batches_in_order

    rows, report = [manifest.row(i) for i in chosen], {"num_utts": len(chosen)}
    for audio in AUDIO:
        load = silenced(load_feats) if audio == "silent" else load_feats
        recognize = llm_recognizer(model, *text_side, config, device, load)
        heard = with_other_audio(rows) if audio == "shuffled" else rows
        pairs = []
        for batch in batches_in_order(np.array([r.num_frames for r in heard]), config.batch_frames):
            outputs = recognize([heard[i] for i in batch])
            pairs += [
                (rows[i].lang, rows[i].text, output.text)
                for i, output in zip(batch, outputs, strict=True)
            ]
        report[audio] = word_error_rate(pairs)
    return report


def main(argv=None):
    args = get_parser().parse_args(argv)
    config = cli.read_config(DecodeConfig, args.decode_config)
    import json
    from pathlib import Path

    import torch

    from speechllm import build
    from speechllm.bin.decode import text_side
    from speechllm.data.manifest import Manifest
    from speechllm.train import distributed

    device = distributed.init().device
    model, saved, path = build.load_speech_llm(args.model, args.llm)
    model.to(device)
    texts = text_side(saved, path)
    manifest = Manifest.open(Path(args.data_dir) / "manifest.arrow")
    out = Path(args.out)
    out.mkdir(parents=True, exist_ok=True)
    reports = {}
    with torch.inference_mode():
        if args.listen_utts:
            chosen = spread(len(manifest), args.listen_utts)
            reports["listening"] = listening(model, texts, manifest, config, chosen, device)
        plotted = set(spread(len(manifest), args.num_plots))
        found = alignments(model, texts[0], manifest, plotted, out, device)
        reports["alignment"] = {"adaptor": saved["config"]["adaptor"], **found}
    for name, report in reports.items():
        (out / f"{name}.json").write_text(json.dumps(report, indent=1), encoding="utf-8")
    if args.listen_utts:
        rates = {audio: rate for audio, rate in reports["listening"].items() if audio != "num_utts"}
        print("WER with audio", ", ".join(f"{audio} {rate:.1f}" for audio, rate in rates.items()))
    print(
        f"monotonicity {found['monotonicity']['all']:.3f}, sharpness {found['sharpness']['all']:.2f}"
    )


if __name__ == "__main__":
    cli.run(main)
