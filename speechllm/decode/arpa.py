"""N-gram models over words: ARPA files in memory, or by KenLM where it is installed."""

import math
from pathlib import Path

from speechllm.errors import UserError

UNKNOWN = "<unk>"
NEVER = -100.0  # log10 of a word that the model has no entry for, not even <unk>
MAX_BYTES = 500_000_000  # of a file that is read into Python's memory
KENLM_HINT = "pip install -e '.[kenlm]' reads it (compiled: cmake and a C++ compiler)"


class ArpaModel:
    """A back-off model as written in an ARPA file; a state is the tuple of the last words.

    Raises:
        UserError: the file is too large for this reader, or is not in ARPA format.
    """

    def __init__(self, path: str | Path):
        if (size := Path(path).stat().st_size) > MAX_BYTES:
            raise UserError(f"{path}: {size / 1e9:.1f} GB are too much without KenLM; {KENLM_HINT}")
        self.log_probs, self.backoffs = read_arpa(path)
        self.log_probs.setdefault((UNKNOWN,), NEVER * math.log(10))
        self.order = max(map(len, self.log_probs))

    def begin(self) -> tuple:
        """The state at a sentence's beginning."""
        return ("<s>",)

    def score(self, state: tuple, word: str) -> tuple[float, tuple]:
        """log P(word | state), and the state after it."""
        known = word if word in self else UNKNOWN
        context, backoff = state, 0.0
        while (*context, known) not in self.log_probs:
            backoff += self.backoffs.get(context, 0.0)
            context = context[1:]
        after = (*state, known)
        return self.log_probs[(*context, known)] + backoff, after[max(0, len(after) - self.order + 1) :]

    def __contains__(self, word: str) -> bool:
        return (word,) in self.log_probs


class KenlmModel:
    """The same behind KenLM's Python module, for models of any size, ARPA or binary."""

    def __init__(self, kenlm, path: str | Path):
        self.new_state = kenlm.State
        try:
            self.model = kenlm.Model(str(path))
        except (OSError, RuntimeError) as error:
            reason = " ".join(str(error).split())[:200]
            raise UserError(
                f"{path}: not an n-gram model in ARPA or KenLM format ({reason}); name another file"
            ) from error

    def begin(self):
        state = self.new_state()
        self.model.BeginSentenceWrite(state)
        return state

    def score(self, state, word: str):
        after = self.new_state()
        return math.log(10) * self.model.BaseScore(state, word, after), after

    def __contains__(self, word: str) -> bool:
        return word in self.model


def load_ngram(path: str | Path) -> ArpaModel | KenlmModel:
    """An n-gram model over words, by KenLM if that is installed.

    Raises:
        UserError: the file is missing, or neither reader can read it.
    """
    if not Path(path).is_file():
        raise UserError(f"{path}: no such n-gram model; name an ARPA or KenLM file")
    try:
        import kenlm
    except ImportError:
        return ArpaModel(path)
    return KenlmModel(kenlm, path)


def read_arpa(path: str | Path) -> tuple[dict[tuple, float], dict[tuple, float]]:
    """Natural log-probabilities and back-off weights by n-gram.

    Raises:
        UserError: not in ARPA format; naming the line.
    """
    log_probs, backoffs, order, ended = {}, {}, 0, False
    try:
        with open(path, encoding="utf-8") as file:
            for number, line in enumerate(file, start=1):
                words = line.split()
                if not words or words[0] == "ngram" or words == ["\\data\\"]:
                    continue
                if words[0].startswith("\\") and words[0].endswith("-grams:"):
                    order = int(words[0][1:-7])
                elif words == ["\\end\\"]:
                    ended = True
                    break
                else:
                    if not 0 <= len(words) - 1 - order <= 1 or order == 0:
                        raise ValueError(f"line {number}: {line.strip()[:40]!r}")
                    gram = tuple(words[1 : order + 1])
                    log_probs[gram] = float(words[0]) * math.log(10)
                    if len(words) == order + 2:
                        backoffs[gram] = float(words[-1]) * math.log(10)
    except ValueError as error:  # UnicodeDecodeError is one
        raise UserError(
            f"{path}: not an n-gram model in ARPA format ({str(error)[:80]}); name another file, or {KENLM_HINT}"
        ) from error
    if not ended or not log_probs:
        raise UserError(f"{path}: not an n-gram model in ARPA format (no \\end\\); name another file")
    return log_probs, backoffs
