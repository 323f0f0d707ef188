"""The LLM's own tokenizer: text, pieces of CTC and chats to token ids, and back."""

import re
from pathlib import Path

from jinja2 import TemplateError

from speechllm.errors import UserError
from speechllm.models.llm_loading import load_tokenizer

LLAMA2_CHAT_NAME = re.compile(r"llama[-_]?2.*chat", re.IGNORECASE)
# The format of Llama-2-chat, for copies of it that come without a template.
LLAMA2_CHAT = (
    "{% if messages[0]['role'] == 'system' %}{% set rest = messages[1:] %}"
    "{% set system = '<<SYS>>\\n' + messages[0]['content'] | trim + '\\n<</SYS>>\\n\\n' %}"
    "{% else %}{% set rest = messages %}{% set system = '' %}{% endif %}"
    "{% for message in rest %}"
    "{% if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}"
    "{{ raise_exception('turns of user and assistant should take turns') }}{% endif %}"
    "{% set said = (system if loop.index0 == 0 else '') + message['content'] | trim %}"
    "{% if message['role'] == 'user' %}{{ bos_token + '[INST] ' + said + ' [/INST]' }}"
    "{% else %}{{ ' ' + said + ' ' + eos_token }}{% endif %}{% endfor %}"
)


class LlmTokenizer:
    """The LLM's own tokenizer: text to ids without special tokens, ids to text.

    Raises:
        UserError: the folder or name has no tokenizer, or the tokenizer has no end-of-sequence token.
    """

    def __init__(self, name: str):
        self.tokenizer = load_tokenizer(name)
        if self.tokenizer.eos_token_id is None:
            raise UserError(
                f"the tokenizer of {name!r} has no end-of-sequence token; decoding could never stop"
            )
        self.eos_id = self.tokenizer.eos_token_id
        # A tokenizer without a beginning-of-sequence token (Qwen) starts its texts with the end token.
        self.bos_id = (
            self.tokenizer.bos_token_id if self.tokenizer.bos_token_id is not None else self.eos_id
        )
        self.unk_id = self.tokenizer.unk_token_id
        self.name = name
        if self.tokenizer.chat_template is None and LLAMA2_CHAT_NAME.search(Path(name).name):
            self.tokenizer.chat_template = LLAMA2_CHAT

    def render_chat(self, messages: list[dict]) -> str:
        """The text of a dialogue in the LLM's chat template, up to where the assistant begins to answer.

        Args:
            messages: {"role", "content"} each.

        Raises:
            UserError: there is no template, or it does not take such a dialogue.
        """
        if self.tokenizer.chat_template is None:
            raise UserError(
                f"the tokenizer of {self.name!r} has no chat template; choose an LLM that was trained to chat"
            )
        try:
            return self.tokenizer.apply_chat_template(
                messages, tokenize=False, add_generation_prompt=True
            )
        except TemplateError as error:
            raise UserError(
                f"the chat template of {self.name!r} does not take this dialogue: {' '.join(str(error).split())}"
            ) from error

    def encode_after(self, text: str) -> list[int]:
        """Ids of a text that goes on after a word, or after audio, which ends as a word does."""
        word = self.encode("a")
        ids = self.encode("a" + text)
        return ids[len(word) :] if ids[: len(word)] == word else self.encode(text)

    def encode(self, text: str) -> list[int]:
        return self.tokenizer.encode(text, add_special_tokens=False, verbose=False)

    def ids_of_piece(self, piece: str) -> list[int]:
        """Ids of a SentencePiece piece, which may begin in the middle of a word."""
        for spelling in (
            piece,
            piece.replace("\u2581", "\u0120"),
        ):  # byte-level BPE writes a space so
            token_id = self.tokenizer.convert_tokens_to_ids(spelling)
            if token_id is not None and token_id != self.unk_id:
                return [token_id]
        return self.encode(piece.replace("\u2581", " ").strip() or " ") or [self.eos_id]

    def decode(self, token_ids: list[int]) -> str:
        return self.tokenizer.decode(token_ids, skip_special_tokens=True)

    def save(self, folder):
        """Write the tokenizer's files, from which ``LlmTokenizer(folder)`` is the same."""
        self.tokenizer.save_pretrained(folder)

    def __len__(self) -> int:
        return len(self.tokenizer)
