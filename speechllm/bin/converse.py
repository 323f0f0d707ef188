"""Answer dialogues in which users speak, as they are, from transcripts, and from what CTC hears.

python -m speechllm.bin.converse --config conf/mini/chat.yaml --model exp/mini/llm --ctc exp/mini/ctc \
    --out exp/mini/decode test=data/mini/test/dialogues.jsonl noisy=data/mini/test/dialogues.jsonl,snr=5

A test is SET=FILE, and may change the dialogues of the file: ",spoken=first" or ",spoken=last" leaves audio in the
first or the last user turn only and text in the others, ",history=drop" keeps the last turn alone, ",snr=5" adds white
noise 5 dB below the speech.

Systems: text (transcripts in place of audio), cascade (CTC's text in place of audio), audio, and with --own_ctc
cascade-llm (text of the model's own CTC layer, if that has learnt on with the encoder). OUT/<system>/<set> gets the
answers as text, utt2status, and scores.jsonl: how likely each system's prompt makes every token of the answer that the
text prompt gets, its end included, and how far its distribution there is from the text prompt's. A set with audio
without transcript has no text prompt to compare with: it goes without text and these scores.
"""

import math

from speechllm.bin import cli
from speechllm.config import ChatConfig, FbankConfig

CTC_BATCH_FRAMES = 30_000  # frames of 10 ms that CTC hears at once, padding included


def get_parser(argv=None):
    parser = cli.config_parser(__doc__, ChatConfig, argv)
    parser.add_argument(
        "tests", nargs="+", help="SET=FILE[,spoken=first|last][,history=drop][,snr=DB]"
    )
    parser.add_argument("--model", required=True, help="experiment folder of a speech LLM")
    parser.add_argument("--llm", default="", help="its LLM, if it is not where it was in training")
    parser.add_argument(
        "--ctc",
        default="",
        help="experiment folder of the cascade's CTC model, or of a speech LLM that has learnt on from one",
    )
    parser.add_argument(
        "--own_ctc", action="store_true", help="also a cascade of the model's own encoder"
    )
    parser.add_argument("--fbank_config", default="", help="YAML of the features")
    parser.add_argument("--out", required=True, help="folder to write below")
    return parser


def parse_test(text: str) -> tuple[str, list, float | None]:
    """Set, dialogues and signal-to-noise ratio of a test.

    Raises:
        UserError: it has another form, or see ``read_dialogues``.
    """
    from speechllm.data.dialogue import read_dialogues, with_spoken, without_history
    from speechllm.errors import UserError

    name, _, rest = text.partition("=")
    path, *changes = rest.split(",")
    options = dict(change.partition("=")[::2] for change in changes)
    spoken, history = options.pop("spoken", "all"), options.pop("history", "keep")
    try:
        snr = float(options.pop("snr")) if "snr" in options else None
    except ValueError:
        snr = math.nan
    known = snr is None or math.isfinite(snr)
    known &= spoken in ("all", "first", "last") and history in ("keep", "drop")
    if not name or "/" in name or name == ".." or not path or options or not known:
        raise UserError(f"{text!r} should be SET=FILE[,spoken=first|last][,history=drop][,snr=DB]")
    dialogues = read_dialogues(path)
    if history == "drop":
        dialogues = [without_history(dialogue) for dialogue in dialogues]
    return name, [with_spoken(dialogue, spoken) for dialogue in dialogues], snr


def load_audio(dialogues: list, fbank: FbankConfig, snr: float | None) -> list[list]:
    """Per dialogue the features (T, F) of its audio parts."""
    import zlib

    import numpy as np

    from speechllm.analysis.distortion import add_noise, white_noise
    from speechllm.data.audio import read_audio
    from speechllm.data.fbank import Fbank

    extract = Fbank(fbank.num_mel_bins, fbank.sample_rate)

    def feats(path: str):
        samples = read_audio(path, fbank.sample_rate, resample=fbank.resample)
        if snr is not None:
            name = path.rpartition("/")[2]
            rng = np.random.default_rng([zlib.crc32(name.encode()), round(snr * 10) + 10_000])
            samples = add_noise(samples, white_noise(len(samples), rng), snr)
        return extract(np.pad(samples, (0, max(0, extract.length - len(samples)))))

    return [[feats(part.audio) for part in dialogue.audio_parts] for dialogue in dialogues]


