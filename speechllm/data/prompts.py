"""Prompt templates: a line of text with marks for the audio and the special tokens."""

import re
from collections.abc import Callable

import torch

from speechllm.errors import UserError

MARKS = re.compile(r"\{(audio|bos|eos|[a-z_]+)\}")


class PromptTemplate:
    """Turn a template such as ``"{audio}{bos}"`` into the parts of a prompt.

    ``{audio}`` is the utterance's audio, ``{bos}`` and ``{eos}`` the LLM's special tokens; any other mark is
    filled from the values given to ``parts``. Text between marks is tokenised piece by piece, never searched for.

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

    def parts(self, values: dict[str, str] | None = None) -> list:
        """Parts of one prompt: LongTensors of token ids, and 0 for the audio."""
        parts, ids, at = [], [], 0

        def flush():
            if ids:
                parts.append(torch.tensor(ids))
                ids.clear()

        for mark in MARKS.finditer(self.template):
            ids += self.encode(self.template[at : mark.start()]) if mark.start() > at else []
            at, name = mark.end(), mark.group(1)
            if name == "audio":
                flush()
                parts.append(0)
            elif name in self.special:
                ids.append(self.special[name])
            elif name in (values or {}):
                ids += self.encode(values[name])
            else:
                raise UserError(f"prompt {self.template!r}: nothing to put for {{{name}}}")
        ids += self.encode(self.template[at:]) if at < len(self.template) else []
        flush()
        return parts
