"""The only bridge from config to objects."""

import dataclasses

import torch

from speechllm.config import EncoderConfig, LoraConfig, SpecAugmentConfig, TrainCtcConfig, TrainLlmConfig
from speechllm.models.adaptors.stack import StackAdaptor
from speechllm.models.cmvn import GlobalCmvn
from speechllm.models.conformer import ConformerEncoder
from speechllm.models.ctc import CtcModel, SpeechEncoder
from speechllm.models.llm import Llm
from speechllm.models.spec_augment import SpecAugment
from speechllm.models.speech_llm import SpeechLlm


def build_speech_encoder(
    encoder: EncoderConfig, spec_augment: SpecAugmentConfig, num_mel_bins: int, cmvn: tuple | None = None
) -> SpeechEncoder:
    """Normalisation, SpecAugment and encoder; without ``cmvn`` (mean, istd) it waits for a checkpoint's."""
    mean, istd = cmvn or (torch.zeros(num_mel_bins), torch.ones(num_mel_bins))
    return SpeechEncoder(
        GlobalCmvn(torch.as_tensor(mean), torch.as_tensor(istd)),
        ConformerEncoder(num_mel_bins, **dataclasses.asdict(encoder)),
        SpecAugment(**dataclasses.asdict(spec_augment)),
    )


def build_ctc_model(config: TrainCtcConfig, num_units: int, num_mel_bins: int, cmvn: tuple | None = None) -> CtcModel:
    """The model of stage 4; ``num_units`` counts the blank."""
    return CtcModel(build_speech_encoder(config.encoder, config.spec_augment, num_mel_bins, cmvn), num_units)


def build_adaptor(config: TrainLlmConfig, encoder_dim: int, llm_dim: int):
    adaptors = {"stack": lambda: StackAdaptor(encoder_dim, llm_dim, config.adaptor.stack_factor)}
    return adaptors[config.adaptor.type]()


def adapt_llm(llm: Llm, lora: LoraConfig, finetune: bool):
    """Make trainable what the config asks for: nothing, low-rank adapters, or everything."""
    if finetune:
        llm.finetune_all()
    elif lora.rank > 0:
        llm.add_lora(lora.rank, lora.alpha, lora.dropout, tuple(lora.targets))


def build_speech_llm(config: TrainLlmConfig, speech: SpeechEncoder, llm: Llm, mask_id: int | None = None) -> SpeechLlm:
    """The model of stage 5 from an encoder and an LLM."""
    adapt_llm(llm, config.lora, config.llm.finetune)
    return SpeechLlm(
        speech,
        build_adaptor(config, speech.output_dim, llm.dim),
        llm,
        train_encoder=config.train_encoder,
        target_masking=config.target_masking,
        mask_id=mask_id,
        attention=config.speech_attention,
    )
