"""Divergence from the LLM's distribution after text."""

import pytest
import torch
import torch.nn.functional as F

from helpers import BOS_ID, llm_batch, tiny_llama, tiny_speech_llm
from speechllm.data.prompts import PromptTemplate
from speechllm.data.rows import Row
from speechllm.models import speech_llm
from speechllm.models.adapters import add_lora
from speechllm.models.distill import divergence, top_log_probs


@pytest.fixture
def logits():
    torch.manual_seed(0)
    return torch.randn(5, 40), torch.randn(5, 40)


def test_with_all_tokens_it_is_torchs_divergence(logits):
    expected, other = (x.log_softmax(-1) for x in logits)
    values, ids = expected.topk(40)
    reference = F.kl_div(other, expected, reduction="none", log_target=True).sum(-1)
    torch.testing.assert_close(divergence(values, ids, logits[1]), reference)


def test_fewer_tokens_bound_it_from_below(logits):
    values, ids = logits[0].log_softmax(-1).sort(-1, descending=True)
    found = [divergence(values[:, :k], ids[:, :k], logits[1]) for k in (1, 3, 10, 40)]
    for less, more in zip(found, found[1:], strict=False):
        assert (less <= more + 1e-5).all() and (less >= 0).all()
    assert divergence(values[:, :3], ids[:, :3], logits[0]).abs().max() < 1e-5


def test_top_tokens_are_those_of_the_whole_distribution():
    llm = tiny_llama()
    hidden = torch.randn(7, llm.dim)
    values, ids = top_log_probs(llm, hidden, 4)
    whole = llm.logits(hidden).log_softmax(-1)
    torch.testing.assert_close(values, whole.topk(4).values)
    assert torch.equal(ids, whole.topk(4).indices)


def text_prompts() -> list[list]:
    """Those of a template without chat, as LlmDataset makes them."""
    template = PromptTemplate("{bos}a{audio}", lambda text: [ord(c) - 60 for c in text], BOS_ID, 2)
    rows = [Row(t, "s", t, None, None, "en", "x", 0, 9) for t in ("FG", "H", "IJK")]
    return [template.text_parts(row) for row in rows]


def test_the_loss_is_the_divergence_from_the_text_prompt():
    model = tiny_speech_llm(distill_weight=1.0, distill_top_k=40)
    model.training = True  # the parts stay as they are: no dropout, no SpecAugment
    batch = llm_batch()
    texts = [ids for (ids,) in text_prompts()]
    assert texts[0].tolist() == [BOS_ID, ord("a") - 60, ord("F") - 60, ord("G") - 60]
    loss, weight, stats = model(**batch, text_prompts=text_prompts())
    expected = 0.0
    with torch.no_grad():
        speech, lens = model.encode(batch["feats"], batch["feat_lens"])
        inputs, joined = model.inputs(speech, lens, batch["prompts"], batch["targets"])
        after_audio = model.llm.logits(model.llm.hidden(inputs)[joined.labels >= 0]).split(
            [len(t) for t in batch["targets"]]
        )
        for ids, target, audio in zip(texts, batch["targets"], after_audio, strict=True):
            (text,) = model.llm.target_logits([model.llm.embed(ids)], [target])
            log_p = text.log_softmax(-1)
            expected += (log_p.exp() * (log_p - audio.log_softmax(-1))).sum()
    torch.testing.assert_close(loss, expected, rtol=1e-3, atol=1e-3)
    assert weight == sum(map(len, batch["targets"]))
    torch.testing.assert_close(stats["divergence"], loss.detach() / weight)
    loss.backward()
    assert all(p.grad is None for p in model.llm.parameters())
    assert model.adaptor.proj.weight.grad.abs().sum() > 0


def test_what_is_thought_after_text_has_neither_masks_nor_dropout(monkeypatch):
    seen = []
    find = speech_llm.top_log_probs
    monkeypatch.setattr(
        speech_llm,
        "top_log_probs",
        lambda llm, hidden, k: seen.append(hidden) or find(llm, hidden, k),
    )
    model = tiny_speech_llm(distill_weight=0.5, target_masking=0.9, mask_id=0)
    add_lora(model.llm.model, 4, 8.0, 0.5)
    for p in model.llm.parameters():
        if p.requires_grad:
            torch.nn.init.normal_(p, std=0.2)
    batch = llm_batch()
    model.train()(**batch, text_prompts=text_prompts())
    assert any(module.training for module in model.llm.model.modules())  # dropout is on again
    model.eval()
    want = []
    with torch.no_grad():
        for (ids,), target in zip(text_prompts(), batch["targets"], strict=True):
            hidden = model.llm.hidden(model.llm.embed(torch.cat([ids, target[:-1]]))[None])[0]
            want.append(hidden[len(ids) - 1 :])
    torch.testing.assert_close(seen[0], torch.cat(want), rtol=1e-4, atol=1e-4)


def test_logits_in_parts_give_the_same_loss_and_gradients(monkeypatch):
    model, found, sizes = tiny_speech_llm(distill_weight=0.7, distill_top_k=5), {}, []
    model.training = True
    logits_of = model.llm.logits
    for at_once in (1 << 24, 3 * 40):
        monkeypatch.setattr("speechllm.models.llm.LOGITS_AT_ONCE", at_once)
        model.zero_grad()
        loss, _, _ = model(**llm_batch(), text_prompts=text_prompts())
        loss.backward()
        grads = {name: p.grad for name, p in model.named_parameters() if p.grad is not None}
        found[at_once] = loss.detach(), grads
        monkeypatch.setattr(model.llm, "logits", lambda x: sizes.append(len(x)) or logits_of(x))
    (whole, whole_grads), (parts, part_grads) = found.values()
    num_tokens = sum(map(len, llm_batch()["targets"]))
    assert num_tokens == 15 and set(sizes) == {3}  # also where it says what is expected
    assert (
        len(sizes) == (1 + 2 + 2) * num_tokens // 3
    )  # losses are computed again for the gradients
    torch.testing.assert_close(parts, whole)
    assert part_grads.keys() == whole_grads.keys() and len(whole_grads) > 10
    for name, grad in whole_grads.items():
        torch.testing.assert_close(part_grads[name], grad, rtol=1e-4, atol=1e-5)
