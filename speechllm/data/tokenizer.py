"""SentencePiece units for CTC, shared by all languages; unit 0 is the blank."""

import io
import re
from collections.abc import Iterable
from pathlib import Path

import sentencepiece

from speechllm.data.tables import atomic_write
from speechllm.errors import UserError

BLANK_ID = 0
MAX_SENTENCES = 2_000_000  # more text does not change the pieces, it only takes memory
CUT = "\t"  # stands in training text where no piece may go on; it is in no piece itself
_HAN = "\u3005-\u3007\u3040-\u30ff\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
_BEFORE = (
    "\u0e40-\u0e44\u0ec0-\u0ec4"  # vowels of Thai and Lao that are written before their consonant
)
_SYLLABLES = (  # a consonant that begins a syllable: of Thai, Lao, Burmese, Khmer with a vowel or sign behind it
    "[\u0e01-\u0e2e][\u0e30-\u0e3a\u0e45\u0e47-\u0e4e]|[\u0e81-\u0eae][\u0eb0-\u0ebc\u0ec8-\u0ece]"
    "|[\u1000-\u102a][\u102b-\u103e]|[\u1780-\u17b3][\u17b6-\u17d3]"
)
_UNSPACED = re.compile(
    rf"(?<=\S)(?=[{_HAN}{_BEFORE}])|(?<=[{_HAN}])(?=\S)|(?<=[^\s{_BEFORE}])(?={_SYLLABLES})"
)


class CtcTokenizer:
    """Text to CTC units and back.

    A unit is a piece of the SentencePiece model plus one. Characters that the model never saw
    become the unit ``unk_id``.

    Raises:
        UserError: the file is missing or is not a SentencePiece model.
    """

    def __init__(self, path: str | Path):
        self.path = str(path)
        if not Path(path).is_file():
            raise UserError(f"{path}: no such tokenizer; has the stage that trains it finished?")
        try:
            self.pieces = sentencepiece.SentencePieceProcessor(model_file=self.path)
        except (RuntimeError, OSError) as error:
            raise UserError(
                f"{path}: not a SentencePiece model; train the tokenizer again"
            ) from error
        self.unk_id = self.pieces.unk_id() + 1
        self.vocab_size = self.pieces.get_piece_size() + 1  # the blank included

    def unit_texts(self) -> list[str]:
        """Pieces of units 1 to vocab_size - 1, as SentencePiece writes them."""
        return [self.pieces.id_to_piece(i) for i in range(self.pieces.get_piece_size())]

    def encode(self, text: str) -> list[int]:
        """Units of a text."""
        return [piece + 1 for piece in self.pieces.encode(text)]

    def decode(self, units: Iterable[int]) -> str:
        """Text of units without blanks; an unknown one is written as U+2047."""
        return self.pieces.decode([int(unit) - 1 for unit in units if unit != BLANK_ID])

    def unknown_characters(self, text: str) -> list[str]:
        """Characters of a text that the model has no piece for, sorted, each once."""
        return sorted(c for c in set(text) if not c.isspace() and self.unk_id in self.encode(c))


def cut_unspaced(text: str) -> str:
    """A text of a script without spaces with ``CUT`` between characters (Han, kana) or about between syllables.

    Where no space ends a piece, whole phrases would become one: nothing that CTC could learn, and far from a token of
    a pretrained LLM.

    >>> cut_unspaced("\u6211\u7684 tea"), cut_unspaced("good tea")
    ('\u6211\\t\u7684 tea', 'good tea')
    """
    return _UNSPACED.sub(CUT, text)


def train(
    texts: Iterable[str], path: str | Path, vocab_size: int, model_type: str = "unigram"
) -> CtcTokenizer:
    """Train a SentencePiece model in which decoding gives back the text, and write it to ``path``.

    In scripts without spaces a piece is a character or (part of) a syllable, see ``cut_unspaced``. The same texts give
    the same model. A text that does not support ``vocab_size`` pieces gets fewer, and a line says so.

    Args:
        texts: one sentence each; of many, every n-th is read.
        vocab_size: pieces, the unknown one included and the blank not.
        model_type: unigram, bpe or char.

    Raises:
        UserError: no text, or more characters than ``vocab_size``.
    """
    texts = [text for text in texts if text.strip()]
    if not texts:
        raise UserError(f"{path}: no text to train the tokenizer on")
    texts = texts[:: -(-len(texts) // MAX_SENTENCES)]
    num_chars = len(set("".join(texts)) - {" "})
    if num_chars + 2 > vocab_size:  # the unknown piece and the mark of a word's beginning
        raise UserError(
            f"vocab_size {vocab_size} is too small: the text has {num_chars} different characters; "
            f"set it to {num_chars + 2} or more"
        )
    data = fit(list(map(cut_unspaced, texts)), vocab_size, model_type)
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    with atomic_write(path, "wb") as file:
        file.write(data)
    tokenizer = CtcTokenizer(path)
    if tokenizer.vocab_size - 1 < vocab_size:
        print(f"{path}: the text supports {tokenizer.vocab_size - 1} pieces, not {vocab_size}")
    return tokenizer


def fit(texts: list[str], vocab_size: int, model_type: str) -> bytes:
    """The serialised SentencePiece model of texts, in which ``CUT`` may stand."""
    model = io.BytesIO()
    try:
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=iter(texts),
            pretokenization_delimiter=CUT if any(CUT in text for text in texts) else "",
            model_writer=model,
            vocab_size=vocab_size,
            model_type=model_type,
            hard_vocab_limit=False,
            character_coverage=1.0,
            normalization_rule_name="identity",
            byte_fallback=False,
            unk_id=0,
            bos_id=-1,
            eos_id=-1,
            pad_id=-1,
            max_sentence_length=1 << 20,  # bytes; the default leaves long sentences out
            num_threads=16,  # fixed, as sums in another order may choose other pieces
            minloglevel=2,
        )
    except RuntimeError as error:
        # bpe has merged all there is before it reached the size; the message holds one that works.
        if match := re.search(r"set it to a value <= (\d+)", str(error)):
            return fit(texts, int(match.group(1)), model_type)
        raise
    return model.getvalue()
