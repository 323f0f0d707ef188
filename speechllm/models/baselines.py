"""The system without an LLM: ESPnet's attention decoder and beam search over a speech encoder."""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from speechllm.errors import UserError
from speechllm.models.ctc import BLANK_ID, SpeechEncoder, ctc_losses

IGNORE_INDEX = -100


@dataclass
class Candidate:
    """One output of the beam search: its units, its score, and whether it ended by itself."""

    units: list[int]
    score: float
    is_complete: bool


def espnet_classes() -> tuple[type, type, type]:
    """ESPnet's transformer decoder, batched beam search and CTC prefix scorer.

    Raises:
        UserError: ESPnet is not installed.
    """
    try:
        from espnet.nets.batch_beam_search import BatchBeamSearch
        from espnet.nets.scorers.ctc import CTCPrefixScorer
        from espnet2.asr.decoder.transformer_decoder import TransformerDecoder
    except ImportError as error:
        raise UserError(
            f"the encoder-decoder needs ESPnet ({error}); pip install -c tools/constraints.txt espnet"
        ) from error
    return TransformerDecoder, BatchBeamSearch, CTCPrefixScorer


class EncoderDecoder(nn.Module):
    """Hybrid of CTC and attention (arXiv:1609.06773): both write the text, from the same encoder.

    Units are those of CTC, with the blank as 0; one more, the last, begins and ends an output.

    Args:
        speech: the encoder with its normalisation.
        num_units: V, units with the blank.
        num_layers, num_heads, ffn_dim, dropout: of the decoder, whose width is the encoder's.
        ctc_weight: share of the loss that CTC has.
        label_smoothing: of the decoder's targets.
    """

    def __init__(
        self,
        speech: SpeechEncoder,
        num_units: int,
        num_layers: int = 6,
        num_heads: int = 4,
        ffn_dim: int = 2048,
        dropout: float = 0.1,
        ctc_weight: float = 0.3,
        label_smoothing: float = 0.1,
    ):
        super().__init__()
        if speech.output_dim % num_heads:
            raise UserError(
                f"decoder.num_heads {num_heads} does not divide the encoder's width {speech.output_dim}"
            )
        decoder_class, _, _ = espnet_classes()
        self.speech, self.end_id = speech, num_units
        self.head = nn.Linear(speech.output_dim, num_units)
        self.decoder = decoder_class(
            num_units + 1,
            speech.output_dim,
            attention_heads=num_heads,
            linear_units=ffn_dim,
            num_blocks=num_layers,
            dropout_rate=dropout,
            positional_dropout_rate=dropout,
            use_flash_attn=False,
        )
        self.ctc_weight, self.label_smoothing = ctc_weight, label_smoothing

    def fsdp_layers(self) -> list[nn.Module]:
        return [*self.speech.encoder.layers, *self.decoder.decoders]

    def enable_activation_checkpointing(self):
        self.speech.encoder.activation_checkpointing = True

    def forward(self, feats: Tensor, feat_lens: Tensor, units: Tensor, unit_lens: Tensor):
        """Sum of both losses, the number of units with the ends, and the share of units predicted right.

        Args:
            feats, feat_lens: (B, T, F), (B,).
            units, unit_lens: (B, U), (B,).
        """
        encoder_out, lens = self.speech(feats, feat_lens)
        inputs = F.pad(units, (1, 0), value=self.end_id)  # (B, U + 1)
        at = torch.arange(inputs.size(1), device=units.device)
        labels = F.pad(units, (0, 1)).masked_fill(at == unit_lens[:, None], self.end_id)
        labels = labels.masked_fill(at > unit_lens[:, None], IGNORE_INDEX)
        logits, _ = self.decoder(encoder_out, lens, inputs, unit_lens + 1)
        loss = F.cross_entropy(
            logits.flatten(0, 1).float(),
            labels.flatten(),
            ignore_index=IGNORE_INDEX,
            reduction="sum",
            label_smoothing=self.label_smoothing,
        )
        labelled = labels >= 0
        num_labels = labelled.sum()
        right = (logits.detach().argmax(-1) == labels) & labelled
        log_probs = F.log_softmax(self.head(encoder_out).float(), dim=-1)
        ctc = ctc_losses(log_probs, lens, units, unit_lens).sum()
        # Also where CTC has no share: DDP waits for gradients of every weight.
        loss = (1 - self.ctc_weight) * loss + self.ctc_weight * ctc
        accuracy, ctc_loss = right.sum() / num_labels, ctc.detach() / unit_lens.sum()
        return loss, num_labels, {"accuracy": accuracy, "ctc_loss": ctc_loss}

    def log_softmax(self, encoder_out: Tensor) -> Tensor:
        """Map (B, T, D) to the log-probabilities of CTC (B, T, V + 1); ESPnet's prefix scorer asks for them."""
        log_probs = F.log_softmax(self.head(encoder_out).float(), dim=-1)
        return F.pad(log_probs, (0, 1), value=-1e10)  # CTC never writes the end

    @torch.no_grad()
    def search(
        self,
        feats: Tensor,
        feat_lens: Tensor,
        num_beams: int = 4,
        ctc_weight: float = 0.0,
        length_penalty: float = 0.0,
    ) -> list[list[Candidate]]:
        """N-best lists of ESPnet's beam search, one utterance after the other, best first.

        An output has at most as many units as the utterance has encoder frames.

        Args:
            ctc_weight: share of CTC's prefix score in the search.
            length_penalty: above 0 candidates are ranked by their score over their number of units.
        """
        _, search_class, scorer_class = espnet_classes()
        beam_search = search_class(
            scorers={"decoder": self.decoder, "ctc": scorer_class(self, self.end_id)},
            weights={"decoder": 1.0 - ctc_weight, "ctc": ctc_weight},
            beam_size=min(num_beams, self.end_id + 1),  # it takes so many at its first step
            vocab_size=self.end_id + 1,
            sos=self.end_id,
            eos=self.end_id,
            pre_beam_score_key=None if ctc_weight == 1.0 else "full",
            normalize_length=length_penalty > 0,
        )
        encoder_out, lens = self.speech(feats, feat_lens)
        lists, ends = [], (self.end_id, BLANK_ID)
        for row, n in zip(encoder_out, lens.tolist(), strict=True):
            hyps = beam_search(row[:n])[:num_beams]
            units = [[u for u in hyp.yseq.tolist() if u not in ends] for hyp in hyps]
            lists.append(
                [Candidate(u, float(h.score), len(u) < n) for u, h in zip(units, hyps, strict=True)]
            )
        return lists
