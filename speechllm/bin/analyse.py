"""Alignment of speech positions and text embeddings.

python -m speechllm.bin.analyse --model exp/mini/llm --out exp/mini/analysis data/mini/test
"""

import argparse

from speechllm.bin import cli


def get_parser():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data_dir", help="data directory with manifest.arrow")
    parser.add_argument("--model", required=True, help="experiment folder of a speech LLM")
    parser.add_argument(
        "--llm",
        default="",
        help="the LLM, if it is not where it was in training or beside the model",
    )
    parser.add_argument("--out", required=True, help="folder for alignment.json and the pictures")
    parser.add_argument("--num_plots", type=int, default=8, help="pictures, spread over the set")
    return parser


def main(argv=None):
    args = get_parser().parse_args(argv)
    import json
    from pathlib import Path

    import numpy as np
    import torch

    from speechllm import build
    from speechllm.analysis.alignment import cosine_matrix, monotonicity, plot_alignment, sharpness
    from speechllm.data.ark import read_ark
    from speechllm.data.manifest import Manifest
    from speechllm.models.llm import LlmTokenizer
    from speechllm.train import distributed

    device = distributed.init().device
    model, saved, path = build.load_speech_llm(args.model, args.llm)
    model.to(device)
    tokenizer = LlmTokenizer(str(path / "tokenizer"))
    manifest = Manifest.open(Path(args.data_dir) / "manifest.arrow")
    out = Path(args.out)
    out.mkdir(parents=True, exist_ok=True)
    plotted = set(
        np.linspace(0, len(manifest) - 1, min(args.num_plots, len(manifest))).astype(int).tolist()
    )
    scores = []
    with torch.inference_mode():
        for i in range(len(manifest)):
            row = manifest.row(i)
            feats = read_ark(row.ark, row.offset)
            lens = torch.tensor([len(feats)], device=device)
            speech, lens = model.encode(feats[None].to(device), lens)
            token_ids = torch.tensor(tokenizer.encode(row.text), dtype=torch.long, device=device)
            if len(token_ids) == 0:
                continue
            embeddings = model.llm.embed(token_ids)
            matrix = cosine_matrix(
                speech[0, : lens[0]].float().cpu().numpy(), embeddings.float().cpu().numpy()
            )
            scores.append((row.lang, monotonicity(matrix), sharpness(matrix)))
            if i in plotted:
                tokens = [tokenizer.tokenizer.convert_ids_to_tokens(t) for t in token_ids.tolist()]
                plot_alignment(matrix, tokens, row.utt_id, out / f"alignment_{row.utt_id}.png")
    langs = sorted({lang for lang, _, _ in scores})

    def means(column):
        values = {"all": [s[column] for s in scores]}
        for lang in langs:
            values[lang] = [s[column] for s in scores if s[0] == lang]
        return {key: float(np.nanmean(column)) for key, column in values.items()}

    report = {
        "adaptor": saved["config"]["adaptor"],
        "num_utts": len(scores),
        "monotonicity": means(1),
        "sharpness": means(2),
    }
    (out / "alignment.json").write_text(json.dumps(report, indent=1), encoding="utf-8")
    whole = {name: report[name]["all"] for name in ("monotonicity", "sharpness")}
    print(f"monotonicity {whole['monotonicity']:.3f}, sharpness {whole['sharpness']:.2f}")


if __name__ == "__main__":
    cli.run(main)
