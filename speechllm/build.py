"""The only bridge from config to objects."""

import dataclasses
from pathlib import Path

import torch
import yaml
from safetensors.torch import load_file

from speechllm.config import (
    EncoderConfig,
    LoraConfig,
    SpecAugmentConfig,
    TrainCtcConfig,
    TrainLlmConfig,
)
from speechllm.errors import UserError
from speechllm.models.adaptors.stack import StackAdaptor
from speechllm.models.cmvn import GlobalCmvn
from speechllm.models.conformer import ConformerEncoder
from speechllm.models.ctc import CtcModel, SpeechEncoder
from speechllm.models.llm import Llm, load_llm
from speechllm.models.spec_augment import SpecAugment
from speechllm.models.speech_llm import SpeechLlm


def build_speech_encoder(
    encoder: EncoderConfig,
    spec_augment: SpecAugmentConfig,
    num_mel_bins: int,
    cmvn: tuple | None = None,
) -> SpeechEncoder:
    """Normalisation, SpecAugment and encoder; without ``cmvn`` (mean, istd) it waits for a checkpoint's."""
    mean, istd = cmvn or (torch.zeros(num_mel_bins), torch.ones(num_mel_bins))
    return SpeechEncoder(
        GlobalCmvn(torch.as_tensor(mean), torch.as_tensor(istd)),
        ConformerEncoder(num_mel_bins, **dataclasses.asdict(encoder)),
        SpecAugment(**dataclasses.asdict(spec_augment)),
    )


def build_ctc_model(
    config: TrainCtcConfig, num_units: int, num_mel_bins: int, cmvn: tuple | None = None
) -> CtcModel:
    """The model of stage 4; ``num_units`` counts the blank."""
    speech = build_speech_encoder(config.encoder, config.spec_augment, num_mel_bins, cmvn)
    return CtcModel(speech, num_units, config.flat_start)


def build_adaptor(config: TrainLlmConfig, encoder_dim: int, llm_dim: int):
    adaptors = {"stack": lambda: StackAdaptor(encoder_dim, llm_dim, config.adaptor.stack_factor)}
    return adaptors[config.adaptor.type]()


def adapt_llm(llm: Llm, lora: LoraConfig, finetune: bool):
    """Make trainable what the config asks for: nothing, low-rank adapters, or everything."""
    if finetune:
        llm.finetune_all()
    elif lora.rank > 0:
        llm.add_lora(lora.rank, lora.alpha, lora.dropout, tuple(lora.targets))


def build_speech_llm(
    config: TrainLlmConfig,
    speech: SpeechEncoder,
    llm: Llm,
    mask_id: int | None = None,
    ctc_head: torch.nn.Linear | None = None,
) -> SpeechLlm:
    """The model of stage 5 from an encoder and an LLM."""
    adapt_llm(llm, config.lora, config.llm.finetune)
    speech.spec_augment = SpecAugment(**dataclasses.asdict(config.spec_augment))
    return SpeechLlm(
        speech,
        build_adaptor(config, speech.output_dim, llm.dim),
        llm,
        train_encoder=config.train_encoder,
        target_masking=config.target_masking,
        mask_id=mask_id,
        attention=config.speech_attention,
        ctc_head=ctc_head,
    )


def checkpoint_path(folder: str | Path) -> Path:
    """The checkpoint in an experiment folder (its averaged best), or the folder itself if it is one.

    Raises:
        UserError: neither holds a model.
    """
    folder = Path(folder)
    for path in (folder / "best", folder):
        if (path / "model.safetensors").is_file():
            return path
    raise UserError(
        f"{folder}: no trained model here (no best/model.safetensors); has its training stage finished?"
    )


def read_checkpoint_config(path: Path) -> dict:
    return yaml.safe_load((path / "config.yaml").read_text(encoding="utf-8"))


def restore(model: torch.nn.Module, path: Path):
    """Fill a model from a checkpoint; only the base LLM's own weights, which it names, are not in it.

    Raises:
        UserError: the weights do not fit the model.
    """
    result = model.load_state_dict(load_file(path / "model.safetensors"), strict=False)
    own = (
        model.checkpoint_state_dict()
        if hasattr(model, "checkpoint_state_dict")
        else model.state_dict()
    )
    missing = [key for key in result.missing_keys if key in own]
    if missing or result.unexpected_keys:
        first = (missing + result.unexpected_keys)[0]
        raise UserError(
            f"{path}: its weights do not fit its config (first: {first}); was it made by another version?"
        )


def nested(config_class, values: dict):
    """A frozen dataclass from nested dictionaries, as saved in a checkpoint."""
    kwargs = {}
    for field in dataclasses.fields(config_class):
        if field.name in values:
            default = (
                field.default_factory()
                if field.default_factory is not dataclasses.MISSING
                else field.default
            )
            value = values[field.name]
            kwargs[field.name] = (
                nested(type(default), value) if dataclasses.is_dataclass(default) else value
            )
    return config_class(**kwargs)


def load_ctc_model(folder: str | Path) -> tuple[CtcModel, Path]:
    """The CTC model of an experiment folder, in eval mode, and its checkpoint's path (units.model lies there)."""
    path = checkpoint_path(folder)
    saved = read_checkpoint_config(path)
    if saved["model"] != "ctc":
        raise UserError(f"{folder}: holds a {saved['model']} model, not a CTC model")
    model = build_ctc_model(
        nested(TrainCtcConfig, saved["config"]), saved["num_units"], saved["num_mel_bins"]
    )
    restore(model, path)
    return model.eval(), path


def init_encoder(speech: SpeechEncoder, folder: str | Path):
    """Start an encoder from that of another run; normalisation and CTC head stay the corpus's own.

    Raises:
        UserError: the other encoder has other sizes.
    """
    path = checkpoint_path(folder)
    prefix = "speech.encoder."
    weights = {
        k.removeprefix(prefix): v
        for k, v in load_file(path / "model.safetensors").items()
        if k.startswith(prefix)
    }
    own = speech.encoder.state_dict()
    for name in own.keys() | weights.keys():
        if name not in own or name not in weights or own[name].shape != weights[name].shape:
            sizes = " and ".join(
                str(tuple(w[name].shape)) if name in w else "none" for w in (weights, own)
            )
            raise UserError(
                f"{folder}: its encoder has other sizes than this config's ({name}: {sizes}); use its encoder config"
            )
    speech.encoder.load_state_dict(weights)


def load_speech_llm(folder: str | Path) -> tuple[SpeechLlm, dict, Path]:
    """The speech LLM of an experiment folder, in eval mode; its checkpoint's config; the checkpoint's path."""
    path = checkpoint_path(folder)
    saved = read_checkpoint_config(path)
    if saved["model"] != "speech_llm":
        raise UserError(f"{folder}: holds a {saved['model']} model, not a speech LLM")
    config = nested(TrainLlmConfig, saved["config"])
    speech = build_speech_encoder(
        nested(EncoderConfig, saved["encoder"]), config.spec_augment, saved["num_mel_bins"]
    )
    llm = load_llm(saved["llm"], config.llm.dtype, config.llm.attention)
    model = build_speech_llm(
        config, speech, llm, ctc_head=torch.nn.Linear(speech.output_dim, saved["num_units"])
    )
    restore(model, path)
    return model.eval(), saved, path
