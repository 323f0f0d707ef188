"""CTC prefix beam search with an n-gram language model over words, by flashlight-text."""

from itertools import groupby

from torch import Tensor
from torch.nn import functional as F

from speechllm.decode.ctc import BLANK_ID
from speechllm.decode.llm import Hypothesis
from speechllm.errors import UserError

SPACE = "\u2581"  # SentencePiece's mark of a word's beginning
NEVER = (
    -1e4
)  # log-probability of the column that stands for flashlight's silence, which we have none of


class NgramDecoder:
    """CTC prefix beam search (arXiv:1408.2873) in which every finished word is scored by an n-gram model.

    The score of an output is log P_ctc, summed over its alignments, + lm_weight log P_lm + word_score times its
    words + unk_score times those that the LM does not know. Any word can be written.

    Args:
        lm: an n-gram model over words, see ``ArpaModel``; None for none.
        pieces: V texts of the CTC units, as SentencePiece writes them.
        beam_size: prefixes that are kept from frame to frame.
        beam_units: most likely units that are tried in a frame.
        beam_threshold: prefixes this far below the best are dropped.
        nbest: hypotheses returned.
        unspaced: the LM's words are single characters, as for scripts without spaces.

    Raises:
        UserError: flashlight-text is not installed.
    """

    def __init__(
        self,
        lm,
        pieces: list[str],
        lm_weight: float = 0.5,
        word_score: float = 0.0,
        unk_score: float = -10.0,
        beam_size: int = 50,
        beam_units: int = 10,
        beam_threshold: float = 25.0,
        nbest: int = 1,
        unspaced: bool = False,
    ):
        try:
            from flashlight.lib.text import decoder as flashlight
        except ImportError as error:
            raise UserError(
                "decoding with an n-gram LM needs flashlight-text; pip install -e '.[ngram]' "
                "(Python up to 3.12)"
            ) from error
        self.nbest = nbest
        score_word = WordScorer(lm, lm_weight, word_score, unk_score)
        # Kept here, as the decoder itself holds no reference.
        self.lm = unit_lm(flashlight.LM, flashlight.LMState, score_word, pieces, unspaced)
        options = flashlight.LexiconFreeDecoderOptions(
            beam_size=beam_size,
            beam_size_token=min(beam_units, len(pieces)),
            beam_threshold=beam_threshold,
            lm_weight=1.0,
            sil_score=0.0,
            log_add=True,
            criterion_type=flashlight.CriterionType.CTC,
        )
        silence = len(pieces)
        self.decoder = flashlight.LexiconFreeDecoder(options, self.lm, silence, BLANK_ID, [])

    def __call__(self, log_probs: Tensor, lens: Tensor) -> list[list[Hypothesis]]:
        """Up to ``nbest`` hypotheses per utterance, best first; their token_ids are CTC units.

        Args:
            log_probs: (B, T, V).
            lens: (B,).
        """
        padded = F.pad(log_probs.float().cpu(), (0, 1), value=NEVER)
        return [self._decode(row[:n]) for row, n in zip(padded, lens.tolist(), strict=True)]

    def _decode(self, emissions: Tensor) -> list[Hypothesis]:
        emissions = emissions.contiguous()
        results = self.decoder.decode(emissions.data_ptr(), *emissions.shape)
        hyps = []
        for result in results[: self.nbest]:
            frames = result.tokens[1:-1]  # between flashlight's marks of beginning and end
            units = [unit for unit, _ in groupby(frames) if unit != BLANK_ID]
            hyps.append(Hypothesis(units, result.score))
        return hyps


class WordScorer:
    """Weighted log-probability of a word after a state of the LM."""

    def __init__(self, lm, lm_weight: float, word_score: float, unk_score: float):
        self.lm = lm
        self.lm_weight, self.word_score, self.unk_score = lm_weight, word_score, unk_score

    def begin(self):
        """The state at a sentence's beginning."""
        return None if self.lm is None else self.lm.begin()

    def __call__(self, state, word: str):
        """The state after one more word, and its score."""
        if self.lm is None:
            return state, self.word_score
        log_prob, after = self.lm.score(state, word)
        score = self.lm_weight * log_prob + self.word_score
        return after, score if word in self.lm else score + self.unk_score

    def end(self, state) -> float:
        """Score of the sentence's end."""
        return 0.0 if self.lm is None else self.lm_weight * self.lm.end(state)


def unit_lm(base: type, new_state: type, score_word: WordScorer, pieces: list[str], unspaced: bool):
    """A language model for flashlight, over units: a word is scored when it is known to be complete."""

    class UnitLm(base):
        def start(self, start_with_nothing):
            root = new_state()
            self.read = {root: (score_word.begin(), "", 0.0)}  # state: LM state, open word, score
            return root

        def score(self, state, unit):
            after = state.child(unit)
            if after not in self.read:
                self.read[after] = self.extend(*self.read[state][:2], pieces[unit])
            return after, self.read[after][2]

        def extend(self, lm_state, word, piece):
            total = 0.0
            for i, part in enumerate(piece.split(SPACE)):
                if i and word:
                    lm_state, score = score_word(lm_state, word)
                    total, word = total + score, ""
                word += part
                while unspaced and word:
                    lm_state, score = score_word(lm_state, word[0])
                    total, word = total + score, word[1:]
            return lm_state, word, total

        def finish(self, state):
            lm_state, _, total = self.extend(*self.read[state][:2], SPACE)
            return state, total + score_word.end(lm_state)

    return UnitLm()
