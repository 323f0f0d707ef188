"""Speech encoder with a CTC head: the pretraining of every system here, and a recogniser by itself."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from speechllm.errors import UserError
from speechllm.models.cmvn import GlobalCmvn
from speechllm.models.spec_augment import SpecAugment

BLANK_ID = 0


class SpeechEncoder(nn.Module):
    """Features to encoder frames: normalisation, SpecAugment in training, encoder.

    Args:
        cmvn: of the training set, (F,) mean and inverse deviation.
        encoder: maps (B, T, F), (B,) to (B, T', D), (B,) and has ``output_dim``, ``output_lens``.
        spec_augment: or None.
    """

    def __init__(
        self, cmvn: GlobalCmvn, encoder: nn.Module, spec_augment: SpecAugment | None = None
    ):
        super().__init__()
        self.cmvn, self.encoder, self.spec_augment = cmvn, encoder, spec_augment
        self.output_dim = encoder.output_dim

    def forward(self, feats: Tensor, feat_lens: Tensor, **options):
        """Map (B, T, F), (B,) to what the encoder makes of them: (B, T', D), (B,), and more if asked for."""
        feats = self.cmvn(feats)
        if self.spec_augment is not None:
            feats = self.spec_augment(feats, feat_lens)
        return self.encoder(feats, feat_lens, **options)


class CtcModel(nn.Module):
    """Connectionist temporal classification (Graves et al., 2006) over an encoder.

    Args:
        speech: the encoder with its normalisation.
        num_units: V, units with the blank.
        flat_start: training steps over which the loss goes from a uniform alignment to CTC, see ``on_step``.
        intermediate_layers: encoder layers (from 1) that must write the units too, through the same head, in
            training (intermediate CTC, arXiv:2102.03216).
        intermediate_weight: of the mean of their losses; the last layer has the rest of 1.

    Raises:
        UserError: an intermediate layer that the encoder does not have, or its last one.
    """

    def __init__(
        self,
        speech: SpeechEncoder,
        num_units: int,
        flat_start: int = 0,
        intermediate_layers: Sequence[int] = (),
        intermediate_weight: float = 0.3,
    ):
        super().__init__()
        if intermediate_layers:
            last = len(speech.encoder.layers)
            if wrong := [n for n in intermediate_layers if not 1 <= n < last]:
                raise UserError(
                    f"intermediate_layers: {wrong[0]} is not between 1 and {last - 1}; the encoder has {last} layers, "
                    "of which the last has a loss anyway"
                )
        self.intermediate_layers = tuple(intermediate_layers)
        self.intermediate_weight = intermediate_weight if intermediate_layers else 0.0
        self.speech = speech
        self.head = nn.Linear(speech.output_dim, num_units)
        self.flat_start, self.step = flat_start, 1

    def on_step(self, step: int):
        """The training loop says which step comes, from 1."""
        self.step = step

    def fsdp_layers(self) -> list[nn.Module]:
        return list(self.speech.encoder.layers)

    def enable_activation_checkpointing(self):
        self.speech.encoder.activation_checkpointing = True

    def log_probs(self, feats: Tensor, feat_lens: Tensor) -> tuple[Tensor, Tensor]:
        """Map (B, T, F), (B,) to log-probabilities (B, T', V), (B,)."""
        encoder_out, lens = self.speech(feats, feat_lens)
        return F.log_softmax(self.head(encoder_out).float(), dim=-1), lens

    def forward(self, feats: Tensor, feat_lens: Tensor, units: Tensor, unit_lens: Tensor):
        """Sum of the CTC losses, the number of units, and the share of utterances without any alignment.

        An utterance with fewer frames than its units need has infinite loss; it counts as 0 and is reported.
        """
        after = self.intermediate_layers if self.training else ()
        encoder_out, lens, *kept = self.speech(
            feats, feat_lens, **({"after": after} if after else {})
        )
        log_probs = F.log_softmax(self.head(encoder_out).float(), dim=-1)
        losses = ctc_losses(log_probs, lens, units, unit_lens)
        with torch.no_grad():
            stats = {"too_short": (losses == 0).float().mean()}
        loss = losses.sum()
        if after:
            early = sum(
                ctc_losses(
                    F.log_softmax(self.head(x).float(), dim=-1), lens, units, unit_lens
                ).sum()
                for x in kept[0]
            )
            share = self.intermediate_weight
            loss = (1 - share) * loss + share * early / len(after)
        if self.training and self.step <= self.flat_start:
            share = (self.step - 1) / self.flat_start
            loss = share * loss + (1 - share) * uniform_alignment_loss(
                log_probs, lens, units, unit_lens
            )
        return loss, unit_lens.sum(), stats


def ctc_losses(log_probs: Tensor, lens: Tensor, units: Tensor, unit_lens: Tensor) -> Tensor:
    """CTC loss of each utterance, (B, T, V), (B,), (B, U), (B,) to (B,); 0 where no alignment is long enough."""
    return F.ctc_loss(
        log_probs.transpose(0, 1),
        units,
        lens,
        unit_lens,
        blank=BLANK_ID,
        reduction="none",
        zero_infinity=True,
    )


def uniform_alignment_loss(
    log_probs: Tensor, lens: Tensor, units: Tensor, unit_lens: Tensor
) -> Tensor:
    """Cross-entropy of every frame with the unit that stands there if all units last equally long.

    CTC from random weights first learns to write blanks and, with few hours or updates, stays there. HMM systems
    start from such a flat alignment; so does this loss, until CTC can find its own. Per utterance it is the mean over
    frames times the number of units, so that it has the size of a CTC loss.

    Args:
        log_probs: (B, T, V); lens: (B,); units: (B, U); unit_lens: (B,).
    """
    at = torch.arange(log_probs.size(1), device=lens.device)[None]
    which = (at * unit_lens[:, None] // lens[:, None]).clamp(max=units.size(1) - 1)
    wanted = units.gather(1, which)
    nll = -log_probs.gather(2, wanted[..., None])[..., 0]  # (B, T)
    per_utt = nll.masked_fill(at >= lens[:, None], 0.0).sum(1) / lens
    return (per_utt * unit_lens).sum()
