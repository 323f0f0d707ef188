"""From config to objects."""

import dataclasses

import torch

from speechllm.config import (
    ConformerConfig,
    EspnetEncoderConfig,
    Ia3Config,
    LlmConfig,
    LoraConfig,
    NoPeftConfig,
    OftConfig,
    SpecAugmentConfig,
    TrainCtcConfig,
    TrainEncoderDecoderConfig,
    TrainLlmConfig,
)
from speechllm.data.prompts import TASKS, ChatTemplate, PromptTemplate
from speechllm.errors import UserError
from speechllm.models.adapters import add_ia3, add_lora, add_oft
from speechllm.models.adaptors.conv import ConvAdaptor
from speechllm.models.adaptors.ctc_compressor import CtcCompressorAdaptor
from speechllm.models.adaptors.qformer import QformerAdaptor
from speechllm.models.adaptors.stack import StackAdaptor
from speechllm.models.baselines import EncoderDecoder
from speechllm.models.cmvn import GlobalCmvn
from speechllm.models.conformer import ConformerEncoder
from speechllm.models.ctc import CtcModel, SpeechEncoder
from speechllm.models.espnet_encoder import EspnetEncoder
from speechllm.models.llm import Llm
from speechllm.models.llm_loading import load_llm, new_llm
from speechllm.models.llm_tokenizer import LlmTokenizer
from speechllm.models.spec_augment import SpecAugment
from speechllm.models.speech_llm import SpeechLlm

# What the value of ``type`` in a config stands for; the section's other keys are the arguments of the class.
ENCODERS = {"conformer": ConformerEncoder, "espnet": EspnetEncoder}
ADAPTORS = {
    "stack": StackAdaptor,
    "conv": ConvAdaptor,
    "qformer": QformerAdaptor,
    "ctc_compressor": CtcCompressorAdaptor,
}
ADAPTERS = {"ia3": add_ia3, "oft": add_oft}  # beside LoRA
NO_PEFT = NoPeftConfig()


def build_kind(classes: dict[str, type], section, *args) -> torch.nn.Module:
    """The module that a config section with a ``type`` describes; ``args`` go before its settings."""
    settings = dataclasses.asdict(section)
    return classes[settings.pop("type")](*args, **settings)


def build_speech_encoder(
    encoder: ConformerConfig | EspnetEncoderConfig,
    spec_augment: SpecAugmentConfig,
    num_mel_bins: int,
    cmvn: tuple | None = None,
) -> SpeechEncoder:
    """Normalisation, SpecAugment and encoder; without ``cmvn`` (mean, istd) it waits for a checkpoint's."""
    mean, istd = cmvn or (torch.zeros(num_mel_bins), torch.ones(num_mel_bins))
    return SpeechEncoder(
        GlobalCmvn(torch.as_tensor(mean), torch.as_tensor(istd)),
        build_kind(ENCODERS, encoder, num_mel_bins),
        SpecAugment(**dataclasses.asdict(spec_augment)),
    )


def build_ctc_model(
    config: TrainCtcConfig, num_units: int, num_mel_bins: int, cmvn: tuple | None = None
) -> CtcModel:
    """The model of stage 4; ``num_units`` counts the blank."""
    speech = build_speech_encoder(config.encoder, config.spec_augment, num_mel_bins, cmvn)
    return CtcModel(
        speech,
        num_units,
        config.flat_start,
        config.intermediate_layers,
        config.intermediate_weight,
    )


def build_encoder_decoder(
    config: TrainEncoderDecoderConfig, num_units: int, num_mel_bins: int, cmvn: tuple | None = None
) -> EncoderDecoder:
    """The baseline without an LLM; ``num_units`` counts the blank."""
    speech = build_speech_encoder(config.encoder, config.spec_augment, num_mel_bins, cmvn)
    return EncoderDecoder(
        speech,
        num_units,
        **dataclasses.asdict(config.decoder),
        ctc_weight=config.ctc_weight,
        label_smoothing=config.label_smoothing,
    )


def build_llm(config: LlmConfig, name: str) -> Llm:
    """The named LLM, or one of its family with random weights."""
    if config.from_scratch:
        return new_llm(name, config.sizes, config.dtype, config.attention)
    return load_llm(name, config.dtype, config.attention)


