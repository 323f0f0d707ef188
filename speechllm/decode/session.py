"""A dialogue whose history stays in the LLM's KV cache: only what is new is read."""

from collections.abc import Iterator

import torch
from torch import Tensor

from speechllm.decode.llm import penalise_repetition


class Session:
    """One dialogue with an LLM, turn by turn.

    Args:
        llm: has ``empty_state``, ``read_embeddings``, ``forget``, ``can_forget``, ``step`` and ``logits``.
        eos_id: the token that ends an answer.
    """

    def __init__(self, llm, eos_id: int):
        self.llm, self.eos_id = llm, eos_id
        self.read: list = []  # what the cache holds: token ids, and (audio part, position in it)
        self.state = None
        self.num_computed = 0  # positions that went through the LLM when the last prompt was read

    @torch.inference_mode()
    def prompt(self, parts: list, audio_lens: list[int], row: Tensor) -> Tensor:
        """Read a whole prompt, of which the beginning is mostly known; logits (1, V) for the answer's first token.

        Args:
            parts: LongTensors of token ids and numbers of audio parts, see data/dialogue.py.
            audio_lens: positions of each audio part.
            row: (L, H) embeddings of all of it.
        """
        wanted = []
        for part in parts:
            if isinstance(part, int):
                wanted += [(part, n) for n in range(audio_lens[part])]
            else:
                wanted += part.tolist()
        same = 0
        for have, want in zip(
            self.read, wanted[:-1], strict=False
        ):  # the last one must be read now
            if have != want:
                break
            same += 1
        if self.state is None or (same < len(self.read) and not self.llm.can_forget):
            self.state, same = self.llm.empty_state(), 0
        elif same < len(self.read):
            self.llm.forget(self.state, [len(self.read) - same], [0])
        hidden = self.llm.read_embeddings(self.state, row[None, same:])
        self.read, self.num_computed = wanted, len(wanted) - same
        return self.llm.logits(hidden[:, -1])

    @torch.inference_mode()
    def answer(
        self, logits: Tensor, max_tokens: int, choose=None, repetition_penalty: float = 1.0
    ) -> Iterator[int]:
        """Token ids of the answer as they come, until its end or the limit.

        Args:
            choose: from log-probabilities (1, V) and [0] to a token (1,); by default the most likely one.
            repetition_penalty: for tokens of this answer, see ``penalise_repetition``.
        """
        seen = torch.zeros_like(logits, dtype=torch.bool)
        for _ in range(max_tokens):
            if repetition_penalty != 1.0:
                logits = penalise_repetition(logits, seen, repetition_penalty)
            token = logits.argmax(-1) if choose is None else choose(logits.log_softmax(-1), [0])
            if token.item() == self.eos_id:
                return
            yield token.item()
            seen[0, token] = True
            logits = self.llm.step(self.state, token)
            self.read.append(token.item())
