"""Write hypotheses for data directories.

python -m speechllm.bin.decode --model exp/mini/llm --out exp/mini/decode/llm data/mini/test
"""

from speechllm.bin import cli
from speechllm.bin.recognize import Output, load_recognizer
from speechllm.config import DecodeConfig, TrainCtcConfig, TrainLlmConfig, from_dict


def get_parser(argv=None):
    parser = cli.config_parser(__doc__, DecodeConfig, argv)
    parser.add_argument("data_dirs", nargs="+", help="data directories with manifest.arrow")
    parser.add_argument(
        "--model",
        required=True,
        help="experiment folder or checkpoint, of a CTC model, an encoder-decoder or a speech LLM",
    )
    parser.add_argument(
        "--llm",
        default="",
        help="the LLM, if it is not where it was in training or beside the model",
    )
    parser.add_argument(
        "--out",
        required=True,
        help="OUT/<name of the data directory>/{text,utt2status} are written, with beams nbest/ as well",
    )
    return parser


def check(config: DecodeConfig, model: str = "speech_llm"):
    """Raise a UserError if settings contradict each other.

    Args:
        model: what is decoded with them; in the search of an "encoder_decoder" CTC counts with one beam too.
    """
    from speechllm.errors import UserError

    ranks = config.ctc_weight and model != "encoder_decoder"
    if ranks and config.task == "chain":
        raise UserError(
            "ctc_weight ranks transcripts, but task is chain; set ctc_weight to 0 or task to transcript"
        )
    if ranks and config.num_beams == 1:
        raise UserError(
            f"ctc_weight {config.ctc_weight} ranks n-best lists, but num_beams is 1; "
            "set num_beams above 1 or ctc_weight to 0"
        )
    if config.window and not 0 <= 2 * config.overlap <= config.window:
        raise UserError(
            f"overlap {config.overlap} must be between 0 and half of window {config.window} (seconds)"
        )


def pauses_of(row, piece: int = 60_000):
    """Pauses of a row of a manifest, by the mean of each frame's log-mel bins, read ``piece`` frames at a time."""
    import torch

    from speechllm.data.ark import read_ark
    from speechllm.decode.windows import find_pauses

    pieces = [
        read_ark(row.ark, row.offset, first, min(piece, row.num_frames - first)).mean(1)
        for first in range(0, row.num_frames, piece)
    ]
    return find_pauses(torch.cat(pieces).numpy())


def windows_of(row, config: DecodeConfig) -> list[tuple[int, int]]:
    """First frame and number of frames of each window in which an utterance is heard; one if it is not too long."""
    from speechllm.decode.windows import window_bounds

    window, overlap = round(100 * config.window), round(100 * config.overlap)
    pauses = pauses_of(row) if config.pauses and 0 < window < row.num_frames else []
    return window_bounds(row.num_frames, window, overlap, pauses)


def writes_transcripts(folder, task: str) -> bool:
    """Whether a model of an experiment folder writes what is said, also where the text is something else."""
    from speechllm import load

    saved = load.read_checkpoint_config(load.checkpoint_path(folder))
    if saved["model"] == "ctc":
        return from_dict(TrainCtcConfig, saved["config"]).target == "transcript"
    if saved["model"] == "encoder_decoder" or task != "text":
        return task == "transcript"
    return from_dict(TrainLlmConfig, saved["config"]).target == "transcript"


def joined(
    outputs: list[Output], bounds: list[tuple[int, int]], lang: str, spoken: str = ""
) -> Output:
    """One output from those of the windows of an utterance.

    Args:
        lang: of the text, "" if it is not known.
        spoken: the language of the transcript, where there is one beside the text.
    """
    from speechllm.decode.windows import join_windows
    from speechllm.score.normalize import is_unspaced

    if len(outputs) == 1:
        return outputs[0]

    def whole(texts: list[str], lang: str) -> str:
        unspaced = is_unspaced(lang)
        words = [list(text.replace(" ", "")) if unspaced else text.split() for text in texts]
        return ("" if unspaced else " ").join(join_windows(bounds, words))

    text, transcript = whole([o.text for o in outputs], lang), None
    if outputs[0].transcript is not None:
        transcript = whole([o.transcript for o in outputs], spoken)
    status = max((o.status for o in outputs), key=["ok", "max_length"].index)
    if not outputs[0].nbest:
        return Output(text, status, transcript=transcript)
    scores = {name: [sum(o.scores[name][0] for o in outputs)] for name in outputs[0].scores}
    return Output(text, status, (text,), scores, transcript=transcript)


