"""Divergence from the LLM's distribution after text."""

import pytest
import torch
import torch.nn.functional as F

from helpers import BOS_ID, llm_batch, tiny_llama, tiny_speech_llm
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


def test_the_loss_is_the_divergence_from_the_text_prompt():
    model = tiny_speech_llm(distill_weight=1.0, distill_top_k=40)
    model.training = True  # the parts stay as they are: no dropout, no SpecAugment
    batch = llm_batch()
    texts = [
        torch.tensor([BOS_ID, 7, 8]),
        torch.tensor([BOS_ID, 9]),
        torch.tensor([BOS_ID, 5, 6, 7]),
    ]
    loss, weight, stats = model(**batch, text_prompts=[[ids] for ids in texts])
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
