"""Hugging Face causal language models behind a narrow interface: embed, hidden states, logits, cached steps.

What an LLM of transformers computes is known here alone. ``llm_loading`` opens one by name, ``adapters`` puts peft's
adapters into it, ``kv_cache`` holds what it has read, and ``mask_support`` knows which ones follow a 4-D mask.
"""

from collections.abc import Callable
from functools import cached_property

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from speechllm.models.kv_cache import DecodeState, can_forget, empty_cache
from speechllm.models.lengths import lens_to_mask
from speechllm.models.mask_support import why_no_4d_mask
from speechllm.models.masks import pad_tokens, prefix_mask, read_mask, span_mask

LOGITS_AT_ONCE = 1 << 24  # elements, 64 MB in float32, that a loss holds


class Llm(nn.Module):
    """A causal LM whose inputs are embeddings; all its weights frozen until an adapter is added.

    Args:
        model: a transformers model with a language-model head.
    """

    def __init__(self, model: nn.Module):
        super().__init__()
        self.model = model.requires_grad_(False)
        self.config = model.config
        self.dim = model.get_input_embeddings().weight.shape[1]
        self.finetuned = self.checkpointing = False

    @cached_property
    def why_no_4d_mask(self) -> str:
        """What keeps this LLM from following a 4-D mask; "" if nothing is known to."""
        return why_no_4d_mask(self.config, getattr(self.config, "_attn_implementation", "eager"))

    def finetune_all(self):
        """Make every weight trainable."""
        self.finetuned = True
        self.model.requires_grad_(True)

    def train(self, mode: bool = True):
        """Frozen weights stay in eval mode; only the dropout of adapters follows ``mode``."""
        super().train(mode and self.finetuned)
        for name, module in self.model.named_modules():
            if "lora_dropout" in name:
                module.train(mode)
        if self.checkpointing:  # transformers recomputes only in layers that "train"
            for layer in self.decoder_layers():
                layer.training = mode
        self.training = mode
        return self

    def enable_activation_checkpointing(self):
        """Recompute the layers' activations in the backward pass."""
        self.model.gradient_checkpointing_enable({"use_reentrant": False})
        self.checkpointing = True

    def decoder_layers(self) -> list[nn.Module]:
        """The repeated blocks, for sharding one by one."""
        lists = [m for m in self.model.modules() if isinstance(m, nn.ModuleList)]
        return list(max(lists, key=len))

    def embed(self, token_ids: Tensor) -> Tensor:
        """Map ids (...) to embeddings (..., H)."""
        return self.model.get_input_embeddings()(token_ids)

    def embedding_rms(self) -> Tensor:
        """Root mean square of the token embeddings: ()."""
        weight = self.model.get_input_embeddings().weight.detach()
        return torch.linalg.vector_norm(weight, dtype=torch.float32) / weight.numel() ** 0.5

    def hidden(
        self,
        inputs: Tensor,
        mask: Tensor | None = None,
        positions: Tensor | None = None,
        cache=None,
    ) -> Tensor:
        """Map embeddings (B, L, H) to the last hidden states (B, L, H).

        Args:
            mask: None where every row is real from its first position on (right padding needs no mask under causal
                attention: nothing real looks right); (B, P) with a cache of P - L columns; or (B, 1, L, L) boolean.
            positions: (B, L) position ids, by default 0 to L - 1.
        """
        if mask is not None and mask.dim() == 4:
            mask = torch.zeros(mask.shape, dtype=inputs.dtype, device=mask.device).masked_fill_(
                ~mask, torch.finfo(inputs.dtype).min
            )  # the one form that every attention implementation reads alike
            if positions is None:  # OPT would count them in the mask
                positions = torch.arange(inputs.size(1), device=inputs.device)[None]
        kwargs = {} if self.config.model_type == "bloom" else {"position_ids": positions}
        out = self.model.base_model(
            inputs_embeds=inputs,
            attention_mask=mask,
            past_key_values=cache,
            use_cache=cache is not None,
            **kwargs,
        )
        return out.last_hidden_state

    def logits(self, hidden: Tensor) -> Tensor:
        """Map hidden states (..., H) to logits (..., V) in float32."""
        logits = self.model.get_output_embeddings()(hidden).float()
        if scale := getattr(self.config, "logits_scaling", None):  # Granite
            logits = logits / scale
        if scale := getattr(self.config, "logit_scale", None):  # Cohere
            logits = logits * scale
        if cap := getattr(self.config, "final_logit_softcapping", None):  # Gemma 2
            logits = cap * torch.tanh(logits / cap)
        return logits

    def loss(self, hidden: Tensor, labels: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Sum of the cross-entropies at labelled positions, their number, and how many are predicted right.

        Logits are computed only where there is a label.

        Args:
            hidden: (B, L, H).
            labels: (B, L), negative where nothing is to be predicted.
        """

        def score(logits: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
            correct = (logits.detach().argmax(-1) == labels).sum()
            return F.cross_entropy(logits, labels, reduction="sum"), correct

        labelled = labels >= 0
        loss, correct = self.sums_over_logits(score, hidden[labelled], labels[labelled])
        return loss, labelled.sum(), correct

    @property
    def positions_at_once(self) -> int:
        """Positions whose logits a loss holds at once."""
        return max(1, LOGITS_AT_ONCE // self.model.get_output_embeddings().weight.size(0))

    def sums_over_logits(
        self, score: Callable[..., tuple[Tensor, ...]], hidden: Tensor, *given: Tensor
    ) -> tuple[Tensor, ...]:
        """Sums over M positions of what is computed from their logits.

        Where logits are many, they come in parts that the backward pass computes again: with a vocabulary of 150,000
        they would be most of the memory of a training step.

        Args:
            score: logits (m, V) of some of the positions, and what is given for them, to their sums: () each.
            hidden: (M, H).
            given: (M, ...) each.
        """

        def score_part(hidden: Tensor, *given: Tensor) -> tuple[Tensor, ...]:
            return score(self.logits(hidden), *given)

        if len(hidden) <= self.positions_at_once:
            return score_part(hidden, *given)
        parts = zip(
            *(values.split(self.positions_at_once) for values in (hidden, *given)), strict=True
        )
        found = [checkpoint(score_part, *part, use_reentrant=False) for part in parts]
        return tuple(torch.stack(values).sum() for values in zip(*found, strict=True))

    @property
    def context_len(self) -> int | None:
        """Positions that the LLM was made for; None where it sets no limit."""
        return getattr(self.config, "max_position_embeddings", None)

    def target_logits(
        self, rows: list[Tensor], targets: list[Tensor], speech: list[Tensor] | None = None
    ) -> list[Tensor]:
        """Logits (U_b, V) with which each token of a target is predicted after its prompt.

        Args:
            rows: B embeddings (L_b, H) of prompts.
            targets: per row token ids (U_b,).
            speech: as in ``read_prompts``.
        """
        joined = [
            torch.cat([row, self.embed(target[:-1].to(row.device))])
            for row, target in zip(rows, targets, strict=True)
        ]
        inputs = torch.nn.utils.rnn.pad_sequence(joined, batch_first=True)
        mask = None
        if speech is not None:
            L = inputs.size(1)
            spans = torch.stack([F.pad(span, (0, L - len(span))) for span in speech])
            lens = torch.tensor([len(row) for row in joined], device=inputs.device)
            mask = prefix_mask(lens, spans.to(inputs.device))
        hidden = self.hidden(inputs, mask)
        return [
            self.logits(h[len(row) - 1 : len(row) - 1 + len(target)])
            for h, row, target in zip(hidden, rows, targets, strict=True)
        ]

    def empty_state(self) -> DecodeState:
        """The state of one row that has read nothing."""
        device = self.model.get_input_embeddings().weight.device
        mask = torch.ones(1, 0, dtype=torch.bool, device=device)
        return DecodeState(empty_cache(self.config), mask, mask.new_zeros(1).long())

    def read_embeddings(self, state: DecodeState, inputs: Tensor) -> Tensor:
        """Read (1, L, H) after what the one row of a state has read; hidden states (1, L, H)."""
        L = inputs.size(1)
        at = torch.arange(L, device=inputs.device)
        state.mask = torch.cat([state.mask, state.mask.new_ones(1, L)], 1)
        hidden = self.hidden(inputs, state.mask, state.positions[:, None] + at, state.cache)
        state.positions = state.positions + L
        return hidden

    def read_prompts(
        self,
        rows: list[Tensor],
        speech: list[Tensor] | None = None,
        drafts: list[list[int]] | None = None,
    ) -> tuple[Tensor, DecodeState]:
        """Read prompts, padded on the left, and drafts of what may follow them, padded on the right.

        Args:
            rows: B embeddings (L_b, H).
            speech: for non-causal attention over audio parts, per row (L_b,) as in ``prefix_mask``.
            drafts: per row token ids.

        Returns:
            hidden (B, 1 + D, H): after a prompt's last position, and after each of the longest draft's D tokens; and
            the state that ``read_tokens`` continues.
        """
        device = rows[0].device
        lens = torch.tensor([len(row) for row in rows], device=device)
        L = int(lens.max())
        inputs = torch.stack([F.pad(row, (0, 0, L - len(row), 0)) for row in rows])
        mask = lens_to_mask(lens, L).flip(1)
        D = 0
        if drafts is not None and (D := max(map(len, drafts))):
            token_ids, draft_lens = pad_tokens(drafts, device)
            inputs = torch.cat([inputs, self.embed(token_ids)], 1)
            mask = torch.cat([mask, lens_to_mask(draft_lens, D)], 1)
            lens = lens + draft_lens
        positions = (mask.cumsum(1) - 1).clamp(min=0)
        allowed = mask
        if speech is not None:
            spans = [F.pad(span, (L - len(span), D)) for span in speech]
            allowed = span_mask(mask, torch.stack(spans).to(device))
        cache = empty_cache(self.config)
        hidden = self.hidden(inputs, allowed, positions, cache)
        return hidden[:, L - 1 :], DecodeState(cache, mask, lens)

    def read_tokens(self, state: DecodeState, tokens: list[list[int]]) -> Tensor:
        """Read more tokens, of different number per row; hidden states (B, D, H), padded on the right."""
        token_ids, lens = pad_tokens(tokens, state.positions.device)
        return self._read(state, token_ids, lens_to_mask(lens, token_ids.size(1)))

    def _read(self, state: DecodeState, token_ids: Tensor, real: Tensor) -> Tensor:
        """Read token ids (B, D), of which those at the beginning of a row are ``real`` (B, D)."""
        D = token_ids.size(1)
        at = torch.arange(D, device=token_ids.device)
        state.mask = torch.cat([state.mask, real], 1)
        mask = state.mask
        if self.can_forget and not self.why_no_4d_mask:  # transformers takes longer to make it
            mask = read_mask(mask, D)
        hidden = self.hidden(
            self.embed(token_ids), mask, state.positions[:, None] + at, state.cache
        )
        state.positions = state.positions + real.sum(1)
        return hidden

    def forget(self, state: DecodeState, num_read: list[int], num_kept: list[int]):
        """Take back what each row read last, drafts or tokens, but the first ``num_kept`` of them.

        Columns that no row keeps leave the cache; in a row that keeps less than others they are masked.
        """
        read, kept = (torch.tensor(n, device=state.positions.device) for n in (num_read, num_kept))
        longest, most = max(num_read), max(num_kept)
        if longest > most:
            state.cache.crop(most - longest)
            state.mask = state.mask[:, : most - longest]
        if most:
            end = state.mask[:, -most:] & lens_to_mask(kept, most)
            state.mask = torch.cat([state.mask[:, :-most], end], 1)
        state.positions = state.positions - (read - kept)

    @cached_property
    def can_forget(self) -> bool:
        """Whether ``forget`` works: no layer of the cache may be one that drops what it has read."""
        return can_forget(empty_cache(self.config))

    def start(
        self, rows: list[Tensor], speech: list[Tensor] | None = None
    ) -> tuple[Tensor, DecodeState]:
        """Read prompts as ``read_prompts`` does; logits (B, V) for the first token, and the state."""
        hidden, state = self.read_prompts(rows, speech)
        return self.logits(hidden[:, 0]), state

    def step(self, state: DecodeState, token_ids: Tensor) -> Tensor:
        """Read one more token per row, (B,) to logits (B, V); the state moves on."""
        real = state.mask.new_ones(len(token_ids), 1)
        return self.logits(self._read(state, token_ids[:, None], real)[:, 0])

    def select(self, state: DecodeState, rows: Tensor, num_columns: int | None = None):
        """Keep, repeat or reorder the rows of a state by index (B',).

        With ``num_columns``, all but so many columns at the end are known to stay as they are.
        """
        if num_columns is not None and self.can_forget:
            for layer in state.cache.layers:
                for kept in (layer.keys, layer.values):
                    end = kept[:, :, kept.size(2) - num_columns :]
                    end.copy_(end[rows])
            return
        state.cache.batch_select_indices(rows)
        state.mask, state.positions = state.mask[rows], state.positions[rows]
