"""Trained models: from an experiment folder back to objects, and as the start of another run."""

from pathlib import Path

import torch
import yaml
from safetensors.torch import load_file

from speechllm.build import (
    build_ctc_model,
    build_encoder_decoder,
    build_llm,
    build_speech_encoder,
    build_speech_llm,
)
from speechllm.config import TrainCtcConfig, TrainEncoderDecoderConfig, TrainLlmConfig, from_dict
from speechllm.errors import UserError
from speechllm.models.baselines import EncoderDecoder
from speechllm.models.ctc import CtcModel, SpeechEncoder
from speechllm.models.espnet_encoder import read_espnet_weights
from speechllm.models.llm import Llm
from speechllm.models.llm_tokenizer import LlmTokenizer
from speechllm.models.speech_llm import SpeechLlm

MODELS = {  # what a checkpoint calls the model that it holds
    "ctc": "a CTC model",
    "encoder_decoder": "an encoder-decoder",
    "speech_llm": "a speech LLM",
}


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
    """What a checkpoint says of its model.

    Raises:
        UserError: weights of another origin, such as an LLM's folder.
    """
    try:
        return yaml.safe_load((path / "config.yaml").read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(
            f"{path}: weights without config.yaml; name a model that was trained by this toolkit"
        ) from None


def model_kind(folder: str | Path) -> str:
    """Which of ``MODELS`` an experiment folder holds."""
    return read_checkpoint_config(checkpoint_path(folder))["model"]


def open_checkpoint(folder: str | Path, kind: str) -> tuple[dict, Path]:
    """The config of an experiment folder's checkpoint, and its path.

    Raises:
        UserError: it holds no model, or not one of this kind.
    """
    path = checkpoint_path(folder)
    saved = read_checkpoint_config(path)
    if saved["model"] != kind:
        held = MODELS.get(saved["model"], saved["model"])
        raise UserError(f"{folder}: holds {held}, not {MODELS[kind]}")
    return saved, path


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


def load_ctc_model(folder: str | Path) -> tuple[CtcModel, Path]:
    """The CTC model of an experiment folder, in eval mode, and its checkpoint's path (units.model lies there)."""
    saved, path = open_checkpoint(folder, "ctc")
    model = build_ctc_model(
        from_dict(TrainCtcConfig, saved["config"]), saved["num_units"], saved["num_mel_bins"]
    )
    restore(model, path)
    return model.eval(), path


def load_ctc_listener(folder: str | Path) -> tuple[CtcModel, Path]:
    """As ``load_ctc_model``; of a speech LLM it is the encoder as it has learnt on, with its CTC layer.

    Raises:
        UserError: the folder holds another model, or a speech LLM without a CTC layer.
    """
    path = checkpoint_path(folder)
    saved = read_checkpoint_config(path)
    if saved["model"] != "speech_llm":
        return load_ctc_model(folder)
    weights = load_file(path / "model.safetensors")
    if "ctc_head.weight" not in weights:
        raise UserError(f"{folder}: this speech LLM was trained without a CTC layer")
    config = from_dict(TrainCtcConfig, {"encoder": saved["encoder"]})
    model = build_ctc_model(config, saved["num_units"], saved["num_mel_bins"])
    heard = {k: v for k, v in weights.items() if k.startswith(("speech.", "ctc_head."))}
    model.load_state_dict({k.replace("ctc_head.", "head.", 1): v for k, v in heard.items()})
    return model.eval(), path


def load_encoder_decoder(folder: str | Path) -> tuple[EncoderDecoder, Path]:
    """The encoder-decoder of an experiment folder, in eval mode, and its checkpoint's path."""
    saved, path = open_checkpoint(folder, "encoder_decoder")
    config = from_dict(TrainEncoderDecoderConfig, saved["config"])
    model = build_encoder_decoder(config, saved["num_units"], saved["num_mel_bins"])
    restore(model, path)
    return model.eval(), path


def init_encoder(speech: SpeechEncoder, source: str | Path):
    """Start an encoder from that of another run; normalisation and CTC head stay the corpus's own.

    Args:
        source: an experiment folder, or a model file of ESPnet.

    Raises:
        UserError: the other encoder has other sizes.
    """
    if Path(source).is_file():
        weights = read_espnet_weights(source)
    else:
        prefix = "speech.encoder."
        weights = {
            k.removeprefix(prefix): v
            for k, v in load_file(checkpoint_path(source) / "model.safetensors").items()
            if k.startswith(prefix)
        }
    own = speech.encoder.state_dict()
    for name in sorted(own.keys() | weights.keys()):
        if name not in own or name not in weights or own[name].shape != weights[name].shape:
            sizes = " and ".join(
                str(tuple(w[name].shape)) if name in w else "none" for w in (weights, own)
            )
            raise UserError(
                f"{source}: its encoder has other sizes than this config's ({name}: {sizes}); use its encoder config"
            )
    speech.encoder.load_state_dict(weights)


def init_speech_llm(model: SpeechLlm, source: str | Path):
    """Start a speech LLM from another, trained with the same encoder; what only this one trains of the LLM, adapters or
    its own weights, begins as it is.

    Raises:
        UserError: the other one has other sizes, or parts that this one lacks.
    """
    path = checkpoint_path(source)
    weights, own = load_file(path / "model.safetensors"), model.checkpoint_state_dict()
    unlike = [k for k, v in weights.items() if k not in own or own[k].shape != v.shape]
    unlike += [k for k in own if k not in weights and not k.startswith("llm.")]
    if unlike:
        raise UserError(
            f"{path}: is no start for this config (first: {unlike[0]}); use its adaptor, encoder and LLM"
        )
    model.load_state_dict(weights, strict=False)


def find_llm(name: str, path: Path) -> str:
    """The LLM that a checkpoint names: where it was, or beside the checkpoint if both were moved or packed.

    Args:
        name: a folder, or a Hugging Face name, which has one slash at most.
        path: the checkpoint.

    Raises:
        UserError: the folder is in neither place.
    """
    if Path(name).is_dir():
        return name
    beside = [folder / Path(name).name for folder in path.resolve().parents[:2]]
    for folder in beside:
        if (folder / "config.json").is_file():
            return str(folder)
    if Path(name).is_absolute() or name.count("/") > 1:
        raise UserError(
            f"{path}: its LLM is neither in {name} nor in {beside[0]}; say where it is with --llm"
        )
    return name


def check_vocabulary(llm: Llm, name: str, path: Path):
    """Raise a UserError if an LLM lacks embeddings of tokens that a checkpoint's tokenizer has: it is another one."""
    num_embeddings = llm.model.get_input_embeddings().weight.size(0)
    num_tokens = len(LlmTokenizer(str(path / "tokenizer")))
    if num_embeddings < num_tokens:
        raise UserError(
            f"{name}: has embeddings of {num_embeddings} tokens, but {path} was trained with an LLM of {num_tokens}; "
            "say where that one is with --llm"
        )


def load_speech_llm(folder: str | Path, llm_name: str = "") -> tuple[SpeechLlm, dict, Path]:
    """The speech LLM of an experiment folder, in eval mode; its checkpoint's config; the checkpoint's path.

    Args:
        llm_name: the base LLM, if it is not where the checkpoint says.

    Raises:
        UserError: the folder holds another model, or the LLM is not to be had or of another vocabulary.
    """
    saved, path = open_checkpoint(folder, "speech_llm")
    config = from_dict(TrainLlmConfig, saved["config"])
    encoder = from_dict(TrainCtcConfig, {"encoder": saved["encoder"]}).encoder
    speech = build_speech_encoder(encoder, config.spec_augment, saved["num_mel_bins"])
    name = llm_name or find_llm(saved["llm"], path)
    llm = build_llm(config.llm, name)
    check_vocabulary(llm, name, path)
    model = build_speech_llm(
        config, speech, llm, ctc_head=torch.nn.Linear(speech.output_dim, saved["num_units"])
    )
    restore(model, path)
    return model.eval(), saved, path


def load_chat_llm(
    folder: str | Path, llm_name: str = "", bit_by_bit: bool = False
) -> tuple[SpeechLlm, dict, Path]:
    """As ``load_speech_llm``, of one that has learnt to answer in turns.

    Args:
        bit_by_bit: whether it is to read a dialogue as it grows.

    Raises:
        UserError: it has not, or cannot.
    """
    saved, _ = open_checkpoint(folder, "speech_llm")
    config = from_dict(TrainLlmConfig, saved["config"])
    if not config.chat:
        raise UserError(f"{folder}: not trained with chat: true, so it has no turns to answer")
    if bit_by_bit and config.speech_attention != "causal":
        raise UserError(
            f"{folder}: trained with speech_attention: {config.speech_attention}, but a talk is read bit by bit; "
            "train with speech_attention: causal, or use bin/converse, which reads whole dialogues"
        )
    return load_speech_llm(folder, llm_name)
