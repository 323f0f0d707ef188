"""The encoder-decoder: its loss against a loop, padding, its search against trying by hand, learning."""

import pytest
import torch
import torch.nn.functional as F

from helpers import tiny_speech_encoder
from speechllm.bin.recognize import encoder_decoder_recognizer
from speechllm.config import DecodeConfig
from speechllm.errors import UserError

pytest.importorskip("espnet2")

from speechllm.models.baselines import EncoderDecoder  # noqa: E402

V = 30  # units with the blank
SMALL = {"num_layers": 2, "num_heads": 2, "ffn_dim": 24, "dropout": 0.0}


def tiny_encoder_decoder(**kwargs) -> EncoderDecoder:
    speech = tiny_speech_encoder()
    speech.spec_augment = None
    torch.manual_seed(3)
    model = EncoderDecoder(speech, V, **{**SMALL, **kwargs}).eval()
    for p in model.decoder.parameters():
        if p.dim() == 2:
            torch.nn.init.normal_(p, std=0.5)  # so that outputs differ clearly
    with torch.no_grad():
        model.decoder.output_layer.bias[0] = -30.0  # as one that has learnt: it writes no blank
    return model


def batch():
    torch.manual_seed(0)
    return {
        "feats": torch.randn(2, 90, 20),
        "feat_lens": torch.tensor([90, 57]),
        "units": torch.tensor([[1, 3, 3, 2], [4, 1, 0, 0]]),
        "unit_lens": torch.tensor([4, 2]),
    }


def one(b: int) -> dict:
    all_of = batch()
    n, u = int(all_of["feat_lens"][b]), int(all_of["unit_lens"][b])
    return {
        "feats": all_of["feats"][b : b + 1, :n],
        "feat_lens": all_of["feat_lens"][b : b + 1],
        "units": all_of["units"][b : b + 1, :u],
        "unit_lens": all_of["unit_lens"][b : b + 1],
    }


def next_log_probs(model, frames, prefix):
    """log P of what follows a prefix, by the decoder's training pass."""
    inputs = torch.tensor([[V, *prefix]])
    logits, _ = model.decoder(
        frames, torch.tensor([frames.size(1)]), inputs, torch.tensor([len(prefix) + 1])
    )
    return logits[0, -1].log_softmax(-1)


def test_loss_is_the_sum_over_labels_and_batches_add_up():
    model = tiny_encoder_decoder(label_smoothing=0.0, ctc_weight=0.0)
    loss, weight, _ = model(**batch())
    singles = [model(**one(b)) for b in range(2)]
    torch.testing.assert_close(loss, sum(s[0] for s in singles), rtol=1e-4, atol=1e-4)
    assert weight == sum(s[1] for s in singles) == 4 + 2 + 2
    frames, _ = model.speech(one(0)["feats"], one(0)["feat_lens"])
    target, total = [1, 3, 3, 2, V], 0.0
    for i, unit in enumerate(target):
        total -= next_log_probs(model, frames, target[:i])[unit].item()
    assert float(singles[0][0]) == pytest.approx(total, rel=1e-4)


def test_ctc_has_its_share_of_the_loss():
    batches = batch()
    alone, shared = tiny_encoder_decoder(ctc_weight=0.0), tiny_encoder_decoder(ctc_weight=0.4)
    frames, lens = shared.speech(batches["feats"], batches["feat_lens"])
    log_probs = F.log_softmax(shared.head(frames), -1).transpose(0, 1)
    ctc = F.ctc_loss(log_probs, batches["units"], lens, batches["unit_lens"], reduction="sum")
    want = 0.6 * alone(**batches)[0] + 0.4 * ctc
    torch.testing.assert_close(shared(**batches)[0], want, rtol=1e-4, atol=1e-3)


def test_scores_of_the_search_are_those_of_the_training_pass():
    model = tiny_encoder_decoder()
    inputs = one(1)
    frames, _ = model.speech(inputs["feats"], inputs["feat_lens"])
    (found,) = model.search(inputs["feats"], inputs["feat_lens"], num_beams=5)
    assert len(found) > 2 and len({tuple(c.units) for c in found}) == len(found)
    assert [c.score for c in found] == sorted((c.score for c in found), reverse=True)
    for candidate in found:
        units = candidate.units + [V] * candidate.is_complete  # no end was scored at the limit
        steps = [next_log_probs(model, frames, units[:i])[unit] for i, unit in enumerate(units)]
        assert candidate.score == pytest.approx(float(sum(steps)), abs=1e-3)


def test_one_beam_takes_the_most_likely_unit_at_each_step():
    model = tiny_encoder_decoder()
    inputs = one(0)
    frames, lens = model.speech(inputs["feats"], inputs["feat_lens"])
    units = []
    while len(units) < int(lens[0]):
        unit = int(next_log_probs(model, frames, units).argmax())
        if unit == V:
            break
        units.append(unit)
    (found,) = model.search(inputs["feats"], inputs["feat_lens"], num_beams=1)
    assert found[0].units == units and found[0].is_complete == (len(units) < int(lens[0]))


def test_ctc_decides_where_it_has_all_the_weight():
    model = tiny_encoder_decoder()
    inputs = one(0)
    frames, lens = model.speech(inputs["feats"], inputs["feat_lens"])
    log_probs = F.log_softmax(model.head(frames), -1)[0]

    def ctc_score(units):
        target = torch.tensor([units], dtype=torch.long)
        num = torch.tensor([len(units)])
        return -float(F.ctc_loss(log_probs[:, None], target, lens, num, reduction="sum"))

    (found,) = model.search(inputs["feats"], inputs["feat_lens"], num_beams=4, ctc_weight=0.999)
    complete = [candidate for candidate in found if candidate.is_complete]
    assert complete
    for candidate in complete:
        assert candidate.score == pytest.approx(ctc_score(candidate.units), rel=0.02, abs=0.1)


def test_it_learns_one_batch():
    model = tiny_encoder_decoder(label_smoothing=0.0).train()
    optimizer = torch.optim.Adam(model.parameters(), 1e-2)
    losses = []
    for _ in range(60):
        loss, weight, stats = model(**batch())
        (loss / weight).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        losses.append(float(loss / weight))
    assert losses[-1] < 0.3 * losses[0] and stats["accuracy"] == 1
    (first, second) = model.eval().search(batch()["feats"], batch()["feat_lens"], num_beams=2)
    assert first[0].units == [1, 3, 3, 2] and second[0].units == [4, 1]


def test_heads_that_do_not_divide_the_width_are_named():
    with pytest.raises(UserError, match="decoder.num_heads 3 does not divide .* width 16"):
        tiny_encoder_decoder(num_heads=3)


def test_every_weight_has_a_gradient_without_ctc_too():
    model = tiny_encoder_decoder(ctc_weight=0.0).train()
    model(**batch())[0].backward()
    assert all(p.grad is not None for p in model.parameters())
    assert not model.head.weight.grad.any()


def test_ctc_that_was_not_learnt_does_not_count_in_the_search():
    model, settings = tiny_encoder_decoder(ctc_weight=0.0), DecodeConfig(ctc_weight=0.3)
    with pytest.raises(UserError, match="ctc_weight 0.3, but the model was trained with"):
        encoder_decoder_recognizer(model, None, settings, "cpu")
    encoder_decoder_recognizer(model, None, DecodeConfig(), "cpu")
