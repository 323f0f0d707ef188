"""Hugging Face causal language models behind a narrow interface: embed, hidden states, logits, cached steps.

What an LLM of transformers computes, and peft's adapters in it, is known here alone; ``llm_loading`` opens one by name.
"""

import math
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint
from transformers import DynamicCache
from transformers.cache_utils import DynamicLayer

from speechllm.errors import UserError
from speechllm.models.lengths import lens_to_mask
from speechllm.models.masks import pad_tokens, read_mask, span_mask

# Attention matrices by their names in the families that have been tried; the first set found is used.
ATTENTION_TARGETS = (
    ("q_proj", "k_proj", "v_proj", "o_proj"),  # LLaMA, Qwen, Mistral, Gemma
    ("query_key_value", "dense"),  # BLOOM, Falcon, GPT-NeoX
)
# What IA3 scales: keys, values, and what a feed-forward block's second matrix reads.
IA3_TARGETS = (("k_proj", "v_proj", "down_proj"), ("query_key_value", "dense_4h_to_h"))
FEED_FORWARD = ("down_proj", "dense_4h_to_h")
ALIBI = "its position biases (ALiBi) are made from a 2-D mask"
NO_4D_MASK = {  # families that do not follow a 4-D mask, and why
    "bloom": ALIBI,
    "mpt": ALIBI,
    "gpt_neo": "its layers hide what lies ahead by a mask of their own",
}
MIN_ROOM = 32  # columns of the cache that are kept ready for what is read next
FULL, SLIDING = "full_attention", "sliding_attention"  # kinds of layers in transformers' configs
LOGITS_AT_ONCE = 1 << 24  # elements, 64 MB in float32, that a loss holds


