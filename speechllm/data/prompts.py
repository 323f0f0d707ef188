"""Prompt templates: a line of text with marks for the audio and the special tokens."""

import re
from collections.abc import Callable

import torch

from speechllm.data.dialogue import Part, Turn, prompt_parts
from speechllm.data.rows import Row
from speechllm.errors import UserError

MARKS = re.compile(r"\{([a-z_]+)\}")
LANGUAGES = {
    "ar": "Arabic",
    "ca": "Catalan",
    "cy": "Welsh",
    "de": "German",
    "en": "English",
    "es": "Spanish",
    "et": "Estonian",
    "fa": "Persian",
    "fr": "French",
    "id": "Indonesian",
    "it": "Italian",
    "ja": "Japanese",
    "lv": "Latvian",
    "mb": "Mboshi",
    "mn": "Mongolian",
    "nl": "Dutch",
    "pl": "Polish",
    "pt": "Portuguese",
    "ru": "Russian",
    "sl": "Slovenian",
    "sv-SE": "Swedish",
    "ta": "Tamil",
    "tr": "Turkish",
    "zh-CN": "Chinese",
}
TASKS = ("text", "transcript", "chain")
THEN = "=>"  # between transcript and text in the output of a chain


def prompt_values(row: Row) -> dict[str, str]:
    """What the marks stand for in an utterance: its language as a code and as a word, and its line of utt2prompt."""
    values = {"lang": row.lang, "language": LANGUAGES.get(row.lang, row.lang)}
    return values if row.prompt is None else values | {"prompt": row.prompt}


def wanted_text(row: Row, task: str) -> str:
    """What a task wants to be written: the text, the transcript, or the one after the other."""
    return {
        "text": row.text,
        "transcript": row.transcript,
        "chain": f"{row.transcript} {THEN} {row.text}",
    }[task]


def split_chain(output: str) -> tuple[str, str]:
    """Transcript and text of the output of a chain; all of it is transcript where no text has followed."""
    transcript, _, text = output.partition(THEN)
    return transcript.strip(), text.strip()


class PromptTemplate:
    """Turn a template such as ``"{audio}{bos}"`` into the parts of a prompt.

    ``{audio}`` is the utterance's audio, ``{bos}`` and ``{eos}`` the LLM's special tokens; any other mark is
    filled from the utterance, see ``prompt_values``: ``"{bos}Transcribe the {language} speech: {audio}"``. Text
    between the audio and the special tokens is tokenised by itself, never searched for.

    Args:
        template: the text with its marks.
        encode: text to token ids, without special tokens.
        bos_id, eos_id: the special tokens.

    Raises:
        UserError: the template does not have exactly one ``{audio}``.
    """

    def __init__(self, template: str, encode: Callable[[str], list[int]], bos_id: int, eos_id: int):
        if template.count("{audio}") != 1:
            raise UserError(f"prompt {template!r} must have {{audio}} exactly once")
        self.template, self.encode = template, encode
        self.special = {"bos": bos_id, "eos": eos_id}

    def parts(self, row: Row) -> list:
        """Parts of an utterance's prompt: LongTensors of token ids, and 0 for the audio.

        Raises:
            UserError: a mark that the utterance has nothing for.
        """
        return self._filled(row)

    def text_parts(self, row: Row, text: str | None = None) -> list:
        """The same with a text in place of the audio, the transcript if none is given: one LongTensor."""
        return self._filled(row, row.transcript if text is None else text)

    def _filled(self, row: Row, heard: str | None = None) -> list:
        parts, ids, text, at, values = [], [], "", 0, prompt_values(row)
        for mark in MARKS.finditer(self.template):
            text += self.template[at : mark.start()]
            at, name = mark.end(), mark.group(1)
            if name in values:
                text += values[name]
                continue
            ids += self.encode(text) if text else []
            text = ""
            if name in self.special:
                ids.append(self.special[name])
            elif name == "audio" and heard is not None:
                ids += self.encode(heard) if heard else []
            elif name == "audio":
                parts += [torch.tensor(ids), 0] if ids else [0]
                ids = []
            else:
                known = ", ".join(f"{{{m}}}" for m in ("audio", *self.special, *values))
                hint = "; write utt2prompt and run compile_manifest again" * (name == "prompt")
                raise UserError(
                    f"prompt {self.template!r}: {row.utt_id} has nothing for {{{name}}}, only {known}{hint}"
                )
        text += self.template[at:]
        ids += self.encode(text) if text else []
        return parts + [torch.tensor(ids)] if ids else parts


class ChatTemplate:
    """Turn an utterance into a prompt in the LLM's own chat format: what a user says, in audio or as text.

    ``template`` is the user's turn with the marks of ``PromptTemplate`` but for the special tokens, which are the chat
    format's business; an utterance without utt2prompt has nothing for ``{prompt}``: ``"{prompt} {audio}"``.

    Args:
        template: the text with its marks.
        render, encode, encode_after: see data/dialogue.py.
        system: what stands before all turns, "" for nothing.

    Raises:
        UserError: the template does not have exactly one ``{audio}``.
    """

    def __init__(
        self,
        template: str,
        render: Callable[[list[dict]], str],
        encode: Callable[[str], list[int]],
        encode_after: Callable[[str], list[int]],
        system: str = "",
    ):
        if template.count("{audio}") != 1:
            raise UserError(f"prompt {template!r} must have {{audio}} exactly once")
        self.template, self.system = template, system
        self.render, self.encode, self.encode_after = render, encode, encode_after

    def parts(self, row: Row) -> list:
        """Parts of an utterance's prompt: LongTensors of token ids, and 0 for the audio."""
        return self.parts_of(self.turns(row))

    def text_parts(self, row: Row, text: str | None = None) -> list:
        """The same with a text in place of the audio, the transcript if none is given: one LongTensor."""
        return self.parts_of(self.turns(row, row.transcript if text is None else text))

    def parts_of(self, turns: tuple[Turn, ...]) -> list:
        """Parts of a dialogue's prompt, see ``prompt_parts``; ``system`` stands first unless a turn of it does."""
        if self.system and turns[0].role != "system":
            turns = (Turn("system", (Part(text=self.system),)), *turns)
        return prompt_parts(turns, self.render, self.encode, self.encode_after)

    def check_takes_audio(self):
        """Lay out a turn of audio, before there is any.

        Raises:
            UserError: the LLM has no chat template, or one that refuses ``system`` or loses what a user says.
        """
        self.parts_of((Turn("user", (Part(audio="audio"),)),))

    def turns(self, row: Row, text: str | None = None) -> tuple[Turn, ...]:
        """The dialogue in which an utterance is the user's only turn, in audio unless a text is given."""
        values = {"prompt": ""} | prompt_values(row)

        def filled(part: str) -> str:
            for mark in MARKS.findall(part):
                if mark not in values:
                    known = ", ".join(f"{{{m}}}" for m in ("audio", *values))
                    raise UserError(
                        f"prompt {self.template!r}: {row.utt_id} has nothing for {{{mark}}}, only {known}"
                    )
            return " ".join(MARKS.sub(lambda mark: values[mark.group(1)], part).split())

        before, after = map(filled, self.template.split("{audio}"))
        said = Part(audio=row.utt_id) if text is None else Part(text=text)
        return (Turn("user", (Part(text=before), said, Part(text=after))),)
