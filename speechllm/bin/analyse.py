"""What a trained speech LLM does: alignment with text, lengths, whether it listens and writes, what it withstands.

python -m speechllm.bin.analyse --model exp/mini/llm --ctc exp/mini/ctc --out exp/mini/analysis data/mini/test

Utterances longer than the window of decode.yaml are left out.
"""

import math
from collections.abc import Callable

from speechllm.bin import cli
from speechllm.bin.decode import check
from speechllm.config import DecodeConfig, FbankConfig, LlmConfig, from_dict


def get_parser(argv=None):
    parser = cli.config_parser(__doc__, DecodeConfig, argv)
    parser.add_argument("data_dir", help="data directory with manifest.arrow")
    parser.add_argument("--model", required=True, help="experiment folder of a speech LLM")
    parser.add_argument(
        "--ctc", default="", help="experiment folder of a CTC model to compare with"
    )
    parser.add_argument("--fbank_config", default="", help="YAML of the features")
    parser.add_argument(
        "--llm",
        default="",
        help="the LLM, if it is not where it was in training or beside the model",
    )
    parser.add_argument(
        "--out",
        required=True,
        help="folder for {alignment,lengths,listening,writing,robustness}.json, and the pictures",
    )
    parser.add_argument(
        "--metric",
        default="wer",
        choices=("wer", "cer", "bleu", "chrf"),
        help="by which it is judged whether the model listens (default: %(default)s)",
    )
    parser.add_argument(
        "--tokenize", default="13a", help="sacreBLEU's tokenizer (default: %(default)s)"
    )
    parser.add_argument("--num_plots", type=int, default=8, help="pictures, spread over the set")
    parser.add_argument(
        "--listen_utts",
        type=int,
        default=120,
        help="utterances, spread over the set, that are heard with other audio and read as text",
    )
    parser.add_argument(
        "--robust_utts",
        type=int,
        default=32,
        help="utterances, spread over the set, that are heard with noise and so on; 0: none",
    )
    return parser


def alignments(model, tokenizer, rows: list, plotted: set[int], out, device) -> dict:
    """What ``alignment`` and ``lengths`` report, per language; draws the pictures.

    Monotonicity and sharpness are means over utterances, of the similarity of speech positions and text; utterances
    without text are left out. Sharpness compares with the previous utterance's text in the same language; the first
    utterance has none and is not counted. Where soft text is part of the positions, what the adaptor alone gives is
    measured too. Lengths are speech positions and the tokens that the LLM has to write, its
    end included.

    Args:
        rows: of a manifest.
        plotted: places of those whose similarities are drawn.

    Returns:
        ``alignment``: num_utts, monotonicity and sharpness by language and of all, None where no utterance counts (of
        one utterance the sharpness), the same two in ``adaptor_alone``; ``lengths``: see ``length_report``.
    """
    import torch

    from speechllm.analysis.alignment import cosine_matrix, plot_alignment
    from speechllm.analysis.lengths import length_report, plot_lengths
    from speechllm.data.ark import read_ark

    views = {"as_read": True} | ({"adaptor_alone": False} if model.soft_text is not None else {})
    scores, sizes, texts_before = {view: [] for view in views}, [], {}
    for i, row in enumerate(rows):
        token_ids = torch.tensor(tokenizer.encode(row.text), dtype=torch.long, device=device)
        if len(token_ids) == 0:
            continue
        feats = read_ark(row.ark, row.offset)
        lens = torch.tensor([len(feats)], device=device)
        frames, lens = model.listen(feats[None].to(device), lens)
        num_frames = int(lens[0])
        text = model.llm.embed(token_ids).float().cpu().numpy()
        for view, with_text in views.items():
            speech, num_positions = model.place(frames, lens, with_text)
            heard = speech[0, : num_positions[0]].float().cpu().numpy()
            other = texts_before.get(row.lang)
            scores[view].append((row.lang, *monotonicity_and_sharpness(heard, text, other)))
            if view == "as_read" and i in plotted:
                tokens = [tokenizer.tokenizer.convert_ids_to_tokens(t) for t in token_ids.tolist()]
                path = out / f"alignment_{row.utt_id}.png"
                plot_alignment(cosine_matrix(heard, text), tokens, row.utt_id, path)
        sizes.append((row.lang, num_frames, int(num_positions[0]), len(token_ids) + 1))
        texts_before[row.lang] = text
    report = {"num_utts": len(sizes), **by_lang(scores.pop("as_read"))}
    report |= {view: by_lang(found) for view, found in scores.items()}
    plot_lengths(sizes, out / "lengths.png")
    return {"alignment": report, "lengths": length_report(sizes)}


def monotonicity_and_sharpness(heard, text, other) -> tuple[float, float]:
    """Of positions (N, H) with their text (M, H); the sharpness is nan where another text (M', H) is None."""
    from speechllm.analysis.alignment import cosine_matrix, monotonicity, sharpness

    matrix, clear = cosine_matrix(heard, text), math.nan
    if other is not None:
        clear = sharpness(matrix, cosine_matrix(heard, other))
    return monotonicity(matrix), clear


def by_lang(scores: list[tuple[str, float, float]]) -> dict[str, dict]:
    """Means of monotonicity and sharpness by language and of all."""
    report = {}
    for column, name in enumerate(("monotonicity", "sharpness"), start=1):
        values = {"all": [s[column] for s in scores]}
        for score in scores:
            values.setdefault(score[0], []).append(score[column])
        report[name] = {key: mean_of_known(value) for key, value in sorted(values.items())}
    return report


