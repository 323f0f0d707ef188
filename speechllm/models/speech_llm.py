"""Speech encoder, adaptor and LLM as one model."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from speechllm.models.alignment import forced_units, mean_of_frames, misalignment
from speechllm.models.ctc import ctc_losses
from speechllm.models.distill import divergence, top_log_probs
from speechllm.models.join import join, pack
from speechllm.models.lengths import lens_to_mask
from speechllm.models.llm import Llm
from speechllm.models.mask_support import refuse_4d_mask, why_mask_is_lost
from speechllm.models.masks import packed_mask, prefix_mask
from speechllm.models.soft_text import SoftText


class SpeechLlm(nn.Module):
    """An LLM that reads speech embeddings among its text embeddings (arXiv:2307.11795, arXiv:2307.03917).

    What the adaptor gives is scaled by the size of the LLM's own embeddings: an LLM adds to what stands at a
    position, and beside vectors ten times as large what its layers add would be lost.

    Args:
        speech: maps features (S, T, F), (S,) to encoder frames (S, T', D), (S,).
        adaptor: maps encoder frames to (S, N, H), (S,); has ``frames_per_position``, and ``proj``, its last layer. One
            with ``needs_ctc`` is asked first which frames make a position, by what the CTC layer hears in them.
        llm: frozen, with adapters, or trained.
        train_encoder: whether ``speech`` learns; if not, its encoder stays in eval mode and needs no gradients.
        target_masking: share of target tokens hidden from the LLM's input in training; what must be predicted
            stays complete (arXiv:2307.11795).
        mask_id: token whose embedding stands in for a hidden one; None hides with zeros.
        attention: "causal", or "prefix": every position of an audio part sees all of that part.
        ctc_head: the pretrained encoder's CTC layer, kept beside it.
        soft_text: whether to add what this CTC layer hears to the adaptor's output, see ``SoftText``; the adaptor then
            starts at zero.
        soft_text_gate: whether the adaptor's output is weighted with the doubt of the CTC layer, 1 minus the
            probability of its likeliest unit: what is heard clearly is then read as text, and elsewhere the adaptor
            has a say.
        ctc_weight: of the CTC loss beside the LLM's cross-entropy; above 0 the head learns along.
        packing: whether short utterances of a training batch share rows of the LLM's input.
        distill_weight: share of the loss that is the divergence from what the LLM thinks of the target after a text
            prompt; the cross-entropy has the rest of 1.
        distill_top_k: tokens per position that the divergence is computed from.
    """

    def __init__(
        self,
        speech: nn.Module,
        adaptor: nn.Module,
        llm: Llm,
        train_encoder: bool = True,
        target_masking: float = 0.0,
        mask_id: int | None = None,
        attention: str = "causal",
        ctc_head: nn.Linear | None = None,
        soft_text: bool = False,
        soft_text_gate: bool = False,
        ctc_weight: float = 0.0,
        packing: bool = False,
        distill_weight: float = 0.0,
        distill_top_k: int = 64,
    ):
        super().__init__()
        if (attention == "prefix" or packing) and (why := why_mask_is_lost(llm)):
            refuse_4d_mask(llm.config.model_type, why, packing)
        if packing and distill_weight:
            raise ValueError("the text prompts of distill_weight are not packed")
        self.speech = speech.requires_grad_(train_encoder)
        self.adaptor, self.llm = adaptor, llm
        self.ctc_head = ctc_head.requires_grad_(ctc_weight > 0) if ctc_head is not None else None
        self.ctc_weight = ctc_weight
        self.soft_text, self.soft_text_gate = None, soft_text_gate
        self.compresses = getattr(adaptor, "needs_ctc", False)
        if (soft_text or ctc_weight or self.compresses) and ctc_head is None:
            raise ValueError("soft_text, ctc_weight and a compressor need the encoder's ctc_head")
        if soft_text:
            self.soft_text = SoftText(ctc_head.out_features, llm.dim)
            nn.init.zeros_(adaptor.proj.weight)
            nn.init.zeros_(adaptor.proj.bias)
        self.train_encoder, self.attention = train_encoder, attention
        self.target_masking, self.mask_id = target_masking, mask_id
        self.register_buffer("embedding_rms", llm.embedding_rms())
        self.alignment_weight, self.packing = 0.0, packing
        self.distill_weight, self.distill_top_k = distill_weight, distill_top_k

    def start_from_text(self, unit_embeddings: Tensor, alignment_weight: float = 0.0):
        """Tell the model before training what the CTC units look like in the LLM.

        Soft text begins with these embeddings; the alignment loss pulls speech positions to those of the units that are
        said in them, by the CTC head's alignment.

        Args:
            unit_embeddings: (V, H).
            alignment_weight: of the alignment loss per position in which something is said.
        """
        if self.soft_text is not None:
            self.soft_text.start_from(unit_embeddings / self.embedding_rms)
        if alignment_weight:
            self.register_buffer("unit_embeddings", unit_embeddings, persistent=False)
        self.alignment_weight = alignment_weight

    def train(self, mode: bool = True):
        super().train(mode)
        if not self.train_encoder:
            self.speech.encoder.eval()  # but what it hears may be augmented: it errs on new voices
        return self

    def checkpoint_state_dict(self) -> dict[str, Tensor]:
        """All weights but the LLM's frozen ones, which are named in the checkpoint and not copied."""
        trainable = {name for name, p in self.named_parameters() if p.requires_grad}
        return {
            k: v for k, v in self.state_dict().items() if not k.startswith("llm.") or k in trainable
        }

    def fsdp_layers(self) -> list[nn.Module]:
        return self.llm.decoder_layers()

    def enable_activation_checkpointing(self):
        self.llm.enable_activation_checkpointing()
        self.speech.encoder.activation_checkpointing = self.train_encoder

    def listen(self, feats: Tensor, feat_lens: Tensor) -> tuple[Tensor, Tensor]:
        """Map (S, T, F), (S,) to encoder frames (S, T', D), (S,)."""
        with torch.set_grad_enabled(torch.is_grad_enabled() and self.train_encoder):
            return self.speech(feats, feat_lens)

    def encode(self, feats: Tensor, feat_lens: Tensor) -> tuple[Tensor, Tensor]:
        """Map (S, T, F), (S,) to speech positions (S, N, H), (S,)."""
        return self.place(*self.listen(feats, feat_lens))

    def ctc_log_probs(self, encoder_out: Tensor) -> Tensor:
        """Map encoder frames (S, T', D) to log-probabilities of the CTC units (S, T', V)."""
        return F.log_softmax(self.ctc_head(encoder_out).float(), dim=-1)

    def hear(self, feats: Tensor, feat_lens: Tensor) -> tuple[Tensor, Tensor]:
        """Map (S, T, F), (S,) to what CTC hears, log-probabilities (S, T', V), (S,)."""
        encoder_out, lens = self.listen(feats, feat_lens)
        return self.ctc_log_probs(encoder_out), lens

    def place(
        self, encoder_out: Tensor, lens: Tensor, with_text: bool = True
    ) -> tuple[Tensor, Tensor]:
        """Map encoder frames (S, T', D), (S,) to speech positions (S, N, H), (S,).

        Args:
            with_text: whether soft text is added, where the model has it; without it this is the adaptor alone.
        """
        with_text = with_text and self.soft_text is not None
        logits = None
        if self.compresses or with_text:
            logits = self.ctc_head(encoder_out)
        if self.compresses:
            at, num_positions = self.adaptor.find_positions(logits, lens)
            positions, kept = self.adaptor(encoder_out, at, num_positions), at >= 0
        else:
            positions, num_positions = self.adaptor(encoder_out, lens)
        if with_text:
            if not self.compresses:
                at, kept = self.adaptor.frames_per_position, lens_to_mask(lens, logits.size(1))
            text = self.soft_text(logits, kept, at, positions.size(1))
            if self.soft_text_gate:
                doubt = 1 - logits.softmax(-1).amax(-1, keepdim=True)
                positions = positions * mean_of_frames(doubt, kept, at, positions.size(1))[0]
            positions = positions + text
        return positions * self.embedding_rms.to(positions.dtype), num_positions

    def inputs(self, speech: Tensor, lens: Tensor, prompts, targets=None, target_masking=None):
        """Embeddings (B, L, H) of rows with speech positions (S, N, H), (S,), and what lies where in them.

        Args:
            target_masking: (B,) share of each target that is hidden; None hides nothing.
        """
        joined = join(prompts, targets, lens.cpu(), speech.size(1))
        if self.packing and targets is not None:
            joined = pack(joined)
        text_ids = joined.text_ids.to(speech.device)
        hidden = None
        if target_masking is not None:
            texts = [
                [part for part in prompt if not isinstance(part, int)] + [target[:-1]]
                for prompt, target in zip(prompts, targets, strict=True)
            ]
            sizes = torch.tensor([sum(map(len, parts)) for parts in texts])
            share = target_masking.repeat_interleave(sizes.to(target_masking.device))
            draw = torch.rand(text_ids.shape, device=text_ids.device) < share
            hidden = draw & joined.is_target.to(text_ids.device)
            if self.mask_id is not None:
                text_ids = torch.where(hidden, self.mask_id, text_ids)
        text = self.llm.embed(text_ids)
        if hidden is not None and self.mask_id is None:
            text = text.masked_fill(hidden[:, None], 0.0)
        pool = torch.cat(
            [speech.flatten(0, 1).to(text.dtype), text, text.new_zeros(1, text.size(-1))]
        )
        return pool[joined.index.to(pool.device)], joined

    def forward(
        self,
        feats: Tensor,
        feat_lens: Tensor,
        prompts: list[list],
        targets: list[Tensor],
        units: Tensor | None = None,
        unit_lens: Tensor | None = None,
        target_masking: Tensor | None = None,
        text_prompts: list[list] | None = None,
    ):
        """Sum of the cross-entropies over all target tokens, their number, and the share predicted right.

        With an alignment weight and ``ctc_weight`` the sums of the other losses come on top; ``distill_weight`` takes
        its share of the cross-entropies.

        Args:
            feats, feat_lens: (S, T, F), (S,) every audio part of the batch.
            prompts: per utterance its parts: a LongTensor of token ids, or the number of an audio part.
            targets: per utterance the ids to be predicted, ending in the end-of-sequence token.
            units, unit_lens: (S, U), (S,) CTC units of every audio part, for ``ctc_weight`` and the alignment loss.
            target_masking: (B,) share of each target that is hidden in training, in the place of that of all.
            text_prompts: per utterance its prompt with text in place of audio, for ``distill_weight``.
        """
        encoder_out, encoder_lens = self.listen(feats, feat_lens)
        speech, lens = self.place(encoder_out, encoder_lens)
        if not self.training:
            target_masking = None
        elif target_masking is None and self.target_masking:
            target_masking = torch.full((len(targets),), self.target_masking, device=speech.device)
        inputs, joined = self.inputs(speech, lens, prompts, targets, target_masking)
        mask, positions, device = None, joined.positions, inputs.device
        if joined.segments is not None:  # masks are made where they are used: they are large
            segments, spans = joined.segments.to(device), joined.speech.to(device)
            spans = spans if self.attention == "prefix" else torch.zeros_like(spans)
            mask = packed_mask(segments, spans)
            positions = positions.to(device)
        elif self.attention == "prefix":
            mask = prefix_mask(joined.lens.to(device), joined.speech.to(device))
        hidden = self.llm.hidden(inputs, mask, positions)
        loss, num_tokens, correct = self.llm.loss(hidden, joined.labels.to(hidden.device))
        stats = {"accuracy": correct / num_tokens}
        if self.training and self.distill_weight:
            kl = self.divergence(hidden, joined.labels, text_prompts, targets)
            loss = (1 - self.distill_weight) * loss + self.distill_weight * kl
            stats["divergence"] = kl.detach() / num_tokens
        if self.compresses:
            stats["frames_per_position"] = encoder_lens.sum() / lens.sum().clamp(min=1)
            stats["positions_per_token"] = lens.sum() / num_tokens
        if self.training and self.alignment_weight:
            distances = self.misalignment(encoder_out, encoder_lens, speech, units, unit_lens)
            loss = loss + self.alignment_weight * distances.sum()
            stats["misalignment"] = distances.detach().sum() / max(len(distances), 1)
        if self.training and self.ctc_weight:
            losses = ctc_losses(self.ctc_log_probs(encoder_out), encoder_lens, units, unit_lens)
            loss = loss + self.ctc_weight * losses.sum()
            stats["ctc_loss"] = losses.detach().sum() / unit_lens.sum()
        return loss, num_tokens, stats

    def divergence(
        self, hidden: Tensor, labels: Tensor, text_prompts: list[list], targets
    ) -> Tensor:
        """Sum over all target tokens of the divergence from what the LLM thinks after text prompts.

        After these it reads the whole target, without the dropout of adapters.
        """
        was_training = self.llm.training
        self.llm.eval()
        nothing = self.embedding_rms.new_zeros(0, 1, self.llm.dim)
        with torch.no_grad():
            inputs, joined = self.inputs(nothing, torch.zeros(0).long(), text_prompts, targets)
            after_text = self.llm.hidden(inputs)[joined.labels.to(inputs.device) >= 0]
            expected = top_log_probs(self.llm, after_text, self.distill_top_k)
        self.llm.train(was_training)

        def score(logits: Tensor, *expected: Tensor) -> tuple[Tensor]:
            return (divergence(*expected, logits).sum(),)

        after_audio = hidden[labels.to(hidden.device) >= 0]
        (kl,) = self.llm.sums_over_logits(score, after_audio, *expected)
        return kl

    def misalignment(
        self,
        encoder_out: Tensor,
        encoder_lens: Tensor,
        speech: Tensor,
        units: Tensor,
        unit_lens: Tensor,
    ) -> Tensor:
        """How far speech positions (S, N, H) are from the units (S, U) that the frames (S, T', D) are aligned with."""
        with torch.no_grad():
            logits = self.ctc_head(encoder_out)
            # ``place`` finds them from the same logits, so that there are units for each of its positions
            if self.compresses:
                at, _ = self.adaptor.find_positions(logits, encoder_lens)
            else:
                at = self.adaptor.frames_per_position
            log_probs = F.log_softmax(logits.float(), dim=-1)
            aligned = forced_units(log_probs, encoder_lens, units, unit_lens)
        return misalignment(speech, aligned, self.unit_embeddings, at)

    def rows(
        self, feats: Tensor, feat_lens: Tensor, prompts: list[list]
    ) -> tuple[list[Tensor], list[Tensor] | None]:
        """What decoding starts from: embeddings (L_b, H) and, for prefix attention, audio part numbers (L_b,)."""
        return self.rows_of(*self.encode(feats, feat_lens), prompts)

    def rows_of(self, speech: Tensor, lens: Tensor, prompts: list[list]):
        """As ``rows``, from speech positions (S, N, H), (S,)."""
        inputs, joined = self.inputs(speech, lens, prompts)
        lens = joined.lens.tolist()
        rows = [inputs[b, :n] for b, n in enumerate(lens)]
        spans = (
            [joined.speech[b, :n] for b, n in enumerate(lens)]
            if self.attention == "prefix"
            else None
        )
        return rows, spans
