"""Adapters of peft in LLaMA and BLOOM: equal at the start, alone trainable, off again, and back from a checkpoint."""

import pytest
import torch

from helpers import llm_batch, tiny_bloom, tiny_llama, tiny_speech_llm
from speechllm import build
from speechllm.bin.training import hidden_matrices
from speechllm.config import Ia3Config, LlmConfig, LoraConfig, NoPeftConfig, OftConfig
from speechllm.errors import UserError
from speechllm.models.adapters import add_lora, merge_adapters, without_adapters

FAMILIES = {"llama": tiny_llama, "bloom": tiny_bloom}
KINDS = {
    "lora": (LoraConfig(rank=4), NoPeftConfig()),
    "dora": (LoraConfig(rank=4, dora=True), NoPeftConfig()),
    "ia3": (LoraConfig(rank=0), Ia3Config()),
    "oft": (LoraConfig(rank=0), OftConfig(block_size=8)),
}
each_kind = pytest.mark.parametrize("kind", KINDS)
each_family = pytest.mark.parametrize("family", FAMILIES)


def adapted(kind: str, family: str):
    llm = FAMILIES[family]()
    lora, peft = KINDS[kind]
    build.adapt_llm(llm, lora, LlmConfig(), peft)
    return llm


def disturb(llm, size=0.1, seed=0):
    """Change every adapter weight a little."""
    generator = torch.Generator().manual_seed(seed)
    for p in llm.parameters():
        if p.requires_grad:
            p.data += size * torch.randn(p.shape, generator=generator)


@each_family
@each_kind
def test_adapters_start_as_the_plain_llm_and_are_all_that_learns(kind, family):
    llm, x = adapted(kind, family), torch.randn(2, 5, 32)
    torch.testing.assert_close(llm.hidden(x), FAMILIES[family]().hidden(x), rtol=1e-4, atol=1e-5)
    prefix = {"dora": "lora_"}.get(kind, f"{kind}_")
    learns = [name for name, p in llm.named_parameters() if p.requires_grad]
    assert learns and all(prefix in name for name in learns)


@each_family
@each_kind
def test_adapters_can_be_switched_off(kind, family):
    llm, x = adapted(kind, family), torch.randn(2, 5, 32)
    disturb(llm)
    assert not torch.allclose(llm.hidden(x), FAMILIES[family]().hidden(x), atol=1e-3)
    with without_adapters(llm.model):
        assert torch.equal(llm.hidden(x), FAMILIES[family]().hidden(x))


@each_family
@each_kind
def test_a_checkpoint_brings_the_adapters_back(kind, family):
    first, second = (tiny_speech_llm(adapted(kind, family)) for _ in range(2))
    disturb(first.llm)
    saved = first.checkpoint_state_dict()
    in_llm = [name for name in saved if name.startswith("llm.")]
    assert len(in_llm) == sum(p.requires_grad for p in first.llm.parameters())
    assert not second.load_state_dict(saved, strict=False).unexpected_keys
    batch = llm_batch()
    torch.testing.assert_close(second(**batch)[0], first(**batch)[0])


@each_family
@each_kind
def test_adapters_learn_one_batch_better(kind, family):
    model = tiny_speech_llm(adapted(kind, family)).train()
    model.speech.requires_grad_(False).eval()
    model.adaptor.requires_grad_(False)
    batch, losses = llm_batch(), []
    optimizer = torch.optim.Adam([p for p in model.parameters() if p.requires_grad], 3e-2)
    for _ in range(15):
        loss, _, _ = model(**batch)
        losses.append(loss.item())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert losses[-1] < 0.95 * losses[0]


def test_ia3_scales_what_it_should():
    llm = adapted("ia3", "llama")
    layer, x = llm.model.model.layers[0], torch.randn(3, 32)
    scale = layer.self_attn.k_proj.ia3_l["default"]
    scale.data.fill_(3.0)
    torch.testing.assert_close(layer.self_attn.k_proj(x), 3 * layer.self_attn.k_proj.base_layer(x))
    inner, down = torch.randn(3, 48), layer.mlp.down_proj
    down.ia3_l["default"].data.fill_(2.0)
    torch.testing.assert_close(down(inner), down.base_layer(2 * inner))
    assert not hasattr(layer.self_attn.q_proj, "ia3_l")