class RoomyLayer(DynamicLayer):
    """Keys and values (B, heads, L, D) of a layer, in tensors with room for more columns.

    To read a token writes that token's column; transformers' own layer copies all that was read before. Its
    ``crop`` does for this one as well, since what is cropped is written over. What would move ``keys`` and ``values``
    without the room that they lie in is refused.
    """

    def update(self, key_states: Tensor, value_states: Tensor, *args, **kwargs):
        """Append (B, heads, L, D); all keys and all values, as views."""
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
        start = self.get_seq_length()
        end = start + key_states.size(2)
        if not start or end > self.room[0].size(2):
            self._move(end, (key_states, value_states))
        for room, new in zip(self.room, (key_states, value_states), strict=True):
            room[:, :, start:end] = new
        self.keys, self.values = (room[:, :, :end] for room in self.room)
        return self.keys, self.values

    def _move(self, num_columns: int, like: tuple[Tensor, Tensor]):
        """Take room for so many columns and a quarter more, and bring along what is held."""
        num_columns += max(MIN_ROOM, num_columns // 4)
        kept, start = (self.keys, self.values), self.get_seq_length()
        self.room = [x.new_empty(*x.shape[:2], num_columns, x.size(3)) for x in like]
        if start:
            for room, old in zip(self.room, kept, strict=True):
                room[:, :, :start] = old

    def batch_select_indices(self, indices: Tensor):
        """Keep, repeat or reorder rows (B')."""
        length = self.get_seq_length()
        if length:
            self.room = [room.index_select(0, indices) for room in self.room]
            self.keys, self.values = (room[:, :, :length] for room in self.room)

    reorder_cache = batch_select_indices

    def batch_repeat_interleave(self, repeats: int):
        """Repeat every row."""
        if self.get_seq_length():
            rows = torch.arange(len(self.keys), device=self.keys.device)
            self.batch_select_indices(rows.repeat_interleave(repeats))

    def offload(self):
        raise NotImplementedError("the cache stays where the LLM is")

    prefetch = offload


@dataclass
class DecodeState:
    """Keys and values of what a batch of rows has read so far.

    mask (B, P): True where a cache column is real for the row
    positions (B,): position id of the next token
    """

    cache: DynamicCache
    mask: Tensor
    positions: Tensor


def prefix_mask(lens: Tensor, speech: Tensor) -> Tensor:
    """The ``span_mask`` of rows that are padded on the right: (B,), (B, L) to (B, 1, L, L)."""
    return span_mask(lens_to_mask(lens, speech.size(1)), speech)


def why_no_4d_mask(config, attention: str) -> str:
    """What keeps an LLM of a transformers config from following a 4-D mask in all layers, also with a cache.

    "" if nothing is known to; ``Llm.why_mask_is_lost`` tries it.

    Args:
        attention: implementation, as transformers names it.
    """
    text = config.get_text_config()
    if text.model_type in NO_4D_MASK:
        return NO_4D_MASK[text.model_type]
    if getattr(text, "alibi", False):  # Falcon has it as an option
        return ALIBI
    if attention not in ("sdpa", "eager"):
        return f"llm.attention {attention} reads none (sdpa does)"
    window = getattr(text, "sliding_window", None)
    kinds = getattr(text, "layer_types", None) or [SLIDING if window else FULL]
    if window and window >= (getattr(text, "max_position_embeddings", None) or math.inf):
        kinds = [kind for kind in kinds if kind != SLIDING]
    if others := sorted(set(kinds) - {FULL}):
        size = f" ({window} positions)" if others[0] == SLIDING else ""
        return f"it has layers of {others[0]}{size}, which go by it in training alone"
    return ""


def refuse_4d_mask(model_type: str, why: str, packing: bool):
    """Raise a UserError: an LLM cannot do what packing, or else prefix attention, needs."""
    option = "packing" if packing else "speech_attention: prefix"
    instead = "packing: false" if packing else "causal"
    raise UserError(
        f"{option} needs an LLM and an attention that take a 4-D mask; this {model_type} does not: "
        f"{why}; use {instead}"
    )


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
        """See the function of this name."""
        return why_no_4d_mask(self.config, getattr(self.config, "_attn_implementation", "eager"))

    @torch.no_grad()
    def why_mask_is_lost(self) -> str:
        """As ``why_no_4d_mask``, also by trial: the first of three positions that see one another has to see the last.

        Without weights ("meta") nothing is tried.
        """
        weight = self.model.get_input_embeddings().weight
        if self.why_no_4d_mask or weight.is_meta:
            return self.why_no_4d_mask
        x = torch.randn(2, 3, self.dim, generator=torch.Generator().manual_seed(0))
        x[1, :2] = x[0, :2]
        x, one_part = x.to(weight), torch.ones(2, 3, dtype=torch.long, device=weight.device)
        modes = {module: module.training for module in self.modules()}
        self.model.eval()  # dropout would make rows differ
        try:
            first = self.hidden(x, span_mask(one_part > 0, one_part))[:, 0]
        except (RuntimeError, TypeError, ValueError) as error:
            self.hidden(x)  # what fails without a mask too is another matter
            return f"it fails with one ({' '.join(str(error).split())[:100]})"
        finally:
            for module, mode in modes.items():
                module.training = mode
        return "it does not look at it" if torch.equal(*first) else ""

    def add_lora(
        self,
        rank: int,
        alpha: float,
        dropout: float,
        targets: tuple[str, ...] = (),
        dora: bool = False,
    ):
        """Add low-rank adapters (arXiv:2106.09685); only they are trainable.

        Args:
            targets: names of the matrices to adapt; by default those of self-attention.
            dora: learn the lengths of the matrices' columns apart (arXiv:2402.09353).
        """
        from peft import LoraConfig  # it takes three seconds to import, and is only needed here

        targets = self.find_targets("lora.targets", targets, ATTENTION_TARGETS)
        self.inject(
            LoraConfig(
                r=rank,
                lora_alpha=alpha,
                lora_dropout=dropout,
                target_modules=targets,
                use_dora=dora,
            )
        )

    def add_ia3(self, targets: tuple[str, ...] = ()):
        """Add vectors that scale keys, values and feed-forward activations (arXiv:2205.05638); they alone learn."""
        from peft import IA3Config

        targets = self.find_targets("peft.targets", targets, IA3_TARGETS)
        inner = [name for name in targets if name in FEED_FORWARD]
        self.inject(IA3Config(target_modules=targets, feedforward_modules=inner))

    def add_oft(self, block_size: int, targets: tuple[str, ...] = ()):
        """Add rotations of what matrices read, in blocks (arXiv:2306.07280); only they are trainable.

        Args:
            block_size: inputs that are rotated together; peft takes the nearest size that divides the width.
            targets: names of the matrices; by default those of self-attention.
        """
        from peft import OFTConfig

        targets = self.find_targets("peft.targets", targets, ATTENTION_TARGETS)
        self.inject(OFTConfig(oft_block_size=block_size, target_modules=targets))

    def find_targets(
        self, key: str, wanted: tuple[str, ...], known: tuple[tuple[str, ...], ...]
    ) -> list[str]:
        """Names of the matrices to adapt: those that are wanted, or the first known set that this LLM has.

        Raises:
            UserError: it has none of them.
        """
        names = {name.rsplit(".", 1)[-1] for name, _ in self.model.named_modules()}
        targets = wanted or next((t for t in known if names.issuperset(t)), ())
        if missing := [t for t in targets if t not in names]:
            raise UserError(
                f"{key}: the LLM has no module {missing[0]!r}; it has {', '.join(sorted(names))}"
            )
        if not targets:
            raise UserError(
                f"{key}: the attention matrices of a {self.config.model_type} are not known; name them"
            )
        return list(targets)

    def inject(self, settings):
        """Put peft's adapters into the model."""
        from peft import inject_adapter_in_model

        inject_adapter_in_model(settings, self.model)
        for p in self.model.parameters():
            if (
                p.requires_grad
            ):  # in bfloat16 most updates would be rounded away; peft casts in and out
                p.data = p.data.float()

    @contextmanager
    def without_adapters(self):
        """Within, the LLM computes what it did before adapters were added."""
        from peft.tuners.tuners_utils import BaseTunerLayer

        layers = [m for m in self.model.modules() if isinstance(m, BaseTunerLayer)]
        try:
            for layer in layers:
                layer.enable_adapters(False)
            yield
        finally:
            for layer in layers:
                layer.enable_adapters(True)

    def merge_adapters(self):
        """Fold the adapters into the weights for good: the same function, up to rounding, in fewer operations.

        Weights in half precision stay apart from their adapters, which they would round away.
        """
        if self.model.dtype != torch.float32:
            return
        from peft.tuners.tuners_utils import BaseTunerLayer

        for name, module in list(self.model.named_modules()):
            if isinstance(module, BaseTunerLayer):
                module.merge()
                self.model.set_submodule(name, module.get_base_layer())

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

    def empty_cache(self) -> DynamicCache:
        cache = DynamicCache(config=self.config)
        cache.layers = [
            RoomyLayer() if type(layer) is DynamicLayer else layer for layer in cache.layers
        ]
        return cache

    def empty_state(self) -> DecodeState:
        """The state of one row that has read nothing."""
        device = self.model.get_input_embeddings().weight.device
        mask = torch.ones(1, 0, dtype=torch.bool, device=device)
        return DecodeState(self.empty_cache(), mask, mask.new_zeros(1).long())

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
        cache = self.empty_cache()
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
        return all(type(layer) is RoomyLayer for layer in self.empty_cache().layers)

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
