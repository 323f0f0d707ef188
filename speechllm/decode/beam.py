"""Beam search with an LLM: n-best lists, batched over prompts of different lengths."""

from dataclasses import dataclass, field

import torch
from torch import Tensor

from speechllm.decode.llm import Hypothesis, penalise_repetition


@dataclass
class Beams:
    """What the search holds of one utterance: outputs that go on, and the best that have ended."""

    num_beams: int
    max_tokens: int
    length_penalty: float
    running: list[list[int]] = field(default_factory=lambda: [[]])
    running_scores: list[float] = field(default_factory=list)
    finished: list[tuple[float, Hypothesis]] = field(default_factory=list)

    def advance(self, parents: list[int], tokens: list[int], scores: list[float], eos_id: int):
        """Take the 2K best continuations, best first; what ends among the first K may enter the n-best.

        Returns:
            (parent, token) of the K beams that go on; none when nothing that goes on can enter any more.
        """
        num_tokens = len(self.running[0]) + 1
        at_limit = num_tokens > self.max_tokens
        norm = num_tokens**self.length_penalty
        old, old_scores, going_on = self.running, self.running_scores, []
        self.running, self.running_scores = [], []
        for rank, (parent, token, score) in enumerate(zip(parents, tokens, scores, strict=True)):
            if token == eos_id or at_limit:
                if rank < self.num_beams:
                    ended = Hypothesis(list(old[parent]), score)
                    if token != eos_id:  # the token is one too many
                        ended.score, ended.status = old_scores[parent], "max_length"
                    self.finished.append((score / norm, ended))
            elif len(going_on) < self.num_beams:
                going_on.append((parent, token))
                self.running.append(old[parent] + [token])
                self.running_scores.append(score)
        self.finished.sort(key=lambda item: -item[0])
        del self.finished[self.num_beams :]
        if at_limit or self._is_settled(norm):
            return []
        return going_on

    def _is_settled(self, norm: float) -> bool:
        """Whether the best that goes on, if it ended here at no cost, were worse than all that has ended.

        With a positive length penalty a longer output could still rise above that; as transformers does with
        ``early_stopping=False``, the search takes this for unlikely.
        """
        full = len(self.finished) == self.num_beams
        return full and self.running_scores[0] / norm <= self.finished[-1][0]

    def nbest(self) -> list[Hypothesis]:
        """Best first; outputs cut at the limit can be alike, and then only the first is kept."""
        unique: dict[tuple, Hypothesis] = {}
        for _, hyp in self.finished:
            unique.setdefault(tuple(hyp.token_ids), hyp)
        return list(unique.values())


@torch.inference_mode()
def beam_search(
    llm,
    rows: list[Tensor],
    max_tokens: list[int],
    eos_id: int,
    speech: list[Tensor] | None = None,
    num_beams: int = 4,
    length_penalty: float = 1.0,
    repetition_penalty: float = 1.0,
) -> list[list[Hypothesis]]:
    """The most likely outputs by beam search, as transformers' ``generate(num_beams=...)`` finds them.

    Outputs are ranked by the sum of their log-probabilities over the number of their tokens, the end token among
    them, to the power ``length_penalty``. Prompts are read once, not once per beam, and utterances leave the batch
    as they are settled. With one beam and no repetition penalty it is greedy search; that penalty is put on
    log-probabilities here and on logits there, as transformers has it.

    Args:
        llm: has ``start``, ``step`` and ``select``.
        rows: B prompts (L_b, H).
        max_tokens: per row the greatest number of output tokens, without the end token.
        speech: per row the audio part numbers (L_b,) where attention over audio is not causal.
        repetition_penalty: for tokens of the output itself; log-probabilities are multiplied by it.

    Returns:
        per row up to ``num_beams`` hypotheses, best first; their scores are plain sums.
    """
    search = [Beams(num_beams, limit, length_penalty) for limit in max_tokens]
    logits, state = llm.start(rows, speech)
    device, V = logits.device, logits.size(-1)
    active, width, num_read = list(range(len(rows))), 1, 0
    scores = torch.zeros(len(rows), 1, device=device)
    seen = torch.zeros_like(logits, dtype=torch.bool) if repetition_penalty != 1.0 else None
    for beams in search:
        beams.running_scores = [0.0]
    while active:
        log_probs = logits.log_softmax(-1)
        if seen is not None:
            log_probs = penalise_repetition(log_probs, seen, repetition_penalty)
        total = (log_probs.view(-1, width, V) + scores[:, :, None]).flatten(1)
        best, index = total.topk(min(2 * num_beams, total.size(1)))
        kept, flat, tokens = [], [], []
        lists = zip((index // V).tolist(), (index % V).tolist(), best.tolist(), active, strict=True)
        for i, (parents, next_tokens, sums, b) in enumerate(lists):
            if going_on := search[b].advance(parents, next_tokens, sums, eos_id):
                kept.append(b)
                flat += [i * width + parent for parent, _ in going_on]
                tokens += [token for _, token in going_on]
        if not kept:
            break
        if flat != list(range(len(active) * width)):
            # Beams of one utterance share its prompt: while none leaves, only what follows is moved.
            same_rows = len(kept) == len(active) and len(flat) == len(active) * width
            llm.select(state, torch.tensor(flat, device=device), num_read if same_rows else None)
        active, width = kept, len(flat) // len(kept)
        token_ids = torch.tensor(tokens, device=device)
        if seen is not None:
            seen = seen[torch.tensor(flat, device=device)]
            seen[torch.arange(len(flat), device=device), token_ids] = True
        scores = torch.tensor([search[b].running_scores for b in active], device=device)
        logits, num_read = llm.step(state, token_ids), num_read + 1
    return [beams.nbest() for beams in search]
