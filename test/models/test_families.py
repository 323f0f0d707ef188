"""Non-causal attention over the speech in every LLM family that takes a 4-D mask: training, cache, padding agree."""

import pytest
import torch
from transformers import AutoConfig, AutoModelForCausalLM

from helpers import BOS_ID, EOS_ID, VOCAB, llm_batch, one_of, tiny_bloom, tiny_speech_llm
from speechllm.decode.llm import greedy
from speechllm.errors import UserError
from speechllm.models.llm import Llm
from speechllm.models.llm_loading import load_llm, new_llm
from speechllm.models.mask_support import why_mask_is_lost
from speechllm.models.masks import prefix_mask

FAMILIES = (
    "llama",
    "mistral",
    "qwen2",
    "qwen3",
    "gemma",
    "granite",
    "olmo2",
    "phi3",
    "opt",
    "falcon",
)
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


# Families whose sizes have other names, or that do not take all of these.
GENERAL = {"num_hidden_layers", "num_attention_heads", "head_dim"}
OTHER_NAMES = {
    "opt": {"ffn_dim": 48, "word_embed_proj_dim": 32},
    "gpt_neo": {"num_layers": 2, "num_heads": 4, "attention_types": [[["global", "local"], 1]]},
    "mpt": {"d_model": 32, "n_heads": 4, "n_layers": 2},
}


def tiny(family: str, attention: str = "sdpa", **sizes) -> Llm:
    torch.manual_seed(0)
    left_out = {"mpt": SIZES.keys(), "gpt_neo": GENERAL, "falcon": {"head_dim"}}.get(family, ())
    known = {name: size for name, size in SIZES.items() if name not in left_out}
    config = AutoConfig.for_model(family, **known | OTHER_NAMES.get(family, {}) | sizes)
    return Llm(AutoModelForCausalLM.from_config(config, attn_implementation=attention).eval())


@pytest.mark.parametrize("instruction", [[], [3, 7]])
@pytest.mark.parametrize("family", FAMILIES)
def test_decoding_with_a_cache_scores_as_training_does(family, instruction):
    model, batch = tiny_speech_llm(tiny(family), attention="prefix"), llm_batch()
    before = torch.tensor(instruction).long()
    batch["prompts"] = [[before, *parts] for parts in batch["prompts"]]
    rows, speech = model.rows(batch["feats"], batch["feat_lens"], batch["prompts"])
    hyps = greedy(model.llm, rows, [5, 3, 6], EOS_ID, speech)
    for b, hyp in enumerate(hyps):
        one = one_of(batch, b) | {"prompts": [[before, 0, torch.tensor([BOS_ID])]]}
        one["targets"] = [torch.tensor(hyp.token_ids + [EOS_ID] * (hyp.status == "ok"))]
        loss, _, _ = model(**one)
        assert loss.item() == pytest.approx(-hyp.score, abs=2e-3)


@pytest.mark.parametrize("family", FAMILIES)
def test_speech_is_seen_both_ways_and_text_causally(family):
    llm = tiny(family)
    x, speech = torch.randn(1, 7, llm.dim), torch.tensor([[0, 1, 1, 1, 0, 0, 0]])

    def moved(changed_at, mask):
        other = x.clone()
        other[0, changed_at] += torch.randn(llm.dim)  # a layer norm would not see a constant
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
    ("family", "sizes", "why"),
    [
        ("falcon", {"alibi": True}, "ALiBi"),
        ("mpt", {}, "ALiBi"),
        ("gpt_neo", {}, "a mask of their own"),
        ("mistral", {"sliding_window": 16}, "sliding_attention .16 positions."),
        ("gemma2", {"sliding_window": 16}, "sliding_attention .16 positions."),
        ("gemma3_text", {"sliding_window": 16}, "sliding_attention"),
        ("cohere2", {"sliding_window": 255}, "sliding_attention .255 positions."),
        ("gpt_oss", {"sliding_window": 16, "num_local_experts": 2}, "sliding_attention"),
        ("llama4_text", {"num_local_experts": 2, "pad_token_id": 0}, "chunked_attention"),
        ("rwkv", {}, "does not look at it"),
        ("openai-gpt", {"n_embd": 32, "n_layer": 2, "n_head": 4}, "it fails with one"),
    ],
)
def test_what_reads_a_4d_mask_in_part_only_is_refused_with_the_reason(family, sizes, why):
    llm = tiny(family, "eager", **sizes)
    for options in ({"attention": "prefix"}, {"packing": True}):
        with pytest.raises(UserError, match=f"this {family} does not: .*{why}.*; use ") as error:
            tiny_speech_llm(llm, **options)
        assert "\n" not in str(error.value)
    assert tiny_speech_llm(llm).attention == "causal"


def test_dropout_does_not_hide_that_a_mask_is_lost():
    llm = tiny("llama")
    llm.hidden = lambda x, mask=None: torch.nn.functional.dropout(x, 0.5, llm.model.training)
    llm.model.train()
    assert why_mask_is_lost(llm) == "it does not look at it"
    assert llm.model.training and all(module.training for module in llm.model.modules())


def test_a_failure_that_is_not_the_masks_is_not_blamed_on_it():
    llm = tiny("llama")

    def fail(x, mask=None):
        raise RuntimeError("out of memory")

    llm.hidden = fail
    with pytest.raises(RuntimeError, match="out of memory"):
        why_mask_is_lost(llm)


def test_a_window_that_is_never_left_or_not_in_use_is_none():
    for family, sizes in (
        ("mistral", {"sliding_window": 256}),
        ("mistral", {"sliding_window": None}),
        ("gemma3_text", {"sliding_window": 512}),
        ("qwen2", {"sliding_window": 16, "use_sliding_window": False}),
    ):
        assert why_mask_is_lost(tiny(family, **sizes)) == ""


def test_positions_of_a_4d_mask_are_those_without_one():
    """OPT would count them in the mask."""
    llm = tiny("opt")
    x = torch.randn(2, 6, llm.dim)
    mask = prefix_mask(torch.tensor([6, 4]), torch.zeros(2, 6, dtype=torch.long))
    found, expected = llm.hidden(x, mask), llm.hidden(x)
    torch.testing.assert_close(found[0], expected[0])
    torch.testing.assert_close(found[1, :4], expected[1, :4])


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


@pytest.mark.parametrize("llm, attention", [(tiny("llama"), "sdpa"), (tiny_bloom(), "eager")])
def test_a_folder_is_loaded_with_the_attention_that_its_family_has(tmp_path, llm, attention):
    llm.model.save_pretrained(tmp_path)
    loaded = load_llm(str(tmp_path)).eval()
    assert loaded.config._attn_implementation == attention
    assert new_llm(str(tmp_path), {}).config._attn_implementation == attention
    ids = torch.tensor([[BOS_ID, 5, 6, 7]])
    with torch.no_grad():
        expected = AutoModelForCausalLM.from_pretrained(tmp_path)(ids).logits
        hidden = loaded.hidden(loaded.embed(ids), torch.ones_like(ids))
    assert torch.allclose(loaded.logits(hidden), expected, atol=1e-5)
