"""The LLM of the benchmarks, the mini preset's shape with LoRA, and the usual way to train one."""

import torch
import yaml
from common import ROOT
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence
from transformers import LlamaConfig, LlamaForCausalLM

from speechllm.models.adapters import add_lora
from speechllm.models.join import IGNORE_INDEX
from speechllm.models.llm import Llm
from speechllm.models.speech_llm import SpeechLlm

BOS_ID, EOS_ID = 1, 2
POSITIONS_PER_SECOND = 12.5  # of speech, at stride 8 and stack factor 1
TOKENS_PER_SECOND = 4
# Where CTC's text departs from what greedy search writes, in tokens: how often, and how many of the output's it has how
# many others for. Counted with a trained mini preset (commit ccec597) on its dev and test sets, 920 utterances of 11
# tokens, by the edits of rapidfuzz, neighbours taken together; the last stands for all rarer ones.
DRAFT_FAULT_RATE = 430 / 10_174
DRAFT_FAULTS = {
    (1, 0): 94, (0, 1): 77, (1, 1): 56, (2, 0): 22, (2, 1): 22, (2, 2): 19, (1, 2): 15, (0, 2): 12, (3, 2): 11,
    (3, 1): 10, (1, 3): 10, (3, 0): 9, (2, 3): 9, (3, 3): 6, (4, 0): 6, (3, 4): 5, (4, 1): 5, (4, 2): 4, (4, 4): 38,
}  # fmt: skip


def make_llm(vocab_size: int, small: bool = False) -> Llm:
    """A LLaMA with random weights in the shape of conf/mini/llm.yaml, and adapters that do something.

    Its end token never comes by itself: lengths are set by limits.
    """
    path = ROOT / "egs/mls/conf/mini/llm.yaml"
    shape = yaml.safe_load(path.read_text(encoding="utf-8"))
    if small:
        shape |= {"dim": 32, "num_layers": 2, "num_heads": 4, "ffn_dim": 48}
    torch.manual_seed(0)
    config = LlamaConfig(
        hidden_size=shape["dim"],
        num_hidden_layers=shape["num_layers"],
        num_attention_heads=shape["num_heads"],
        intermediate_size=shape["ffn_dim"],
        vocab_size=vocab_size,
        max_position_embeddings=1024,
        initializer_range=0.1,  # large enough that different inputs give different tokens
        bos_token_id=BOS_ID,
        eos_token_id=EOS_ID,
    )
    llm = Llm(LlamaForCausalLM(config).eval())
    llm.model.get_output_embeddings().weight.data[EOS_ID] = 0.0
    add_lora(llm.model, 8, 16, 0.0)
    for p in llm.parameters():
        if p.requires_grad:
            p.data.normal_(0.0, 0.05)
    return llm


class Given(nn.Module):
    """Stands for encoder and adaptor where their output is the benchmark's input."""

    def forward(self, x: Tensor, lens: Tensor) -> tuple[Tensor, Tensor]:
        return x, lens


def without_encoder(llm: Llm) -> SpeechLlm:
    """The LLM part of our model: its features are speech embeddings (B, N, H)."""
    return SpeechLlm(Given(), Given(), llm)


def make_batch(dim: int, vocab_size: int, num_utts: int, longest: float = 10.0) -> dict:
    """Random speech embeddings and targets of utterances of half to all of ``longest`` seconds."""
    generator = torch.Generator().manual_seed(1)
    seconds = longest * (0.5 + 0.5 * torch.rand(num_utts, generator=generator))
    lens = (seconds * POSITIONS_PER_SECOND).long()
    num_tokens = (seconds * TOKENS_PER_SECOND).long().tolist()
    ids = [torch.randint(3, vocab_size, (n,), generator=generator) for n in num_tokens]
    return {
        "feats": torch.randn(num_utts, int(lens.max()), dim, generator=generator),
        "feat_lens": lens,
        "prompts": [[b, torch.tensor([BOS_ID])] for b in range(num_utts)],
        "targets": [torch.cat([row, torch.tensor([EOS_ID])]) for row in ids],
    }


def prompt_rows(embed, speech: Tensor, lens: Tensor, prompts: list[list]) -> list[Tensor]:
    """What stands before the targets, row by row: (L_b, H)."""
    ends = lens.tolist()
    return [
        torch.cat([speech[p, : ends[p]] if isinstance(p, int) else embed(p) for p in prompt])
        for prompt in prompts
    ]


class UsualLlm(SpeechLlm):
    """The same model, its LLM used as transformers shows: padded on the right, mask, ``labels=``."""

    def forward(self, feats, feat_lens, prompts, targets):
        speech, lens = self.encode(feats, feat_lens)
        rows = prompt_rows(self.llm.embed, speech, lens, prompts)
        inputs, masks, labels = [], [], []
        for row, target in zip(rows, targets, strict=True):
            inputs.append(torch.cat([row, self.llm.embed(target)]))
            masks.append(torch.ones(len(inputs[-1]), dtype=torch.long))
            labels.append(torch.cat([torch.full((len(row),), IGNORE_INDEX), target]))
        out = self.llm.model(
            inputs_embeds=pad_sequence(inputs, batch_first=True),
            attention_mask=pad_sequence(masks, batch_first=True),
            labels=pad_sequence(labels, batch_first=True, padding_value=IGNORE_INDEX),
        )
        num_tokens = torch.tensor(sum(map(len, targets)))
        return out.loss * num_tokens, num_tokens, {}


def damage(token_ids: list[int], vocab_size: int, generator: torch.Generator) -> list[int]:
    """A draft of an output, with faults as CTC's text has them."""
    kinds, counts = list(DRAFT_FAULTS), torch.tensor(list(DRAFT_FAULTS.values())).float()
    num_lost = sum(k[0] * n for k, n in DRAFT_FAULTS.items()) / sum(DRAFT_FAULTS.values())
    # a fault takes more than one token
    chance = DRAFT_FAULT_RATE / (1 - DRAFT_FAULT_RATE * num_lost)
    draft, at = [], 0
    while at < len(token_ids):
        if float(torch.rand((), generator=generator)) >= chance:
            draft.append(token_ids[at])
            at += 1
            continue
        lost, put = kinds[int(torch.multinomial(counts, 1, generator=generator))]
        draft += torch.randint(EOS_ID + 1, vocab_size, (put,), generator=generator).tolist()
        at += lost
        draft += token_ids[at : at + 1]  # faults that touch count as one
        at += 1
    return draft
