"""Write the hypotheses of a CTC model searched together with n-gram language models, weights tuned on dev.

python -m speechllm.bin.decode_ngram --model exp/mini/ctc --lm /data/mls --train_dir data/mini/train \
    --dev_dir data/mini/dev --out exp/mini/decode/ctc+lm data/mini/dev data/mini/test

Every language has its own model, so the search is told the language of each utterance.
"""

import argparse
from pathlib import Path
from typing import NamedTuple

from speechllm.bin import cli
from speechllm.errors import UserError

LM_WEIGHTS = (0.0, 0.25, 0.5, 0.75, 1.0, 1.5, 2.0)
WORD_SCORES = (-1.0, 1.0, 2.0, 3.0, 4.0, 6.0)  # tried after 0, with the best LM weight
ARCHIVE_ORDERS = (5, 3)  # of the models in mls_lm_<language>


class Weights(NamedTuple):
    """Of log P_lm, and what a word earns."""

    lm_weight: float = 0.0
    word_score: float = 0.0


def get_parser():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "data_dirs", nargs="+", type=Path, help="data directories with manifest.arrow"
    )
    parser.add_argument("--model", required=True, help="experiment folder of a CTC model")
    parser.add_argument(
        "--lm",
        default="train",
        help="folder that holds mls_lm_<language>/{5,3}-gram_lm.arpa or <code>.arpa, or one ARPA file "
        "for all languages; 'train' where there is none (default)",
    )
    parser.add_argument(
        "--train_dir", type=Path, help="data directory whose text trains the LMs that --lm lacks"
    )
    parser.add_argument(
        "--dev_dir", type=Path, required=True, help="data directory on which weights are tuned"
    )
    parser.add_argument(
        "--out", type=Path, required=True, help="OUT/<set>/text, OUT/weights.json, OUT/<code>.arpa"
    )
    parser.add_argument("--order", type=int, default=5, help="of the LMs trained (5)")
    parser.add_argument(
        "--tune_utts", type=int, default=160, help="dev utterances to tune on (160)"
    )
    parser.add_argument("--beam_size", type=int, default=30, help="prefixes kept per frame (30)")
    parser.add_argument("--beam_units", type=int, default=10, help="units tried per frame (10)")
    parser.add_argument("--unk_score", type=float, default=0.0, help="of words the LM lacks (0)")
    parser.add_argument("--batch_frames", type=int, default=30000, help="per batch (30000)")
    return parser


def find_lm(source: Path, lang: str) -> Path | None:
    """The n-gram model of a language in a folder, or the one file for all languages; None where there is none.

    Raises:
        UserError: there is no such folder or file.
    """
    from speechllm.data.prompts import LANGUAGES

    if not source.exists():
        raise UserError(
            f"--lm {source}: no such folder or file; name one that holds mls_lm_<language>, or 'train'"
        )
    if source.is_file():
        return source
    archive = source / f"mls_lm_{LANGUAGES.get(lang, lang).lower()}"
    known = [archive / f"{order}-gram_lm.arpa" for order in ARCHIVE_ORDERS]
    return next((path for path in (*known, source / f"{lang}.arpa") if path.is_file()), None)


def make_lms(langs: list[str], args) -> dict[str, Path]:
    """Paths of the n-gram models by language; those that are nowhere on disk are trained.

    Raises:
        UserError: a language has neither a model nor text to train one on.
    """
    from functools import partial

    from speechllm.data.data_dir import iter_data_dir
    from speechllm.decode.kneser_ney import train_ngram
    from speechllm.score.normalize import is_unspaced, split_chars

    paths = {}
    for lang in langs:
        path = None if args.lm == "train" else find_lm(Path(args.lm), lang)
        if path is None:
            utts = iter_data_dir(args.train_dir) if args.train_dir else ()
            texts = [utt.text for utt in utts if utt.lang == lang]
            if not texts:
                raise UserError(
                    f"--lm {args.lm}: no n-gram model of {lang!r}, and no training text of it "
                    f"in --train_dir {args.train_dir}; name a folder with mls_lm_<language> or {lang}.arpa"
                )
            path = args.out / f"{lang}.arpa"
            split = partial(split_chars, lang=lang) if is_unspaced(lang) else str.split
            count = train_ngram(map(split, texts), path, args.order)
            print(f"{lang}: {path}: {count} n-grams of {len(texts)} training texts")
        else:
            print(f"{lang}: {path}")
        paths[lang] = path
    return paths