def transcribe(log_probs_of, units, feats: list, batch_frames: int, device) -> list[str]:
    """CTC's text of features (T, F) each.

    Args:
        log_probs_of: (B, T, F), (B,) to log-probabilities (B, T', V), (B,).
    """
    import numpy as np
    import torch

    from speechllm.data.collate import pad_feats
    from speechllm.data.sampler import batches_in_order
    from speechllm.decode.ctc import ctc_greedy

    texts = [""] * len(feats)
    lens = np.array([len(f) for f in feats], dtype=np.int64)
    for batch in batches_in_order(lens, batch_frames) if feats else []:
        with torch.no_grad():
            log_probs, out_lens = log_probs_of(*pad_feats([feats[i] for i in batch], device))
        for i, hyp in zip(batch, ctc_greedy(log_probs, out_lens), strict=True):
            texts[i] = units.decode(hyp)
    return texts


class Systems:
    """Prompts of dialogues as the systems make them.

    Args:
        model: a SpeechLlm; template: its ``ChatTemplate``.
        max_tokens: of an answer; prompt and answer together must fit into the LLM's context.
    """

    def __init__(self, model, template, max_tokens: int, device):
        self.model, self.template, self.device = model, template, device
        self.max_tokens, self.limit = max_tokens, model.llm.context_len

    def parts_of(self, dialogue) -> list:
        from speechllm.errors import UserError

        try:
            return self.template.parts_of(dialogue.turns)
        except UserError as error:
            raise UserError(f"{dialogue.where}: {error}") from None

    def text_rows(self, dialogues: list):
        """Embeddings (L, H) of dialogues without audio."""
        prompts = [self.parts_of(dialogue) for dialogue in dialogues]
        return self.checked(
            [self.model.llm.embed(ids.to(self.device)) for (ids,) in prompts], dialogues
        )

    def audio_rows(self, dialogues: list, feats: list[list]):
        """Embeddings (L, H) of dialogues with audio, and audio part numbers where attention is not causal."""
        from speechllm.data.collate import pad_feats

        prompts, flat = [], []
        for dialogue, own in zip(dialogues, feats, strict=True):
            parts = self.parts_of(dialogue)
            prompts.append([len(flat) + p if isinstance(p, int) else p for p in parts])
            flat += own
        if not flat:
            return self.text_rows(dialogues), None
        rows, speech = self.model.rows(*pad_feats(flat, self.device), prompts)
        return self.checked(rows, dialogues), speech

    def checked(self, rows: list, dialogues: list) -> list:
        from speechllm.data.dialogue import check_context

        for row, dialogue in zip(rows, dialogues, strict=True):
            check_context(len(row), self.max_tokens, self.limit, dialogue.where)
        return rows


def answer(model, tokenizer, systems, dialogues, feats, heard: dict[str, list], config: ChatConfig):
    """Per system the answers to a batch of dialogues.

    Args:
        feats: per dialogue the features of its audio parts.
        heard: of the systems that read, per dialogue what they read in the place of these parts. "text", where it is
            there, comes first: the others are compared with its answers.
    """
    import torch

    from speechllm.data.dialogue import as_text
    from speechllm.decode.llm import greedy
    from speechllm.score.chat import Answer

    prompts = {}
    for name, words in heard.items():
        replaced = [as_text(d, own) for d, own in zip(dialogues, words, strict=True)]
        prompts[name] = (systems.text_rows(replaced), None)
    prompts["audio"] = systems.audio_rows(dialogues, feats)
    limits, answers, reference, expected = [config.max_tokens] * len(dialogues), {}, None, None
    for name, (rows, speech) in prompts.items():
        hyps = greedy(model.llm, rows, limits, tokenizer.eos_id, speech, config.repetition_penalty)
        texts = [tokenizer.decode(hyp.token_ids).strip() for hyp in hyps]
        if name == "text":
            reference = texts
            targets = [
                torch.tensor(hyp.token_ids + [tokenizer.eos_id] * (hyp.status == "ok"))
                for hyp in hyps
            ]
        log_probs = []
        if reference is not None:
            logits = model.llm.target_logits(rows, targets, speech)
            log_probs = [row.log_softmax(-1) for row in logits]
            expected = log_probs if expected is None else expected
        found = []
        for i, hyp in enumerate(hyps):
            scores = (None, (), ())
            if reference is not None:
                ids = targets[i].to(log_probs[i].device)
                nll = -log_probs[i].gather(1, ids[:, None])[:, 0]
                kl = (expected[i].exp() * (expected[i] - log_probs[i])).sum(-1)
                scores = (reference[i], tuple(nll.tolist()), tuple(kl.tolist()))
            spoken = tuple(part.transcript for part in dialogues[i].audio_parts)
            words = tuple(heard[name][i]) if name in heard else ()
            found.append(Answer(texts[i], hyp.status, *scores, spoken, words))
        answers[name] = found
    return answers


