"""Finding and loading Hugging Face causal language models: weights, config, tokenizer, and which weights they are."""

import hashlib
import sys
from contextlib import contextmanager
from pathlib import Path

import torch
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer
from transformers.utils.logging import disable_progress_bar

from speechllm.errors import UserError
from speechllm.models.llm import Llm

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


@contextmanager
def opening(name: str, trouble: str):
    """Around what transformers reads of an LLM: its errors as a UserError of one line.

    Args:
        trouble: how that line goes on after the name, such as "has no readable config".

    Raises:
        UserError: the name can only be meant as a folder, and there is none; or transformers finds nothing there.
    """
    looks_like_path = name.startswith((".", "/", "~")) or name.count("/") > 1
    if looks_like_path and not Path(name).is_dir():
        raise UserError(
            f"LLM {name!r}: there is no such folder; give one, or a name of the Hugging Face hub"
        )
    try:
        yield
    except (OSError, ValueError) as error:
        reason = " ".join(str(error).split())[:300]
        raise UserError(f"LLM {name!r} {trouble}: {reason}") from error


def attention_asked_for(attention: str) -> str | None:
    """What transformers is told: its default is sdpa too, but eager for families without it (BLOOM)."""
    return None if attention == "sdpa" else attention


def load_llm(name: str, dtype: str = "float32", attention: str = "sdpa") -> Llm:
    """Load a causal LM by Hugging Face name or folder.

    Raises:
        UserError: the name is neither a folder with a model nor to be had from the hub.
    """
    if not sys.stderr.isatty():
        disable_progress_bar()  # in a log it is noise
    with opening(name, "cannot be loaded"):
        model = AutoModelForCausalLM.from_pretrained(
            name, dtype=DTYPES[dtype], attn_implementation=attention_asked_for(attention)
        )
    return Llm(model)


def empty_llm(config) -> Llm:
    """An LLM of a transformers config with fresh weights, on the current default device (also "meta")."""
    return Llm(AutoModelForCausalLM.from_config(config))


def new_llm(
    name: str, sizes: dict[str, int], dtype: str = "float32", attention: str = "sdpa"
) -> Llm:
    """An LLM of the family and vocabulary of a named one, with random weights.

    Args:
        sizes: entries of its transformers config to be changed.

    Raises:
        UserError: an entry that such a config does not have.
    """
    config = load_llm_config(name)
    for key, value in sizes.items():
        if not hasattr(config, key):
            raise UserError(
                f"llm.sizes: the config of a {config.model_type} has no {key!r}; see its config.json"
            )
        setattr(config, key, value)
    resized = "hidden_size" in sizes or "num_attention_heads" in sizes
    if resized and "head_dim" in config.to_dict() and "head_dim" not in sizes:
        config.head_dim = config.hidden_size // config.num_attention_heads
    model = AutoModelForCausalLM.from_config(
        config, dtype=DTYPES[dtype], attn_implementation=attention_asked_for(attention)
    )
    return Llm(model)


def load_llm_config(name: str):
    """The transformers config of an LLM, without its weights."""
    with opening(name, "has no readable config"):
        return AutoConfig.from_pretrained(name)


def load_tokenizer(name: str):
    """The transformers tokenizer of an LLM, which ``llm_tokenizer.LlmTokenizer`` wraps.

    Raises:
        UserError: the folder or name has none.
    """
    with opening(name, "has no readable tokenizer"):
        return AutoTokenizer.from_pretrained(name)


def llm_source(name: str) -> str:
    """How a checkpoint names its LLM: a folder by its absolute path, anything else as it is."""
    return str(Path(name).resolve()) if Path(name).is_dir() else name


def digest_of_files(paths) -> str:
    digest = hashlib.sha256()
    for path in paths:
        with open(path, "rb") as file:
            while block := file.read(1 << 20):
                digest.update(block)
    return f"sha256:{digest.hexdigest()}"


def llm_revision(name: str) -> str:
    """Which LLM a Hugging Face name or folder stands for: the commit, or hashes of weight files and of config.json."""
    if not Path(name).is_dir():
        return str(getattr(load_llm_config(name), "_commit_hash", None))
    folder = Path(name)
    weights = sorted([*folder.glob("*.safetensors"), *folder.glob("*.bin")])
    return ",".join(digest_of_files(paths) for paths in (weights, folder.glob("config.json")))


def same_revision(one: str, other: str) -> bool | None:
    """Whether two results of ``llm_revision`` are of the same LLM; None where that cannot be told.

    A name of the hub has a commit and a folder hashes of its files, so one of each cannot be compared; nor can a name
    whose commit is not known. Folders are compared by what both have: an older version noted the weights alone.
    """
    is_folder = [revision.startswith("sha256:") for revision in (one, other)]
    if "None" in (one, other) or is_folder[0] != is_folder[1]:
        return None
    return all(a == b for a, b in zip(one.split(","), other.split(","), strict=False))