def emissions(model, rows: list, batch_frames: int, device):
    """Yield a row of a manifest and its log-probabilities (T, V)."""
    import numpy as np
    import torch

    from speechllm.bin.recognize import load_feats
    from speechllm.data.sampler import batches_in_order

    for batch in batches_in_order(np.array([row.num_frames for row in rows]), batch_frames):
        own = [rows[i] for i in batch]
        with torch.no_grad():
            log_probs, lens = model.log_probs(*load_feats(own, device))
        for row, one, n in zip(own, log_probs.cpu(), lens.tolist(), strict=True):
            yield row, one[:n]


def tune(error_rate) -> tuple[Weights, dict[Weights, float]]:
    """The best LM weight without word score, the best word score with that, and the LM weight once more.

    Of equals, those that were tried first win.

    Args:
        error_rate: from weights to what is to be small.
    """
    tried: dict[Weights, float] = {}

    def best_of(candidates) -> Weights:
        for weights in candidates:
            if weights not in tried:
                tried[weights] = error_rate(weights)
        return min(tried, key=tried.get)

    best = best_of(Weights(w) for w in LM_WEIGHTS)
    best = best_of([Weights(best.lm_weight, score) for score in WORD_SCORES])
    best = best_of([Weights(w, best.word_score) for w in LM_WEIGHTS if w])
    return best, tried


def main(argv=None):
    args = get_parser().parse_args(argv)
    for name in ("order", "tune_utts", "beam_size", "beam_units", "batch_frames"):
        cli.check_number(f"--{name}", getattr(args, name), least=1)
    import json

    import torch

    from speechllm import build
    from speechllm.bin.training import mean_score
    from speechllm.data.manifest import Manifest
    from speechllm.data.sampler import spread
    from speechllm.data.tables import write_table
    from speechllm.data.tokenizer import CtcTokenizer
    from speechllm.decode.arpa import ArpaModel
    from speechllm.decode.ctc_beam import NgramDecoder
    from speechllm.score.normalize import is_unspaced
    from speechllm.score.results import replace_text
    from speechllm.train import distributed

    device = distributed.init(exact=True).device
    model, path = build.load_ctc_model(args.model)
    model.to(device)
    tokenizer = CtcTokenizer(path / "units.model")
    manifests = {folder: Manifest(folder / "manifest.arrow") for folder in args.data_dirs}
    dev = Manifest(args.dev_dir / "manifest.arrow")
    langs = sorted({lang for manifest in (dev, *manifests.values()) for lang in manifest.langs})
    NgramDecoder(None, ["", *tokenizer.unit_texts()])  # a missing library stops here
    lm_paths = make_lms(langs, args)
    lms = {path: ArpaModel(path) for path in set(lm_paths.values())}

    def decoders(weights: Weights) -> dict:
        settings = {
            "unk_score": args.unk_score,
            "beam_size": args.beam_size,
            "beam_units": args.beam_units,
        }
        pieces = ["", *tokenizer.unit_texts()]
        return {
            lang: NgramDecoder(lms[lm], pieces, *weights, unspaced=is_unspaced(lang), **settings)
            for lang, lm in lm_paths.items()
        }

    def write(search: dict, row, log_probs) -> str:
        ((best, *_),) = search[row.lang](log_probs[None], torch.tensor([len(log_probs)]))
        return " ".join(tokenizer.decode(best.token_ids).split())

    rows = [dev.row(i) for i in spread(len(dev), args.tune_utts)]
    heard = list(emissions(model, rows, args.batch_frames, device))

    def error_rate(weights: Weights) -> float:
        search = decoders(weights)
        wer = mean_score([(row.lang, row.text, write(search, row, x)) for row, x in heard])
        print(f"lm_weight {weights.lm_weight:g}, word_score {weights.word_score:g}: {wer:.2f} %")
        return wer

    weights, tried = tune(error_rate)
    search = decoders(weights)
    for folder, manifest in manifests.items():
        rows = [manifest.row(i) for i in range(len(manifest))]
        found = emissions(model, rows, args.batch_frames, device)
        hyps = {row.utt_id: write(search, row, log_probs) for row, log_probs in found}
        out = args.out / folder.name
        out.mkdir(parents=True, exist_ok=True)
        write_table(out / "utt2status", dict.fromkeys(hyps, "ok"))
        write_table(out / "text", hyps)
        print(f"{folder}: {len(hyps)} utterances")
    report = weights._asdict() | {
        "lms": {lang: str(path) for lang, path in lm_paths.items()},
        f"wer_of_{args.dev_dir.name}": [[*w, rate] for w, rate in tried.items()],
    }
    replace_text(args.out / "weights.json", json.dumps(report, indent=1))
    print(f"chosen: lm_weight {weights.lm_weight:g}, word_score {weights.word_score:g}")
    distributed.close()


if __name__ == "__main__":
    cli.run(main)
