"""Write the hypotheses of a CTC model searched together with n-gram language models, weights tuned on dev.

python -m speechllm.bin.decode_ngram --config conf/mini/decode.yaml --model exp/mini/ctc --lm /data/mls \
    --train_dir data/mini/train --dev_dir data/mini/dev --out exp/mini/decode/ctc+lm data/mini/dev data/mini/test

Every language has its own model, so the search is told the language of each utterance. Long utterances are heard in
windows, as by speechllm.bin.decode; the LM begins anew in each. Of decode.yaml only window, overlap, pauses and
batch_frames are used: the other settings are those of the search by an LLM.
"""

import dataclasses
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from speechllm.bin import cli
from speechllm.bin.decode import check, decode, joined, windows_of, writes_transcripts
from speechllm.bin.recognize import Output
from speechllm.config import DecodeConfig
from speechllm.errors import UserError

LM_WEIGHTS = (0.0, 0.25, 0.5, 0.75, 1.0, 1.5, 2.0)
WORD_SCORES = (-1.0, 1.0, 2.0, 3.0, 4.0, 6.0)  # tried after 0, with the best LM weight
ARCHIVE_ORDERS = (5, 3)  # of the models in mls_lm_<language>


class Weights(NamedTuple):
    """Of log P_lm, and what a word earns."""

    lm_weight: float = 0.0
    word_score: float = 0.0


def get_parser(argv=None):
    parser = cli.config_parser(__doc__, DecodeConfig, argv)
    parser.add_argument("data_dirs", nargs="+", help="data directories with manifest.arrow")
    parser.add_argument("--model", required=True, help="experiment folder of a CTC model")
    parser.add_argument(
        "--lm",
        default="train",
        help="folder that holds mls_lm_<language>/{5,3}-gram_lm.arpa, <code>.arpa or mls_lm_<language>/data.txt, "
        "a text to train one on, or one ARPA file for all languages; 'train' where there is none",
    )
    parser.add_argument(
        "--train_dir",
        default="",
        help="data directory whose text trains the LMs for which --lm has nothing",
    )
    parser.add_argument(
        "--dev_dir", required=True, help="data directory on which weights are tuned"
    )
    parser.add_argument(
        "--out", required=True, help="OUT/<set>/text, OUT/weights.json, OUT/<code>.arpa"
    )
    parser.add_argument("--order", type=int, default=5, help="of the LMs trained")
    parser.add_argument("--tune_utts", type=int, default=160, help="dev utterances to tune on")
    parser.add_argument("--beam_size", type=int, default=30, help="prefixes kept per frame")
    parser.add_argument("--beam_units", type=int, default=10, help="units tried per frame")
    parser.add_argument("--unk_score", type=float, default=0.0, help="of words the LM lacks")
    return parser


def archive(source: Path, lang: str) -> Path:
    """Where the LM archive of a language is unpacked."""
    from speechllm.data.prompts import LANGUAGES

    return source / f"mls_lm_{LANGUAGES.get(lang, lang).lower()}"


def find_lm(source: Path, lang: str) -> Path | None:
    """The n-gram model of a language in a folder, or the one file for all languages; None where there is none.

    Raises:
        UserError: there is no such folder or file.
    """
    if not source.exists():
        raise UserError(
            f"--lm {source}: no such folder or file; name one that holds mls_lm_<language>, or 'train'"
        )
    if source.is_file():
        return source
    known = [archive(source, lang) / f"{order}-gram_lm.arpa" for order in ARCHIVE_ORDERS]
    return next((path for path in (*known, source / f"{lang}.arpa") if path.is_file()), None)


def find_text(lang: str, args) -> tuple[str, Iterable[str]]:
    """The path of the text that an n-gram model of a language is trained on, and its lines.

    Raises:
        UserError: there is none.
    """
    from speechllm.data.data_dir import iter_data_dir

    path = archive(Path(args.lm), lang) / "data.txt"
    if args.lm != "train" and path.is_file():
        return str(path), read_lines(path)
    utts = iter_data_dir(args.train_dir) if args.train_dir else ()
    texts = [utt.text for utt in utts if utt.lang == lang]
    if not texts:
        raise UserError(
            f"--lm {args.lm}: no n-gram model of {lang!r}, and no training text of it "
            f"in --train_dir {args.train_dir}; name a folder with mls_lm_<language> or {lang}.arpa"
        )
    return str(args.train_dir / "text"), texts


def read_lines(path: Path) -> Iterator[str]:
    """Yield the lines of a text.

    Raises:
        UserError: it is not UTF-8.
    """
    try:
        with open(path, encoding="utf-8") as file:
            yield from file
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: not UTF-8 ({error.reason}); convert the file") from error


def split_lines(
    where: str, lines: Iterable[str], split: Callable[[str], list[str]]
) -> list[list[str]]:
    """The words of each line that has some.

    Raises:
        UserError: more words than an n-gram model is trained on here.
    """
    from speechllm.decode.kneser_ney import MAX_WORDS

    sentences, total = [], 0
    for words in filter(None, map(split, lines)):
        total += len(words)
        if total > MAX_WORDS:
            raise UserError(
                f"{where}: more than {MAX_WORDS:,} words, too many for the memory of our own Kneser-Ney; "
                "give an ARPA file (--lm), as KenLM's lmplz makes it of such a text"
            )
        sentences.append(words)
    return sentences


