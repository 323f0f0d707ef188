"""Greedy search that checks a draft of the output instead of writing it token by token."""

from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from speechllm.decode.llm import Hypothesis
from speechllm.errors import UserError

CHUNK = 1024  # positions whose logits are computed at once
# After the first pass, so many draft tokens of all rows together, and at least so many of each, are checked at once:
# to compute more is dearer than another pass, as about one in ten is wrong and what follows it is checked in vain.
GUESSES, MIN_GUESS = 128, 8


@dataclass
class DraftStats:
    """How much a draft helped: its tokens that came to stand in the output, and the passes through the LLM.

    num_tokens counts what the search had to find, the end token included; greedy search takes as many passes.
    """

    draft_len: int = 0
    num_accepted: int = 0
    num_passes: int = 0
    num_tokens: int = 0


def describe(stats: list[DraftStats]) -> str:
    """One line for the log."""
    drafted, accepted, passes, tokens = (
        sum(getattr(s, name) for s in stats)
        for name in ("draft_len", "num_accepted", "num_passes", "num_tokens")
    )
    return (
        f"drafts: {100 * accepted / max(1, drafted):.1f} % of {drafted} draft tokens accepted, "
        f"{passes / max(1, len(stats)):.2f} LLM passes per utterance "
        f"instead of {tokens / max(1, len(stats)):.2f}"
    )


class Draft:
    """A draft, and where in it an output stands that does not agree with it everywhere.

    The place is the end of the draft's beginning with the least edit distance to the output so far. Of several,
    one that ends in the output's last token is best, and else the latest: wrong tokens are more often replaced
    than left out.

    Attributes:
        num_agreed: so many tokens of the output were a beginning of the draft.
    """

    def __init__(self, token_ids: list[int]):
        self.token_ids = np.array(token_ids, dtype=np.int64)
        self.at = np.arange(len(token_ids) + 1)
        self.num_agreed, self.last = 0, None
        self.distances = None  # of the output to the first j tokens, once it has left the draft

    def write(self, token: int):
        """The output has one more token."""
        self.last = token
        if self.distances is None:
            at = self.num_agreed
            if at < len(self.token_ids) and self.token_ids[at] == token:
                self.num_agreed += 1
                return
            self.distances = abs(self.at - at)
        new = self.distances + 1
        np.minimum(new[1:], self.distances[:-1] + (self.token_ids != token), out=new[1:])
        self.distances = np.minimum.accumulate(new - self.at) + self.at

    @property
    def position(self) -> int:
        if self.distances is None:
            return self.num_agreed
        nearest = self.distances == self.distances.min()
        both = nearest[1:] & (self.token_ids == self.last)
        return int(np.flatnonzero(both)[-1]) + 1 if both.any() else int(np.flatnonzero(nearest)[-1])

    def rest(self) -> list[int]:
        """What the draft says comes next."""
        return self.token_ids[self.position :].tolist()


@dataclass
class Speculation:
    """One utterance on its way: the output so far, its draft, and what is being checked."""

    draft: Draft
    max_tokens: int
    eos_id: int
    hyp: Hypothesis = field(default_factory=Hypothesis)
    stats: DraftStats = field(default_factory=DraftStats)
    guess: list[int] = field(default_factory=list)
    done: bool = False

    def __post_init__(self):
        self.stats.draft_len = len(self.draft.token_ids)
        self.guess = self.draft.rest()[: self.max_tokens]

    def accept(self, tokens: list[int], scores: list[float]) -> int:
        """Take over the LLM's choices after the output and after each token of the guess.

        They hold up to and including the first that is not what the guess says.

        Returns:
            how many tokens of the guess stand in the output now.
        """
        self.stats.num_passes += 1
        agreed = 0
        for i, (token, score) in enumerate(zip(tokens, scores, strict=True)):
            self.stats.num_tokens += 1
            if token == self.eos_id:
                self.hyp.score += score
                self.done = True
                break
            if len(self.hyp.token_ids) == self.max_tokens:
                self.hyp.status, self.done = "max_length", True
                break
            self.hyp.token_ids.append(token)
            self.hyp.score += score
            self.draft.write(token)
            if i == len(self.guess) or token != self.guess[i]:
                break
            agreed += 1
        self.stats.num_accepted += agreed
        return agreed

    def guess_on(self, most: int):
        """Take the next tokens to check, so many at most, from the draft."""
        left = self.max_tokens - len(self.hyp.token_ids)
        self.guess = self.draft.rest()[: min(left, most)]


