"""Utterances of a manifest as tensors, for CTC and for the LLM."""

from collections.abc import Callable

import torch
from torch.utils.data import Dataset

from speechllm.data.ark import read_ark
from speechllm.data.manifest import Manifest
from speechllm.data.rows import Row
from speechllm.data.tokenizer import CtcTokenizer


class CtcDataset(Dataset):
    """Features and CTC units of each utterance: ``{"utt_id", "feats" (T, F), "units" (U,)}``."""

    def __init__(self, manifest: Manifest, tokenizer: CtcTokenizer):
        self.manifest, self.tokenizer = manifest, tokenizer

    def __len__(self) -> int:
        return len(self.manifest)

    def __getitem__(self, index: int) -> dict:
        row = self.manifest.row(index)
        units = torch.tensor(self.tokenizer.encode(row.transcript), dtype=torch.long)
        return {"utt_id": row.utt_id, "feats": read_ark(row.ark, row.offset), "units": units}


class LlmDataset(Dataset):
    """Features, prompt and target of each utterance.

    An utterance is ``{"utt_id", "feats" [(T, F), ...], "prompt", "target" (L,)}``, with CTC units also
    ``"units" [(U,), ...]``, with masking ``"masking"``; the prompt's parts are LongTensors of token ids, or indices
    into ``feats``.

    Args:
        make_prompt: parts of the prompt from a row.
        encode_target: token ids of a row's target, its end included.
        encode_units: CTC units of a row, where the encoder learns to write them along the way, or is aligned with them.
        masking: by language the share of the target that is hidden from the LLM, where some is.
        make_text_prompt: parts of the same prompt in text alone, which then come as ``"text_prompt"``.
    """

    def __init__(
        self,
        manifest: Manifest,
        make_prompt: Callable[[Row], list],
        encode_target: Callable[[Row], list[int]],
        encode_units: Callable[[Row], list[int]] | None = None,
        masking: dict[str, float] | None = None,
        make_text_prompt: Callable[[Row], list] | None = None,
    ):
        self.manifest, self.make_prompt, self.encode_target = manifest, make_prompt, encode_target
        self.encode_units, self.masking = encode_units, masking
        self.make_text_prompt = make_text_prompt

    def __len__(self) -> int:
        return len(self.manifest)

    def __getitem__(self, index: int) -> dict:
        row = self.manifest.row(index)
        utt = {
            "utt_id": row.utt_id,
            "feats": [read_ark(row.ark, row.offset)],
            "prompt": self.make_prompt(row),
            "target": torch.as_tensor(self.encode_target(row), dtype=torch.long),
        }
        if self.encode_units:
            utt["units"] = [torch.tensor(self.encode_units(row), dtype=torch.long)]
        if self.masking:
            utt["masking"] = self.masking[row.lang]
        if self.make_text_prompt:
            utt["text_prompt"] = self.make_text_prompt(row)
        return utt