def make_lms(langs: list[str], args) -> dict[str, Path]:
    """Paths of the n-gram models by language; those that are nowhere on disk are trained.

    Raises:
        UserError: a language has neither a model nor text to train one on, or too much of it.
    """
    from functools import partial

    from speechllm.decode.kneser_ney import train_ngram
    from speechllm.score.normalize import is_unspaced, split_chars

    paths = {}
    for lang in langs:
        path = None if args.lm == "train" else find_lm(Path(args.lm), lang)
        if path is None:
            where, lines = find_text(lang, args)
            split = partial(split_chars, lang=lang) if is_unspaced(lang) else str.split
            sentences = split_lines(where, lines, split)
            path = args.out / f"{lang}.arpa"
            count = train_ngram(sentences, path, args.order)
            print(f"{lang}: {path}: {count} n-grams of {len(sentences)} lines of {where}")
        else:
            print(f"{lang}: {path}")
        paths[lang] = path
    return paths


def emissions(model, rows: list, device) -> list:
    """Log-probabilities (T, V) of each row of a manifest, or window of one, heard as one batch."""
    import torch

    from speechllm.bin.recognize import load_feats

    with torch.no_grad():
        log_probs, lens = model.log_probs(*load_feats(rows, device))
    return [one[:n] for one, n in zip(log_probs.cpu(), lens.tolist(), strict=True)]


def hear(model, rows: list, config: DecodeConfig, device) -> list[tuple]:
    """Per row of a manifest: the row, where its windows lie, and the log-probabilities (T, V) of each window."""
    import numpy as np

    from speechllm.data.rows import Window
    from speechllm.data.sampler import batches_in_order

    bounds = [windows_of(row, config) for row in rows]
    heard = [(row, own, [None] * len(own)) for row, own in zip(rows, bounds, strict=True)]
    pieces = [(i, j, n) for i, own in enumerate(bounds) for j, (_, n) in enumerate(own)]
    for batch in batches_in_order(np.array([n for *_, n in pieces]), config.batch_frames):
        own = [pieces[k][:2] for k in batch]
        windows = [Window.of(rows[i], *bounds[i][j]) for i, j in own]
        for (i, j), log_probs in zip(own, emissions(model, windows, device), strict=True):
            heard[i][2][j] = log_probs
    return heard


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
    config, args = cli.parse(get_parser(argv), DecodeConfig, argv)
    for name in ("order", "tune_utts", "beam_size", "beam_units"):
        cli.check_number(f"--{name}", getattr(args, name), least=1)
    args.data_dirs = [Path(folder) for folder in args.data_dirs]
    args.dev_dir, args.out = Path(args.dev_dir), Path(args.out)
    args.train_dir = Path(args.train_dir) if args.train_dir else None
    # ctc_weight asks for beams of an LLM; as this search reads neither, they may contradict each other.
    check(dataclasses.replace(config, ctc_weight=0.0))
    import json

    import torch

    from speechllm import load
    from speechllm.bin.training import mean_score
    from speechllm.data.manifest import Manifest
    from speechllm.data.sampler import spread
    from speechllm.data.tokenizer import CtcTokenizer
    from speechllm.decode.arpa import ArpaModel
    from speechllm.decode.ctc_beam import NgramDecoder
    from speechllm.score.normalize import is_unspaced
    from speechllm.score.results import replace_text
    from speechllm.train import distributed

    setup = distributed.init(exact=True)
    model, path = load.load_ctc_model(args.model)
    model.to(setup.device)
    tokenizer = CtcTokenizer(path / "units.model")
    dev = Manifest(args.dev_dir / "manifest.arrow")
    manifests = (dev, *(Manifest(folder / "manifest.arrow") for folder in args.data_dirs))
    langs = sorted({lang for manifest in manifests for lang in manifest.langs})
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

    def write(search: dict, lang: str, log_probs) -> Output:
        ((best, *_),) = search[lang](log_probs[None], torch.tensor([len(log_probs)]))
        return Output(tokenizer.decode(best.token_ids), "ok")

    rows = [dev.row(i) for i in spread(len(dev), args.tune_utts)]
    heard = hear(model, rows, config, setup.device)

    def error_rate(weights: Weights) -> float:
        search, pairs = decoders(weights), []
        for row, bounds, windows in heard:
            outputs = [write(search, row.lang, log_probs) for log_probs in windows]
            pairs.append((row.lang, row.text, joined(outputs, bounds, row.lang).text))
        wer = mean_score(pairs)
        print(f"lm_weight {weights.lm_weight:g}, word_score {weights.word_score:g}: {wer:.2f} %")
        return wer

    weights, tried = tune(error_rate)
    search = decoders(weights)

    def recognize(rows: list) -> list[Output]:
        found = zip(rows, emissions(model, rows, setup.device), strict=True)
        return [write(search, row.lang, log_probs) for row, log_probs in found]

    transcribes = writes_transcripts(args.model, config.task)
    for folder in args.data_dirs:
        decode(recognize, folder, args.out / folder.name, config, setup, transcribes)
    report = weights._asdict() | {
        "lms": {lang: str(path) for lang, path in lm_paths.items()},
        f"wer_of_{args.dev_dir.name}": [[*w, rate] for w, rate in tried.items()],
    }
    replace_text(args.out / "weights.json", json.dumps(report, indent=1))
    print(f"chosen: lm_weight {weights.lm_weight:g}, word_score {weights.word_score:g}")
    distributed.close()


if __name__ == "__main__":
    cli.run(main)