@torch.inference_mode()
def speculative_greedy(
    llm,
    rows: list[Tensor],
    drafts: list[list[int]],
    max_tokens: list[int],
    eos_id: int,
    speech: list[Tensor] | None = None,
    repetition_penalty: float = 1.0,
) -> tuple[list[Hypothesis], list[DraftStats]]:
    """The output of greedy search, in fewer passes where drafts of it are good (after arXiv:2211.17192).

    The LLM reads a prompt with its whole draft at once. What it would have written itself after each token shows
    how far the draft is right, and what stands there instead; from there on the draft's rest is read in the next
    pass, and so on. A pass adds at least the token that greedy search would have added.

    Args:
        llm: has ``read_prompts``, ``read_tokens``, ``forget``, ``logits`` and ``select``.
        rows: B prompts (L_b, H).
        drafts: per row the token ids of a likely output, such as the text of CTC; may be empty.
        max_tokens: per row the greatest number of output tokens, without the end token.
        speech: per row the audio part numbers (L_b,) where attention over audio is not causal.

    Raises:
        UserError: there is a repetition penalty, or the LLM's cache cannot take back what it has read.
    """
    if repetition_penalty != 1.0:
        raise UserError(
            f"repetition_penalty {repetition_penalty} does not go with drafts: it changes with every token; "
            "set it to 1, or decode without drafts"
        )
    if not llm.can_forget:
        raise UserError(
            f"drafts need an LLM that can take back tokens; a {llm.config.model_type} with a sliding window or "
            "a recurrent state cannot: decode without drafts"
        )
    search = [
        Speculation(Draft(draft), limit, eos_id)
        for draft, limit in zip(drafts, max_tokens, strict=True)
    ]
    active = search
    num_read = [len(s.guess) for s in active]
    hidden, state = llm.read_prompts(rows, speech, [s.guess for s in active])
    while True:
        guessed = [len(s.guess) for s in active]
        choices = best_tokens(llm, [h[: n + 1] for h, n in zip(hidden, guessed, strict=True)])
        agreed = [s.accept(*choice) for s, choice in zip(active, choices, strict=True)]
        keep = [i for i, s in enumerate(active) if not s.done]
        if not keep:
            return [s.hyp for s in search], [s.stats for s in search]
        wrong = [n - right for n, right in zip(guessed, agreed, strict=True)]
        llm.forget(
            state,
            num_read,
            [0 if s.done else n - w for s, n, w in zip(active, num_read, wrong, strict=True)],
        )
        if len(keep) < len(active):
            llm.select(state, torch.tensor(keep, device=hidden.device))
            active = [active[i] for i in keep]
        for s in active:
            s.guess_on(max(MIN_GUESS, GUESSES // len(active)))
        tokens = [[s.hyp.token_ids[-1], *s.guess] for s in active]
        num_read = list(map(len, tokens))
        hidden = llm.read_tokens(state, tokens)


def best_tokens(llm, hidden: list[Tensor]) -> list[tuple[list[int], list[float]]]:
    """Per row (N_b, H) the most likely token at each position, and its log-probability."""
    parts = [llm.logits(part).log_softmax(-1).max(-1) for part in torch.cat(hidden).split(CHUNK)]
    lens = list(map(len, hidden))
    tokens = torch.cat([part.indices for part in parts]).split(lens)
    scores = torch.cat([part.values for part in parts]).split(lens)
    return [(t.tolist(), s.tolist()) for t, s in zip(tokens, scores, strict=True)]