def check_adapters(
    lora: LoraConfig, config: LlmConfig, peft: NoPeftConfig | Ia3Config | OftConfig = NO_PEFT
):
    """Raise a UserError if a config asks for more than one of LoRA, other adapters, and all weights."""
    if peft.type != "none" and lora.rank > 0:
        raise UserError(
            f"peft.type: {peft.type} stands in the place of LoRA, but lora.rank is {lora.rank}; set lora.rank: 0"
        )
    for key in ("finetune", "from_scratch"):
        if getattr(config, key) and (lora.rank > 0 or peft.type != "none"):
            found, none = (f"lora.rank is {lora.rank}", "lora.rank: 0")
            if lora.rank == 0:
                found, none = (f"peft.type is {peft.type}", "peft.type: none")
            raise UserError(
                f"llm.{key}: true trains all weights, but {found}; set {none}, "
                f"or llm.{key}: false to train the adapters alone"
            )


def check_llm_training(config: TrainLlmConfig):
    """Raise a UserError if settings contradict each other: before an LLM is loaded."""
    check_adapters(config.lora, config.llm, config.peft)
    if config.packing and config.distill_weight:
        raise UserError(
            "packing and distill_weight do not go together: the text prompts are not packed; "
            "set packing: false"
        )
    if config.target == "transcript" and config.distill_weight:
        raise UserError(
            f"target: transcript learns transcripts, but distill_weight {config.distill_weight:g} is what the LLM "
            "thinks as an answer to them; set distill_weight: 0"
        )
    if config.alignment_weight and config.train_encoder and not config.ctc_weight:
        raise UserError(
            "alignment_weight goes by how CTC aligns speech with its text, and CTC drifts while the encoder "
            "learns without it; set ctc_weight above 0 (0.3), or train_encoder: false"
        )


def adapt_llm(
    llm: Llm,
    lora: LoraConfig,
    config: LlmConfig,
    peft: NoPeftConfig | Ia3Config | OftConfig = NO_PEFT,
):
    """Make trainable what the config asks for: nothing, adapters, or everything.

    Raises:
        UserError: see ``check_adapters``.
    """
    check_adapters(lora, config, peft)
    if config.finetune or config.from_scratch:
        llm.finetune_all()
    elif lora.rank > 0:
        add_lora(llm.model, lora.rank, lora.alpha, lora.dropout, tuple(lora.targets), lora.dora)
    elif peft.type != "none":
        settings = dataclasses.asdict(peft)
        ADAPTERS[settings.pop("type")](llm.model, **settings)


def build_speech_llm(
    config: TrainLlmConfig,
    speech: SpeechEncoder,
    llm: Llm,
    mask_id: int | None = None,
    ctc_head: torch.nn.Linear | None = None,
) -> SpeechLlm:
    """The model of stage 5 from an encoder and an LLM."""
    adapt_llm(llm, config.lora, config.llm, config.peft)
    speech.spec_augment = SpecAugment(**dataclasses.asdict(config.spec_augment))
    return SpeechLlm(
        speech,
        build_kind(ADAPTORS, config.adaptor, speech.output_dim, llm.dim),
        llm,
        train_encoder=config.train_encoder,
        target_masking=config.target_masking,
        mask_id=mask_id,
        attention=config.speech_attention,
        ctc_head=ctc_head,
        soft_text=config.soft_text,
        soft_text_gate=config.soft_text_gate,
        ctc_weight=config.ctc_weight,
        packing=config.packing,
        distill_weight=config.distill_weight,
        distill_top_k=config.distill_top_k,
    )


def build_templates(
    config: TrainLlmConfig, tokenizer: LlmTokenizer
) -> dict[str, PromptTemplate | ChatTemplate]:
    """What turns an utterance into a prompt, by task.

    Raises:
        UserError: a task that does not exist.
    """
    if unknown := sorted(config.other_tasks.keys() - set(TASKS[1:])):
        raise UserError(
            f"other_tasks: there is no task {unknown[0]!r}; there are {', '.join(TASKS[1:])}"
        )

    def template(prompt: str) -> PromptTemplate | ChatTemplate:
        if config.chat:
            return build_chat_template(prompt, tokenizer, config.system)
        return PromptTemplate(prompt, tokenizer.encode, tokenizer.bos_id, tokenizer.eos_id)

    prompts = {"text": config.prompt} | config.other_tasks
    return {task: template(prompt) for task, prompt in prompts.items()}


def build_chat_template(prompt: str, tokenizer: LlmTokenizer, system: str = "") -> ChatTemplate:
    """A user's turn in the LLM's chat template."""
    return ChatTemplate(
        prompt, tokenizer.render_chat, tokenizer.encode, tokenizer.encode_after, system
    )
