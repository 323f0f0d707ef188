"""Non-causal attention over the speech in every LLM family that takes a 4-D mask: training, cache, padding agree."""

import pytest
import torch
from transformers import AutoConfig, AutoModelForCausalLM

from helpers import BOS_ID, EOS_ID, VOCAB, llm_batch, one_of, tiny_bloom, tiny_speech_llm
from speechllm.decode.llm import greedy
from speechllm.errors import UserError
from speechllm.models.llm import Llm, new_llm

FAMILIES = ("llama", "mistral", "qwen2", "qwen3", "gemma", "granite", "olmo2", "phi3")
SIZES = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 8,
    "intermediate_size": 48,
    "vocab_size": VOCAB,
    "max_position_embeddings": 256,
    "initializer_range": 0.2,
    "bos_token_id": BOS_ID,
    "eos_token_id": EOS_ID,
    "pad_token_id": None,
}


def tiny(family: str, attention: str = "sdpa") -> Llm:
    torch.manual_seed(0)
    config = AutoConfig.for_model(family, **SIZES)
    return Llm(AutoModelForCausalLM.from_config(config, attn_implementation=attention).eval())


@pytest.mark.parametrize("family", FAMILIES)
def test_decoding_with_a_cache_scores_as_training_does(family):
    model, batch = tiny_speech_llm(tiny(family), attention="prefix"), llm_batch()
    rows, speech = model.rows(batch["feats"], batch["feat_lens"], batch["prompts"])
    hyps = greedy(model.llm, rows, [5, 3, 6], EOS_ID, speech)
    for b, hyp in enumerate(hyps):
        one = one_of(batch, b)
        one["targets"] = [torch.tensor(hyp.token_ids + [EOS_ID] * (hyp.status == "ok"))]
        loss, _, _ = model(**one)
        assert loss.item() == pytest.approx(-hyp.score, abs=2e-3)


@pytest.mark.parametrize("family", FAMILIES)
def test_speech_is_seen_both_ways_and_text_causally(family):
    llm = tiny(family)
    x, speech = torch.randn(1, 7, llm.dim), torch.tensor([[0, 1, 1, 1, 0, 0, 0]])
    from speechllm.models.llm import prefix_mask

    def moved(changed_at, mask):
        other = x.clone()
        other[0, changed_at] += 1.0
        return ((llm.hidden(x, mask) - llm.hidden(other, mask)).abs().amax(2) > 1e-5)[0].tolist()

    mask = prefix_mask(torch.tensor([7]), speech)
    assert moved(3, mask) == [False, True, True, True, True, True, True]
    assert moved(3, None) == [False, False, False, True, True, True, True]
    assert moved(5, mask) == [False] * 5 + [True, True]


def test_eager_attention_reads_the_mask_as_sdpa_does():
    batch = llm_batch()
    losses = [
        tiny_speech_llm(tiny("llama", attention), attention="prefix")(**batch)[0]
        for attention in ("sdpa", "eager")
    ]
    torch.testing.assert_close(*losses, rtol=1e-4, atol=1e-4)


def test_a_family_without_4d_masks_is_refused_by_name():
    with pytest.raises(UserError, match="bloom .* use causal"):
        tiny_speech_llm(tiny_bloom(), attention="prefix")


@pytest.mark.parametrize(
    ("sizes", "head_dim"),
    [
        ({}, 16),
        ({"num_hidden_layers": 1}, 16),
        ({"hidden_size": 48}, 12),
        ({"num_attention_heads": 8}, 4),
        ({"hidden_size": 48, "head_dim": 20}, 20),
    ],
)
def test_heads_of_a_new_llm_keep_their_width_unless_what_decides_it_changes(
    tmp_path, sizes, head_dim
):
    AutoConfig.for_model("qwen3", **SIZES | {"head_dim": 16}).save_pretrained(tmp_path)
    assert new_llm(str(tmp_path), sizes).config.head_dim == head_dim
