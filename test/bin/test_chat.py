"""How a line of the terminal becomes a turn, and what is answered to it."""

import io

import pytest
import torch
from audio_files import noise, write_audio

from helpers import EOS_ID, tiny_llama, tiny_speech_llm
from speechllm import load
from speechllm.bin import chat as terminal
from speechllm.bin import converse, recognize
from speechllm.bin.chat import Chat, parse_line
from speechllm.config import ChatConfig, FbankConfig
from speechllm.data.dialogue import Dialogue, Part, Turn
from speechllm.data.fbank import Fbank
from speechllm.data.prompts import ChatTemplate
from speechllm.errors import UserError

FBANK, MAX_TOKENS = FbankConfig(num_mel_bins=20), 5
CHARACTERS = "|: abcdefghijklmnopqrstuvwxyz"  # whose ids follow those of special tokens


@pytest.mark.parametrize(
    ("line", "parts"),
    [
        ("who's there? /audiobook /x/audio", ["who's there? /audiobook /x/audio"]),
        ("/ is a slash", ["/ is a slash"]),
        ("/audio a.flac", [("a.flac",)]),
        ("/audio a.flac what was that?", [("a.flac",), "what was that?"]),
        (
            "sum up /audio /audio/a.flac and /audio b.flac",
            ["sum up", ("/audio/a.flac",), "and", ("b.flac",)],
        ),
        ("/audio a.flac /audio b.flac it's over", [("a.flac",), ("b.flac",), "it's over"]),
        (
            """/audio "my cat.flac" and /audio my\\ dog#1.flac""",
            [("my cat.flac",), "and", ("my dog#1.flac",)],
        ),
        (" \n", []),
    ],
)
def test_text_and_audio_come_in_any_order(line, parts):
    expected = [Part(text=p) if isinstance(p, str) else Part(audio=p[0]) for p in parts]
    assert parse_line(line) == tuple(expected)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("/audio", "which file"),
        ("say /audio /audio b.flac", "which file"),
        ("/audio bob's.flac", "/audio bob's.flac: No closing quotation; quote as in a shell"),
        ("/aduio b.flac", "no command '/aduio'; type text, /audio FILE, or both; /new"),
        ("/save", "no command '/save'; type text"),
        ("/audio.wav", "no command '/audio.wav'; type text, /audio FILE"),
        (" /home/x.wav what is that", "no command '/home/x.wav'; type text, /audio FILE"),
        ("/new!", "no command '/new!'; .* /new begins"),
        ("/New2", "no command '/New2'; "),
        ("/new please", "^/new takes nothing behind it; write /new on a line of its own$"),
        ("/quit now", "^/quit takes nothing behind it; write /quit on a line of its own$"),
    ],
)
def test_what_is_no_turn_is_named(line, message):
    with pytest.raises(UserError, match=message):
        parse_line(line)


class Characters:
    """A tokenizer that knows letters."""

    eos_id = EOS_ID

    def encode(self, text):
        return [3 + CHARACTERS.index(c) for c in text]

    def decode(self, token_ids):
        return "".join(CHARACTERS[i - 3] for i in token_ids if 3 <= i < 3 + len(CHARACTERS))


def render(messages):
    return "".join(f"{m['role']}: {m['content']}|" for m in messages) + "assistant:"


@pytest.fixture
def model():
    return tiny_speech_llm(tiny_llama(1, vocab_size=3 + len(CHARACTERS)))


@pytest.fixture
def new_chat(model):
    tokenizer = Characters()
    template = ChatTemplate("{audio}", render, tokenizer.encode, tokenizer.encode)
    extract = Fbank(FBANK.num_mel_bins, FBANK.sample_rate)
    return lambda: Chat(model, tokenizer, template, extract, FBANK.sample_rate, "cpu")


@pytest.fixture
def audio(tmp_path):
    return [str(write_audio(tmp_path / f"{i}.wav", noise(0.5 + i / 4, seed=i))) for i in range(2)]


def ask(chat, *parts):
    return "".join(chat.say(parts, MAX_TOKENS)).strip()


def test_the_terminal_answers_as_converse_does(model, new_chat, audio):
    """Turn by turn from the cache, and every dialogue read anew."""
    chat, turns, dialogues, said = new_chat(), (), [], []
    for parts in (
        (Part(text="who is there"), Part(audio=audio[0])),
        (Part(text="and then"),),
        (Part(audio=audio[1]), Part(text="or"), Part(audio=audio[0])),
    ):
        turns += (Turn("user", parts),)
        dialogues.append(Dialogue(f"d{len(turns)}", turns))
        said.append(ask(chat, *parts))
        turns += (Turn("assistant", (Part(text=said[-1]),)),)
    assert chat.turns == turns and len(set(said)) == 3 and all(said)
    config = ChatConfig(max_tokens=MAX_TOKENS)
    systems = converse.Systems(model, chat.template, MAX_TOKENS, "cpu")
    feats = converse.load_audio(dialogues, FBANK, None)
    found = converse.answer_all(model, chat.tokenizer, systems, dialogues, feats, {}, config)
    assert [answer.text for answer in found["audio"]] == said


def test_a_turn_longer_than_the_context_is_forgotten(model, new_chat, audio):
    chat, other = new_chat(), new_chat()
    first = (Part(text="what is this"), Part(audio=audio[0]))
    assert ask(chat, *first) == ask(other, *first)
    before = chat.turns
    long = (Part(audio=audio[1]), Part(text="on and on " * (model.llm.context_len // 10)))
    with pytest.raises(UserError, match="prompt takes .* has 256; type /new, or say less, or"):
        ask(chat, *long)
    assert chat.turns == before and len(chat.speech) == 1
    last = (Part(text="and this"), Part(audio=audio[1]))
    assert ask(chat, *last) == ask(other, *last)
    assert torch.equal(chat.speech[1], other.speech[1]) and chat.turns == other.turns


def test_a_limit_that_leaves_no_room_for_a_prompt_is_named(model, new_chat):
    context = model.llm.context_len
    (prompt,) = new_chat().template.parts_of((Turn("user", (Part(text="hi"),)),))
    with pytest.raises(UserError) as error:
        list(new_chat().say((Part(text="hi"),), context - 2))
    assert str(error.value) == (
        f"this dialogue: the prompt takes {len(prompt)} positions and the answer up to 254, "
        "the LLM's context has 256; say less, or lower --max_tokens"
    )
    said = "".join(new_chat().say((Part(text="hi"),), context - len(prompt)))
    assert said


def test_an_llm_without_chat_template_is_refused_before_the_first_turn(
    model, new_chat, tmp_path, monkeypatch, capsys
):
    def refuse(messages):
        raise UserError("the tokenizer has no chat template")

    template, saved = new_chat().template, {"num_mel_bins": FBANK.num_mel_bins}
    monkeypatch.setattr(load, "load_chat_llm", lambda *_, **__: (model, saved, tmp_path))
    monkeypatch.setattr(recognize, "text_side", lambda *_: (Characters(), None, template))
    (tmp_path / "fbank.yaml").write_text(f"num_mel_bins: {FBANK.num_mel_bins}\n")
    argv = ["--model", str(tmp_path), "--fbank_config", str(tmp_path / "fbank.yaml")]
    lines = io.StringIO("hi\n")
    monkeypatch.setattr("sys.stdin", lines)
    with monkeypatch.context() as patch, pytest.raises(UserError, match="no chat template"):
        patch.setattr(template, "render", refuse)
        terminal.main(argv)
    assert lines.tell() == 0
    terminal.main(argv)
    assert lines.tell() == 3 and capsys.readouterr().out.strip()