def answer_all(model, tokenizer, systems, dialogues, feats, heard, config: ChatConfig) -> dict:
    """Per system the answers to all dialogues, in batches of similar length; arguments as for ``answer``."""
    import numpy as np
    import torch

    from speechllm.data.sampler import batches_in_order

    sizes = np.array(
        [
            1
            + sum(len(p.text or p.transcript) for turn in d.turns for p in turn.parts) // 2
            + sum(map(len, own)) // 8
            for d, own in zip(dialogues, feats, strict=True)
        ]
    )
    found: dict[str, list] = {}
    with torch.inference_mode():
        for batch in batches_in_order(sizes, config.batch_positions):
            some = {name: [words[i] for i in batch] for name, words in heard.items()}
            chosen = [[dialogues[i] for i in batch], [feats[i] for i in batch], some]
            for name, answers in answer(model, tokenizer, systems, *chosen, config).items():
                found.setdefault(name, [None] * len(dialogues))
                for i, one in zip(batch, answers, strict=True):
                    found[name][i] = one
    return found


def main(argv=None):
    config, args = cli.parse(get_parser(argv), ChatConfig, argv)
    fbank = cli.read_config(FbankConfig, args.fbank_config)
    import shutil
    from pathlib import Path

    from speechllm import load
    from speechllm.bin.recognize import text_side
    from speechllm.data.tokenizer import CtcTokenizer
    from speechllm.errors import UserError
    from speechllm.score.chat import SYSTEMS, write_answers
    from speechllm.train import distributed

    tests = {}
    for test in args.tests:
        name, dialogues, snr = parse_test(test)
        if name in tests:
            raise UserError(
                f"{test!r}: there is a test {name} before it; give each a SET of its own"
            )
        tests[name] = dialogues, snr
    try:
        Path(args.out).mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError):
        raise UserError(f"--out {args.out}: a file is in the way; name a folder") from None
    setup = distributed.init(exact=True)
    model, saved, path = load.load_chat_llm(args.model, args.llm)
    tokenizer, own_units, template = text_side(saved, path)
    cli.check_mel_bins(fbank, saved)
    systems = Systems(model.to(setup.device), template, config.max_tokens, setup.device)
    listeners = {}
    if args.ctc:
        ctc, ctc_path = load.load_ctc_listener(args.ctc)
        units = CtcTokenizer(ctc_path / "units.model")
        listeners["cascade"] = ctc.to(setup.device).log_probs, units
    if args.own_ctc and model.ctc_weight:
        listeners["cascade-llm"] = model.hear, own_units
    elif args.own_ctc:
        print(f"{args.model}: CTC has not learnt on (ctc_weight 0); cascade-llm is left out")
    for name, (dialogues, snr) in tests.items():
        feats, heard = load_audio(dialogues, fbank, snr), {}
        untold = [part.audio for d in dialogues for part in d.audio_parts if not part.transcript]
        if untold:
            left_out = "text, and what is compared with it, is left out"
            print(f"{name}: {untold[0]} has no transcript; {left_out}", flush=True)
        else:
            heard["text"] = [[part.transcript for part in d.audio_parts] for d in dialogues]
        flat = [f for own in feats for f in own]
        for system, listener in listeners.items():
            words = iter(transcribe(*listener, flat, CTC_BATCH_FRAMES, setup.device))
            heard[system] = [[next(words) for _ in own] for own in feats]
        found = answer_all(model, tokenizer, systems, dialogues, feats, heard, config)
        ids = [dialogue.dialogue_id for dialogue in dialogues]
        for system in SYSTEMS:
            if system in found:
                write_answers(Path(args.out) / system / name, ids, found[system])
            else:  # what an older run has left
                shutil.rmtree(Path(args.out) / system / name, ignore_errors=True)
        print(f"{name}: {len(ids)} dialogues", flush=True)


if __name__ == "__main__":
    cli.run(main)
