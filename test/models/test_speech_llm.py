"""The joined model: padding, label positions, adapters, masks, families."""

import pytest
import torch
from torch.nn.functional import cross_entropy

from helpers import BOS_ID, VOCAB, llm_batch, one_of, tiny_bloom, tiny_llama, tiny_speech_llm
from speechllm.errors import UserError
from speechllm.models.adapters import add_lora
from speechllm.models.adaptors.stack import StackAdaptor
from speechllm.train import optim

FAMILIES = {"llama": tiny_llama, "bloom": tiny_bloom}


@pytest.mark.parametrize("num_frames", [1, 4, 7, 8, 23])
def test_stack_adaptor_ignores_padding(num_frames):
    torch.manual_seed(0)
    adaptor = StackAdaptor(encoder_dim=6, llm_dim=8, stack_factor=4).eval()
    frames = torch.randn(1, num_frames, 6)
    padded = torch.cat([frames, torch.full((1, 5, 6), 99.0)], dim=1)

    alone, alone_lens = adaptor(frames, torch.tensor([num_frames]))
    batched, batched_lens = adaptor(padded, torch.tensor([num_frames]))

    assert alone_lens == batched_lens == alone.size(1) == -(-num_frames // 4)
    torch.testing.assert_close(batched[:, : alone.size(1)], alone)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("attention", ["causal", "prefix"])
def test_batched_loss_is_the_sum_of_the_single_ones(family, attention):
    if (family, attention) == ("bloom", "prefix"):
        pytest.skip("BLOOM takes no 4-D mask; the refusal has a test of its own")
    model = tiny_speech_llm(FAMILIES[family](), attention=attention)
    batch = llm_batch()
    loss, weight, _ = model(**batch)
    alone = [model(**one_of(batch, b)) for b in range(3)]
    torch.testing.assert_close(loss, sum(one[0] for one in alone), rtol=1e-4, atol=1e-4)
    assert weight == sum(one[1] for one in alone) == 4 + 2 + 6 + 3


@pytest.mark.parametrize("attention", ["causal", "prefix"])
def test_packing_changes_neither_loss_nor_gradients(attention):
    batch = llm_batch(num_frames=(90, 20, 33, 12), target_lens=(6, 2, 3, 1))
    losses, gradients, shapes = [], [], []
    for packing in (False, True):
        model = tiny_speech_llm(attention=attention, packing=packing)
        inputs, _ = model.inputs(
            *model.encode(batch["feats"], batch["feat_lens"]), batch["prompts"], batch["targets"]
        )
        shapes.append(inputs.shape[:2])
        loss, weight, _ = model(**batch)
        loss.backward()
        losses.append(loss.detach())
        gradients.append(torch.cat([p.grad.flatten() for p in model.adaptor.parameters()]))
        assert weight == 6 + 2 + 3 + 1 + 4
    assert shapes[1][0] < shapes[0][0] == 4 and shapes[0][1] == shapes[1][1]
    torch.testing.assert_close(losses[0], losses[1], rtol=1e-5, atol=1e-4)
    torch.testing.assert_close(gradients[0], gradients[1], rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("options", [{"attention": "prefix"}, {"packing": True}])
def test_bloom_refuses_what_needs_a_4d_mask(options):
    with pytest.raises(UserError, match="bloom"):
        tiny_speech_llm(tiny_bloom(), **options)


def test_loss_equals_full_logits_with_shifted_labels():
    model = tiny_speech_llm()
    batch = one_of(llm_batch(), 0)
    speech, lens = model.encode(batch["feats"], batch["feat_lens"])
    target = batch["targets"][0]
    text = model.llm.embed(torch.cat([torch.tensor([BOS_ID]), target]))
    logits = model.llm.model(inputs_embeds=torch.cat([speech[0, : lens[0]], text])[None]).logits[0]
    want = cross_entropy(logits[-len(target) - 1 : -1], target, reduction="sum")
    torch.testing.assert_close(model(**batch)[0], want, rtol=1e-5, atol=1e-5)


def test_frozen_parts_stay_in_eval_mode():
    model = tiny_speech_llm(train_encoder=False)
    add_lora(model.llm.model, 4, 8.0, 0.1)
    model.train()
    training = {name for name, module in model.named_modules() if module.training}
    assert not any(name.startswith("speech.encoder") for name in training)
    assert "speech.spec_augment" in training
    in_llm = {n for n in training if n.startswith("llm.model")}
    assert in_llm and all("lora_dropout" in name for name in in_llm)


def test_frozen_encoder_gets_no_gradient():
    model = tiny_speech_llm(train_encoder=False).train()
    model(**llm_batch())[0].backward()
    assert all(p.grad is None for p in model.speech.parameters())
    assert all(p.grad is not None for p in model.adaptor.parameters())


def test_target_masking_hides_its_share_of_inputs_and_no_prompt():
    model = tiny_speech_llm(target_masking=0.5, mask_id=0).train()
    seen = []
    embed = model.llm.embed
    model.llm.embed = lambda token_ids: seen.append(token_ids) or embed(token_ids)
    torch.manual_seed(0)
    batch = llm_batch(target_lens=(300, 2, 300))
    model(**batch)
    (text_ids,) = seen
    hidden = text_ids == 0
    assert 0.42 < hidden.float().mean() < 0.58
    assert (text_ids == BOS_ID).sum() == 3
    loss, weight, _ = model.eval()(**batch)
    assert weight == 605 and not (seen[1] == 0).any()


def test_every_utterance_can_have_its_own_share_of_masking():
    model = tiny_speech_llm(target_masking=0.5, mask_id=0).train()
    seen = []
    embed = model.llm.embed
    model.llm.embed = lambda token_ids: seen.append(token_ids) or embed(token_ids)
    torch.manual_seed(0)
    batch = llm_batch(target_lens=(400, 300, 200))
    model(**batch, target_masking=torch.tensor([0.0, 1.0, 0.25]))
    rows = seen[0].split(
        [401, 301, 201]
    )  # the beginning-of-sequence token and the target but its end
    shares = [float((row[1:] == 0).float().mean()) for row in rows]
    assert shares[:2] == [0.0, 1.0] and 0.17 < shares[2] < 0.33
    assert all(row[0] == BOS_ID for row in rows)


def test_speech_llm_learns_one_batch():
    model = tiny_speech_llm()
    add_lora(model.llm.model, 8, 16.0, 0.0)
    model.speech.spec_augment = None
    model.train()
    batch = llm_batch()
    optimizer = torch.optim.Adam([p for p in model.parameters() if p.requires_grad], 1e-2)
    for _ in range(150):
        loss, weight, _ = model(**batch)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    loss, weight, _ = model.eval()(**batch)
    assert loss / weight < 0.25  # it starts above 3; the frozen head leaves a little


@pytest.mark.parametrize("at_once", [VOCAB * 9, VOCAB * 2, 1], ids="in {} numbers".format)
def test_label_only_logits_have_the_loss_and_gradients_of_full_ones(monkeypatch, at_once):
    monkeypatch.setattr("speechllm.models.llm.LOGITS_AT_ONCE", at_once)
    llm = tiny_llama(vocab_size=VOCAB)
    hidden = torch.randn(2, 6, 32, requires_grad=True)
    labels = torch.tensor([[-100, -100, 3, 4, 2, -100], [-100, 5, 2, -100, -100, -100]])
    loss, count, correct = llm.loss(hidden, labels)
    (grad,) = torch.autograd.grad(loss, hidden)
    assert correct == (llm.logits(hidden).argmax(-1) == labels).sum()
    full = cross_entropy(llm.logits(hidden).flatten(0, 1), labels.flatten(), reduction="sum")
    (full_grad,) = torch.autograd.grad(full, hidden)
    assert count == 5
    torch.testing.assert_close(loss, full)
    torch.testing.assert_close(grad, full_grad)


def test_activation_checkpointing_recomputes_the_layers_of_a_frozen_llm():
    model = tiny_speech_llm()
    add_lora(model.llm.model, 4, 8.0, 0.0)
    calls = []
    layer = model.llm.decoder_layers()[0]
    layer.mlp.register_forward_pre_hook(lambda *args: calls.append(1))
    grads = []
    for checkpointing in (False, True):
        if checkpointing:
            model.enable_activation_checkpointing()
        model.train()
        torch.manual_seed(0)
        model.zero_grad()
        calls.clear()
        model(**llm_batch())[0].backward()
        assert len(calls) == 1 + checkpointing
        grads.append([p.grad.clone() for p in model.parameters() if p.grad is not None])
    for a, b in zip(*grads, strict=True):
        torch.testing.assert_close(a, b)


def test_ctc_stays_an_auxiliary_loss():
    torch.manual_seed(0)
    head = torch.nn.Linear(16, 9)
    model = tiny_speech_llm(ctc_head=head, ctc_weight=0.3)
    model.speech.spec_augment = None
    batch = llm_batch()
    units, unit_lens = torch.randint(1, 9, (3, 2)), torch.tensor([2, 1, 2])
    model.train()
    model.speech.eval()  # no dropout
    model.ctc_weight = 0.0
    alone, _, _ = model(**batch)
    model.ctc_weight = 0.3
    loss, _, _ = model(**batch, units=units, unit_lens=unit_lens)
    frames, lens = model.speech(batch["feats"], batch["feat_lens"])
    log_probs = head(frames).log_softmax(-1).transpose(0, 1)
    ctc = torch.nn.functional.ctc_loss(log_probs, units, lens, unit_lens, reduction="sum")
    torch.testing.assert_close(loss, alone + 0.3 * ctc)
    loss.backward()
    assert head.weight.grad is not None
    with_units, _, _ = model.eval()(**batch, units=units, unit_lens=unit_lens)
    torch.testing.assert_close(with_units, model(**batch)[0])


@pytest.mark.parametrize("stack_factor", [1, 3])
def test_soft_text_is_what_ctc_hears_before_anything_is_learnt(stack_factor):
    torch.manual_seed(0)
    head = torch.nn.Linear(16, 9)
    head.weight.data.mul_(1e4)  # it is sure of one unit in each frame
    model = tiny_speech_llm(stack_factor=stack_factor, ctc_head=head, soft_text=True)
    table = model.llm.embed(torch.arange(9)).detach()
    model.start_from_text(table)
    feats = torch.randn(2, 80, 20)
    with torch.no_grad():
        frames, frame_lens = model.listen(feats, torch.tensor([80, 71]))
        positions, lens = model.place(frames, frame_lens)
    heard = table[head(frames).argmax(-1)]
    T = heard.size(1)
    for n in range(int(lens.min()) - 1):
        of_n = [t for t in range(T) if t // stack_factor == n]
        torch.testing.assert_close(positions[:, n], heard[:, of_n].mean(1), atol=0.05, rtol=0.05)


def test_a_checkpoint_keeps_the_soft_text():
    model = tiny_speech_llm(ctc_head=torch.nn.Linear(16, 9), soft_text=True)
    saved = model.checkpoint_state_dict()
    assert "soft_text.embeddings" in saved and "ctc_head.weight" in saved


@pytest.mark.parametrize("stack_factor", [1, 3])
def test_a_gate_lets_the_adaptor_speak_as_far_as_ctc_is_in_doubt(stack_factor):
    torch.manual_seed(0)
    head = torch.nn.Linear(16, 9)
    options = {"stack_factor": stack_factor, "ctc_head": head, "soft_text": True}
    model = tiny_speech_llm(soft_text_gate=True, **options)
    model.start_from_text(model.llm.embed(torch.arange(9)).detach())
    torch.nn.init.normal_(model.adaptor.proj.weight)
    feats, lens = torch.randn(2, 80, 20), torch.tensor([80, 71])

    @torch.no_grad()
    def positions(gate):
        model.soft_text_gate = gate
        return model.encode(feats, lens)[0][:, :2]  # those without padding

    with torch.no_grad():
        probs = head(model.listen(feats, lens)[0]).softmax(-1)
        torch.nn.init.zeros_(model.adaptor.proj.weight)
        text = positions(False)
        torch.nn.init.normal_(model.adaptor.proj.weight)
    doubt = 1 - probs.amax(-1)[:, : 2 * stack_factor].unflatten(1, (2, stack_factor)).mean(-1)
    said = positions(False) - text
    torch.testing.assert_close(positions(True), text + doubt[..., None] * said)
    head.weight.data.mul_(1e4)  # no doubt anywhere
    torch.nn.init.zeros_(head.bias)
    sure = positions(True)
    torch.nn.init.zeros_(model.adaptor.proj.weight)
    torch.testing.assert_close(sure, positions(True), atol=1e-3, rtol=1e-3)


def test_soft_text_without_a_learning_rate_stays_the_llm_s():
    model = tiny_speech_llm(ctc_head=torch.nn.Linear(16, 9), soft_text=True)
    model.start_from_text(model.llm.embed(torch.arange(9)).detach())
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    optimizer, _ = optim.make(
        optim.param_groups(model, {"soft_text": 0.0}), lr=1e-2, weight_decay=0.1
    )
    model(**llm_batch())[0].backward()
    optimizer.step()
    after = dict(model.named_parameters())
    assert after["soft_text.embeddings"].grad.any()
    assert torch.equal(after["soft_text.embeddings"], before["soft_text.embeddings"])
    assert not torch.equal(after["adaptor.proj.weight"], before["adaptor.proj.weight"])


@pytest.mark.parametrize("stack_factor", [1, 3])
def test_soft_text_and_all_losses_ignore_padding(stack_factor):
    torch.manual_seed(0)
    head = torch.nn.Linear(16, 9)
    options = {"ctc_head": head, "soft_text": True, "ctc_weight": 0.3}
    model = tiny_speech_llm(stack_factor=stack_factor, **options)
    model.start_from_text(model.llm.embed(torch.arange(9)).detach(), alignment_weight=0.5)
    model.adaptor.proj.weight.data.normal_()
    model.speech.spec_augment = None
    model.train()
    model.speech.eval()  # no dropout
    batch = llm_batch()
    units, unit_lens = torch.randint(1, 9, (3, 2)), torch.tensor([2, 1, 2])
    loss, _, stats = model(**batch, units=units, unit_lens=unit_lens)
    alone = [
        model(**one_of(batch, b), units=units[b : b + 1], unit_lens=unit_lens[b : b + 1])
        for b in range(3)
    ]
    torch.testing.assert_close(loss, sum(one[0] for one in alone), rtol=1e-4, atol=1e-4)
    assert float(stats["misalignment"]) > 0 and float(stats["ctc_loss"]) > 0


@pytest.mark.parametrize("option", ["soft_text", "ctc_weight"])
def test_options_that_need_the_ctc_head_say_so(option):
    with pytest.raises(ValueError, match="ctc_head"):
        tiny_speech_llm(**{option: True})