def test_oft_keeps_the_lengths_of_what_a_matrix_reads():
    llm = adapted("oft", "llama")
    disturb(llm, size=0.03)  # the inverse in its formula is a short series, for small rotations
    rotation, x = llm.model.model.layers[0].self_attn.q_proj.oft_R["default"], torch.randn(3, 32)
    turned = rotation(x)
    assert not torch.allclose(turned, x, atol=1e-3)
    torch.testing.assert_close(turned.norm(dim=1), x.norm(dim=1), rtol=1e-2, atol=1e-2)


@pytest.mark.parametrize("kind", ["ia3", "oft"])
def test_what_is_no_matrix_is_not_learnt_as_one(kind):
    model = tiny_speech_llm(adapted(kind, "llama"))
    chosen = {id(p) for p in hidden_matrices(model)}
    assert not any(id(p) in chosen for p in model.llm.parameters())


def test_two_ways_of_adapting_are_refused():
    with pytest.raises(UserError, match="peft.type: ia3 .* lora.rank is 8; set lora.rank: 0"):
        build.adapt_llm(tiny_llama(), LoraConfig(rank=8), LlmConfig(), Ia3Config())
    with pytest.raises(
        UserError, match="llm.finetune: true .* peft.type is ia3; set peft.type: none"
    ):
        build.adapt_llm(tiny_llama(), LoraConfig(rank=0), LlmConfig(finetune=True), Ia3Config())


def test_an_unknown_target_is_named():
    with pytest.raises(UserError, match="peft.targets: the LLM has no module 'w_k'"):
        build.adapt_llm(tiny_llama(), LoraConfig(rank=0), LlmConfig(), Ia3Config(targets=["w_k"]))


def test_lora_at_start_changes_nothing_and_alone_is_trainable():
    plain, adapted = tiny_llama(), tiny_llama()
    add_lora(adapted.model, 4, 8.0, 0.0)
    x = torch.randn(2, 5, 32)
    torch.testing.assert_close(adapted.hidden(x), plain.hidden(x))
    trainable = [name for name, p in adapted.named_parameters() if p.requires_grad]
    assert len(trainable) == 2 * 4 * 2 and all("lora_" in name for name in trainable)


@pytest.mark.parametrize("family", FAMILIES)
def test_merged_adapters_are_the_same_function(family):
    llm = FAMILIES[family]()
    add_lora(llm.model, 4, 8.0, 0.0)
    for p in llm.parameters():
        if p.requires_grad:
            torch.nn.init.normal_(p, std=0.1)
    x = torch.randn(2, 5, 32)
    apart = llm.hidden(x)
    with without_adapters(llm.model):
        assert (apart - llm.hidden(x)).abs().max() > 0.01
    layer = next(m for m in llm.model.modules() if hasattr(m, "lora_A"))
    before = layer.base_layer.weight.clone()
    merge_adapters(llm.model)
    assert (layer.base_layer.weight - before).abs().max() > 0.01
    torch.testing.assert_close(llm.hidden(x), apart, rtol=1e-4, atol=1e-4)
    assert not any("lora_" in name for name, _ in llm.named_parameters())


def test_lora_is_the_scaled_product_of_its_matrices():
    llm = tiny_llama()
    add_lora(llm.model, 4, 8.0, 0.0)
    layer = llm.model.model.layers[0].self_attn.q_proj
    torch.nn.init.normal_(layer.lora_B["default"].weight)
    merged = (
        layer.base_layer.weight
        + 8.0 / 4 * layer.lora_B["default"].weight @ layer.lora_A["default"].weight
    )
    x = torch.randn(3, 32)
    torch.testing.assert_close(layer(x), x @ merged.T, rtol=1e-4, atol=1e-5)


def test_bloom_lora_adapts_the_fused_attention():
    llm = tiny_bloom()
    add_lora(llm.model, 2, 4.0, 0.0)
    trainable = {
        name.split(".lora_")[0].rsplit(".", 1)[1]
        for name, p in llm.named_parameters()
        if p.requires_grad
    }
    assert trainable == {"query_key_value", "dense"}


def test_unknown_lora_target_is_named():
    with pytest.raises(UserError, match="no module 'w_q'"):
        add_lora(tiny_llama().model, 4, 8.0, 0.0, ("w_q",))


def test_adapters_of_a_half_precision_llm_are_float32():
    llm = tiny_llama()
    llm.model.to(torch.bfloat16)
    add_lora(llm.model, 4, 8.0, 0.0)
    assert {p.dtype for p in llm.parameters() if p.requires_grad} == {torch.float32}
    assert llm.hidden(torch.randn(1, 3, 32, dtype=torch.bfloat16)).dtype == torch.bfloat16
