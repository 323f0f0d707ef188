"""N-gram models over words in ARPA files, read by the KenLM that flashlight-text brings along."""

import math
from pathlib import Path

from speechllm.errors import UserError

UNKNOWN = "<unk>"


class ArpaModel:
    """An n-gram model whose states are KenLM's.

    Raises:
        UserError: flashlight-text is not installed; the file is missing, or not in ARPA format.
    """

    def __init__(self, path: str | Path):
        words = read_words(path)
        try:
            from flashlight.lib.text.decoder.kenlm import KenLM
            from flashlight.lib.text.dictionary import Dictionary
        except ImportError as error:
            raise UserError(
                "n-gram models need flashlight-text; pip install -e '.[ngram]' (Python up to 3.12)"
            ) from error
        entries = Dictionary([*words, *({UNKNOWN} - set(words))])
        self.ids = {word: entries.get_index(word) for word in words}
        self.unk_id = entries.get_index(UNKNOWN)
        try:
            self.model = KenLM(str(path), entries)
        except RuntimeError as error:
            reason = " ".join(str(error).split())[-150:]
            raise UserError(
                f"{path}: not an n-gram model in ARPA format ({reason}); name another file"
            ) from error

    def begin(self):
        """The state at a sentence's beginning."""
        return self.model.start(False)

    def score(self, state, word: str):
        """log P(word | state), and the state after it."""
        after, log10 = self.model.score(state, self.ids.get(word, self.unk_id))
        return math.log(10) * log10, after

    def end(self, state) -> float:
        """log P of the sentence's end."""
        return math.log(10) * self.model.finish(state)[1]

    def __contains__(self, word: str) -> bool:
        return word in self.ids


def read_words(path: str | Path) -> list[str]:
    """The words of an ARPA file, in its order.

    Raises:
        UserError: no such file, or not in ARPA format.
    """
    if not Path(path).is_file():
        raise UserError(f"{path}: no such n-gram model; name an ARPA file")
    words, inside = [], False
    try:
        with open(path, encoding="utf-8") as file:
            for line in file:
                fields = line.split()
                if fields[:1] == ["\\1-grams:"]:
                    inside = True
                elif inside and fields and fields[0].startswith("\\"):
                    break
                elif inside and fields:
                    words.append(fields[1])
                elif not inside and fields and fields[0] not in ("\\data\\", "ngram"):
                    break
    except (UnicodeDecodeError, IndexError):
        words = []
    if not words:
        raise UserError(f"{path}: not an n-gram model in ARPA format; name another file")
    return words