def decode(recognize, data_dir, out_dir, config: DecodeConfig, setup, transcribes: bool = False):
    """Run a recognizer over one data directory, longest utterances first, and write Kaldi text files.

    Utterances longer than ``config.window`` are heard in windows. The batches do not depend on the number
    of processes, so neither do the results.

    Args:
        transcribes: whether the outputs are transcripts, where these are not the text.
    """
    import shutil
    import time
    from pathlib import Path

    import numpy as np

    from speechllm.data.manifest import Manifest
    from speechllm.data.rows import Window
    from speechllm.data.sampler import batches_in_order
    from speechllm.data.tables import write_table
    from speechllm.decode.speculative import describe
    from speechllm.score.nbest import Nbest, write_nbest
    from speechllm.train import distributed

    manifest = Manifest(Path(data_dir) / "manifest.arrow")
    bounds = [windows_of(manifest.row(i), config) for i in range(len(manifest))]
    pieces = [(i, *bound) for i, own in enumerate(bounds) for bound in own]
    plan = batches_in_order(np.array([n for _, _, n in pieces]), config.batch_frames)
    own, found, start = plan[setup.rank :: setup.world_size], {}, time.monotonic()
    for done, batch in enumerate(own, start=1):
        rows = [
            Window.of(manifest.row(i), first, n) for i, first, n in map(pieces.__getitem__, batch)
        ]
        for j, output in zip(batch, recognize(rows), strict=True):
            found[int(j)] = output
        if setup.is_main:
            print(f"{data_dir}: batch {done}/{len(own)}", flush=True)
    found = {j: output for part in distributed.gather(found, setup) for j, output in part.items()}
    if not setup.is_main:
        return
    outputs = [[] for _ in bounds]
    for j, (i, *_) in enumerate(pieces):
        outputs[i].append(found[j])
    hyps = {}
    for i, own in enumerate(outputs):
        row = manifest.row(i)
        is_spoken = transcribes or row.text_src is None
        hyps[row.utt_id] = joined(own, bounds[i], row.lang if is_spoken else "", row.lang)
    took, audio = time.monotonic() - start, manifest.num_frames.sum() / 100
    rtf = f"{audio:.0f} s of audio in {took:.1f} s, real-time factor {took / audio:.4f}"
    print(f"{data_dir}: {len(hyps)} utterances, {rtf}")
    if drafts := [output.draft for output in found.values() if output.draft]:
        print(f"{data_dir}: {describe(drafts)}")
    Path(out_dir).mkdir(parents=True, exist_ok=True)
    # What an older search, or one for another task, has left.
    shutil.rmtree(Path(out_dir) / "nbest", ignore_errors=True)
    (Path(out_dir) / "text.src").unlink(missing_ok=True)
    if any(output.nbest for output in hyps.values()):
        utt_ids = sorted(hyps)
        names = hyps[utt_ids[0]].scores
        scores = {name: [hyps[utt_id].scores[name] for utt_id in utt_ids] for name in names}
        texts = [list(hyps[utt_id].nbest) for utt_id in utt_ids]
        write_nbest(Path(out_dir) / "nbest", Nbest(utt_ids, texts, scores))
    transcripts = {u: o.transcript for u, o in hyps.items() if o.transcript is not None}
    if transcripts:
        transcripts = {u: " ".join(text.split()) for u, text in transcripts.items()}
        write_table(Path(out_dir) / "text.src", transcripts)
    write_table(Path(out_dir) / "utt2status", {u: output.status for u, output in hyps.items()})
    write_table(Path(out_dir) / "text", {u: " ".join(o.text.split()) for u, o in hyps.items()})


def main(argv=None):
    config, args = cli.parse(get_parser(argv), DecodeConfig, argv)
    from pathlib import Path

    from speechllm import load
    from speechllm.errors import UserError
    from speechllm.train import distributed

    check(config, load.model_kind(args.model))
    transcribes = writes_transcripts(args.model, config.task)
    if config.task == "transcript" and not transcribes:
        raise UserError(
            f"task: transcript, but {args.model} has learnt to write the text (target: text); "
            "name a model that transcribes"
        )
    setup = distributed.init(exact=True)
    recognize = load_recognizer(args.model, config, setup.device, args.llm)
    for data_dir in args.data_dirs:
        out_dir = Path(args.out) / Path(data_dir).name
        decode(recognize, data_dir, out_dir, config, setup, transcribes)
    distributed.close()


if __name__ == "__main__":
    cli.run(main)
