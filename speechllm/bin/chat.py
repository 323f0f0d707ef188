"""Talk with a trained speech LLM in a terminal, in text or with audio files.

python -m speechllm.bin.chat --model exp/mini/llm

A line is a turn: text and /audio FILE, as many of them as you like and in any order; a path with spaces is quoted as in
a shell. The LLM remembers the turns before. /new begins a new dialogue, /quit ends.
"""

import re
import sys

from speechllm.bin import cli
from speechllm.config import ChatConfig, DrawConfig, FbankConfig

AUDIO = re.compile(r"(?<!\S)/audio(?!\S)")
COMMAND = re.compile(r"/\S+")  # at the start of a line
ALONE = ("/new", "/quit", "/help")  # commands that are a whole line
HINT = "type text, /audio FILE, or both; /new begins a new dialogue, /quit ends"


def get_parser(argv=None):
    parser = cli.config_parser(__doc__, ChatConfig, argv)
    parser.add_argument("--model", required=True, help="experiment folder of a speech LLM")
    parser.add_argument("--llm", default="", help="its LLM, if it is not where it was in training")
    parser.add_argument("--fbank_config", default="", help="YAML of the features")
    parser.add_argument("--temperature", type=float, default=0.0, help="0: most likely words (0)")
    parser.add_argument("--top_p", type=float, default=1.0, help="of drawn words (1)")
    parser.add_argument("--seed", type=int, default=1, help="of drawn words (1)")
    return parser


class Chat:
    """A dialogue of text and audio turns with a trained model.

    Args:
        model: a SpeechLlm; template: its ``ChatTemplate``.
        extract: samples (N,) to features (T, F).
    """

    def __init__(self, model, tokenizer, template, extract, sample_rate: int, device):
        if model.attention != "causal":
            raise ValueError("a dialogue is read bit by bit, which needs causal attention")
        self.model, self.tokenizer, self.template = model, tokenizer, template
        self.extract, self.sample_rate, self.device = extract, sample_rate, device
        self.begin()

    def begin(self):
        """Forget everything."""
        from speechllm.decode.session import Session

        self.turns, self.speech = (), []
        self.session = Session(self.model.llm, self.tokenizer.eos_id)

    def hear(self, path: str):
        """Speech positions (N, H) of an audio file."""
        import numpy as np
        import torch

        from speechllm.data.audio import read_audio

        samples = read_audio(path, self.sample_rate)
        samples = np.pad(samples, (0, max(0, self.extract.length - len(samples))))
        feats = self.extract(samples)[None].to(self.device)
        speech, lens = self.model.encode(feats, torch.tensor([feats.size(1)], device=self.device))
        return speech[0, : lens[0]]

    def say(self, parts: tuple, max_tokens: int, choose=None, repetition_penalty: float = 1.0):
        """Take a user's turn and give the assistant's answer, piece by piece.

        Args:
            parts: of the turn, see data/dialogue.py.
            max_tokens, choose, repetition_penalty: see ``Session.answer``.

        Raises:
            UserError: audio that cannot be read, a dialogue longer than the LLM's context; the turn is then forgotten.
        """
        import torch
        from torch.nn.utils.rnn import pad_sequence

        from speechllm.data.dialogue import Part, Turn, check_context

        with torch.inference_mode():
            speech = self.speech + [self.hear(part.audio) for part in parts if part.audio]
            turns = (*self.turns, Turn("user", parts))
            prompt = self.template.parts_of(turns)
            lens = [len(positions) for positions in speech]
            padded = self.model.embedding_rms.new_zeros(0, 1, self.model.llm.dim)
            if speech:
                padded = pad_sequence(speech, batch_first=True)
            (row,), _ = self.model.rows_of(padded, torch.tensor(lens).long(), [prompt])
            way_out = "type /new, or say less" if self.turns else "say less"
            context_len = self.model.llm.context_len
            check_context(len(row), max_tokens, context_len, "this dialogue", way_out)
        logits = self.session.prompt(prompt, lens, row)
        ids, shown = [], ""
        for token_id in self.session.answer(logits, max_tokens, choose, repetition_penalty):
            ids.append(token_id)
            text = self.tokenizer.decode(ids).lstrip()
            if text.startswith(shown) and not text.endswith("\ufffd"):  # half a character so far
                yield text[len(shown) :]
                shown = text
        answer = self.tokenizer.decode(ids).strip()
        if len(answer) > len(shown):
            yield answer[len(shown) :]
        self.speech, self.turns = speech, (*turns, Turn("assistant", (Part(text=answer),)))


def parse_line(line: str) -> tuple:
    """Parts of a turn: text and audio in their order.

    Raises:
        UserError: /audio without a file, or with a quote that is not closed; an unknown command, or one that stands
            alone with more behind it.
    """
    import shlex

    from speechllm.data.dialogue import Part
    from speechllm.errors import UserError

    command = COMMAND.match(line.strip())
    word = command[0] if command else ""
    if word in ALONE:
        raise UserError(f"{word} takes nothing behind it; write {word} on a line of its own")
    if word not in ("", "/audio"):
        raise UserError(f"no command {word!r}; {HINT}")
    text, *spoken = AUDIO.split(line)
    parts = [Part(text=text.strip())]
    for rest in spoken:
        words = shlex.shlex(rest, posix=True)
        words.whitespace_split, words.commenters = True, ""
        try:
            path = words.get_token()  # reads no further than the space behind it
        except ValueError as error:
            raise UserError(f"/audio{rest.rstrip()}: {error}; quote as in a shell") from None
        if not path:
            raise UserError("/audio: which file? Write /audio FILE")
        parts += [Part(audio=path), Part(text=words.instream.read().strip())]
    return tuple(part for part in parts if part.text or part.audio)


def main(argv=None):
    config, args = cli.parse(get_parser(argv), ChatConfig, argv)
    draws = DrawConfig(args.temperature, args.top_p)
    cli.check_numbers(draws, "--")
    cli.check_draws(draws)
    fbank = cli.read_config(FbankConfig, args.fbank_config)
    from speechllm import load
    from speechllm.bin.recognize import text_side
    from speechllm.data.fbank import Fbank
    from speechllm.decode.llm import sampler
    from speechllm.errors import UserError
    from speechllm.train import distributed

    device = distributed.init(exact=True).device
    model, saved, path = load.load_chat_llm(args.model, args.llm, bit_by_bit=True)
    cli.check_mel_bins(fbank, saved)
    tokenizer, _, template = text_side(saved, path)
    template.check_takes_audio()
    extract = Fbank(fbank.num_mel_bins, fbank.sample_rate)
    chat = Chat(model.to(device), tokenizer, template, extract, fbank.sample_rate, device)
    choose = sampler([args.seed], draws.temperature, draws.top_p) if draws.temperature else None
    live = sys.stdin.isatty()
    while True:
        if live:
            print("> ", end="", flush=True)
        line = sys.stdin.readline()
        if not line or line.strip() == "/quit":
            return
        if line.strip() == "/new":
            chat.begin()
            continue
        if line.strip() in ("", "/help"):
            print(HINT, file=sys.stderr, flush=True)
            continue
        try:
            parts = parse_line(line)
            for piece in chat.say(parts, config.max_tokens, choose, config.repetition_penalty):
                print(piece, end="", flush=True)
            print(flush=True)
        except UserError as error:
            print(f"error: {error}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    cli.run(main)
