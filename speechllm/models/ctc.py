"""Speech encoder with a CTC head: the pretraining of every system here, and a recogniser by itself."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

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

    def __init__(self, cmvn: GlobalCmvn, encoder: nn.Module, spec_augment: SpecAugment | None = None):
        super().__init__()
        self.cmvn, self.encoder, self.spec_augment = cmvn, encoder, spec_augment
        self.output_dim = encoder.output_dim

    def forward(self, feats: Tensor, feat_lens: Tensor) -> tuple[Tensor, Tensor]:
        """Map (B, T, F), (B,) to (B, T', D), (B,)."""
        feats = self.cmvn(feats)
        if self.spec_augment is not None:
            feats = self.spec_augment(feats, feat_lens)
        return self.encoder(feats, feat_lens)


class CtcModel(nn.Module):
    """Connectionist temporal classification (Graves et al., 2006) over an encoder.

    Args:
        speech: the encoder with its normalisation.
        num_units: V, units with the blank.
    """

    def __init__(self, speech: SpeechEncoder, num_units: int):
        super().__init__()
        self.speech = speech
        self.head = nn.Linear(speech.output_dim, num_units)

    def log_probs(self, feats: Tensor, feat_lens: Tensor) -> tuple[Tensor, Tensor]:
        """Map (B, T, F), (B,) to log-probabilities (B, T', V), (B,)."""
        encoder_out, lens = self.speech(feats, feat_lens)
        return F.log_softmax(self.head(encoder_out).float(), dim=-1), lens

    def forward(self, feats: Tensor, feat_lens: Tensor, units: Tensor, unit_lens: Tensor):
        """Sum of the CTC losses, the number of units, and the share of utterances without any alignment.

        An utterance with fewer frames than its units need has infinite loss; it counts as 0 and is reported.
        """
        log_probs, lens = self.log_probs(feats, feat_lens)
        losses = F.ctc_loss(
            log_probs.transpose(0, 1), units, lens, unit_lens, blank=BLANK_ID, reduction="none", zero_infinity=True
        )
        with torch.no_grad():
            stats = {"too_short": (losses == 0).float().mean()}
        return losses.sum(), int(unit_lens.sum()), stats