def mean_of_known(values: list[float]) -> float | None:
    """The mean without nan; None where nothing else is there, for JSON has no nan."""
    known = [value for value in values if not math.isnan(value)]
    return sum(known) / len(known) if known else None


def describe_alignment(report: dict) -> str:
    """The line that is printed of what ``alignments`` reports as ``alignment``."""

    def tell(report: dict) -> str:
        told = []
        for name, digits in (("monotonicity", 3), ("sharpness", 2)):
            value = report[name]["all"]
            told.append(f"{name} {'unknown' if value is None else f'{value:.{digits}f}'}")
        return ", ".join(told)

    alone = report.get("adaptor_alone")
    return tell(report) + (f"; of the adaptor without soft text {tell(alone)}" if alone else "")


def ctc_maker(folder: str, device) -> dict[str, Callable]:
    """``{"ctc": from a loader of features to a recognizer}`` of a CTC model; nothing where none is named."""
    from functools import partial

    from speechllm import load
    from speechllm.bin.recognize import ctc_recognizer
    from speechllm.data.tokenizer import CtcTokenizer

    if not folder:
        return {}
    model, path = load.load_ctc_model(folder)
    units = CtcTokenizer(path / "units.model")
    return {"ctc": partial(ctc_recognizer, model.to(device), units, device)}


def main(argv=None):
    config, args = cli.parse(get_parser(argv), DecodeConfig, argv)
    check(config)
    for name in ("num_plots", "listen_utts", "robust_utts"):
        cli.check_number(f"--{name}", getattr(args, name), least=0)
    features = cli.read_config(FbankConfig, args.fbank_config)
    import json
    from pathlib import Path

    import torch

    from speechllm import build, load
    from speechllm.analysis.distortion import plot_distortion
    from speechllm.bin.abilities import describe_listening, describe_writing, listening, writing
    from speechllm.bin.recognize import llm_recognizer, text_side
    from speechllm.bin.robustness import measure
    from speechllm.bin.training import heard_at_once
    from speechllm.data.manifest import Manifest
    from speechllm.data.sampler import spread
    from speechllm.score.metrics import make_metric
    from speechllm.score.results import replace_text
    from speechllm.score.table import UNITS
    from speechllm.train import distributed

    device = distributed.init(exact=True).device
    model, saved, path = load.load_speech_llm(args.model, args.llm)
    cli.check_mel_bins(features, saved)
    make_metric(args.metric, args.tokenize)  # a missing tokenizer stops here
    model.to(device)
    tokenizer, units, template = text_side(saved, path, config.task)
    manifest = Manifest(Path(args.data_dir) / "manifest.arrow")
    rows = [manifest.row(i) for i in heard_at_once(manifest, config.window)]
    out = Path(args.out)
    out.mkdir(parents=True, exist_ok=True)
    reports = {}

    def make_recognizer(load):
        return llm_recognizer(model, tokenizer, units, template, config, device, load)

    with torch.inference_mode():
        chosen = [rows[i] for i in spread(len(rows), args.listen_utts)]
        if len(chosen) > 1:
            reports["listening"] = listening(
                make_recognizer, chosen, config.batch_frames, args.metric, args.tokenize
            )
            llm_config = from_dict(LlmConfig, saved["config"]["llm"])
            if not llm_config.from_scratch:  # there is a writer to compare it with
                name = args.llm or load.find_llm(saved["llm"], path)
                base_llm = build.build_llm(llm_config, name)
                texts = [[tokenizer.bos_id, *tokenizer.encode(row.text)] for row in chosen]
                texts = [ids for ids in texts if len(ids) > 1]
                reports["writing"] = writing(model.llm, base_llm.to(device).eval(), texts, device)
        plotted = set(spread(len(rows), args.num_plots))
        found = alignments(model, tokenizer, rows, plotted, out, device)
        found["alignment"] = {"adaptor": saved["config"]["adaptor"]} | found["alignment"]
        reports |= found
        if args.robust_utts:
            systems = ctc_maker(args.ctc, device) | {"llm": make_recognizer}
            shared = (rows, args.data_dir, args.robust_utts, features, config.batch_frames)
            reports["robustness"] = measure(systems, *shared, args.metric, args.tokenize)
            conditions = reports["robustness"]["conditions"]
            plot_distortion(conditions, out / "robustness.png", UNITS[args.metric])
    for name, report in reports.items():
        replace_text(out / f"{name}.json", json.dumps(report, indent=1))
    if "listening" in reports:
        print(describe_listening(reports["listening"]))
    if "writing" in reports:
        print(describe_writing(reports["writing"], llm_config.finetune))
    print(describe_alignment(found["alignment"]))
    sizes = found["lengths"]["all"]
    print(
        f"{sizes['frames_per_position']:.2f} encoder frames per speech position, "
        f"{sizes['positions_per_token']:.2f} positions per token to be written"
    )
    for case in reports.get("robustness", {}).get("conditions", ()):
        rates = ", ".join(f"{k} {v:.1f}" for k, v in case.items() if k not in ("kind", "level"))
        heard = case["kind"] if case["kind"] == "clean" else f"{case['kind']} {case['level']:g}"
        print(f"{args.metric.upper()}, {heard}: {rates}")


if __name__ == "__main__":
    cli.run(main)
