"""The CTC compressor against a loop over frames; soft text and attention on what it makes."""

import pytest
import torch

from helpers import llm_batch, one_of, tiny_llama, tiny_speech_encoder
from speechllm.decode.llm import greedy
from speechllm.errors import UserError
from speechllm.models.adaptors.ctc_compressor import MODES, CtcCompressorAdaptor, find_positions
from speechllm.models.speech_llm import SpeechLlm

SMALL = {"num_layers": 2, "dim": 16, "num_heads": 2, "ffn_dim": 24, "dropout": 0.0}
BLANK = 0


def groups_of(labels: list[int], mode: str, stride: int) -> list[list[int]]:
    """The frames of each position, found frame by frame."""
    if mode in ("stride", "none"):
        size = stride if mode == "stride" else 1
        frames = list(range(len(labels)))
        return [frames[i : i + size] for i in range(0, len(labels), size)]
    runs = []
    for t, label in enumerate(labels):
        if t and labels[t - 1] == label:
            runs[-1].append(t)
        else:
            runs.append([t])
    if mode == "average":
        return runs
    spoken = [run for run in runs if labels[run[0]] != BLANK]
    if not spoken:
        return [list(range(len(labels)))]
    return spoken if mode == "average_noblank" else [[t] for run in spoken for t in run]


ROWS = [
    [0, 0, 3, 3, 0, 3, 2, 2, 2, 0],
    [0, 0, 0, 0],
    [5],
    [0],
    [1, 1, 1],
    [4, 0, 4, 4, 1],
]


@pytest.mark.parametrize("mode", MODES)
def test_positions_are_those_of_a_plain_loop(mode):
    generator = torch.Generator().manual_seed(0)
    rows = ROWS + [
        torch.randint(0, 3, (int(n),), generator=generator).tolist()
        for n in torch.randint(1, 30, (40,), generator=generator)
    ]
    lens = torch.tensor([len(row) for row in rows])
    labels = torch.full((len(rows), int(lens.max())), 9)  # padding that would be a run of its own
    for b, row in enumerate(rows):
        labels[b, : len(row)] = torch.tensor(row)
    at, num = find_positions(labels, lens, mode, stride=3)
    for b, row in enumerate(rows):
        want = torch.full((labels.size(1),), -1)
        groups = groups_of(row, mode, 3)
        for position, frames in enumerate(groups):
            want[frames] = position
        assert at[b].tolist() == want.tolist(), (mode, row)
        assert num[b] == len(groups) > 0


@pytest.mark.parametrize("mode", MODES)
def test_positions_without_layers_are_means_of_their_frames(mode):
    torch.manual_seed(0)
    adaptor = CtcCompressorAdaptor(6, 8, mode, stride=3, num_layers=0).eval()
    logits, x = torch.randn(3, 11, 4), torch.randn(3, 11, 6)
    logits[2, :, BLANK] = 9.0  # nothing is heard
    lens = torch.tensor([11, 7, 4])
    at, num = adaptor.find_positions(logits, lens)
    out = adaptor(x, at, num)
    for b, n in enumerate(lens.tolist()):
        groups = groups_of(logits[b, :n].argmax(-1).tolist(), mode, 3)
        means = torch.stack([x[b, frames].mean(0) for frames in groups])
        torch.testing.assert_close(out[b, : len(groups)], adaptor.proj(means))


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("num_frames", [1, 2, 9, 23])
def test_compressor_ignores_padding_and_neighbours(mode, num_frames):
    torch.manual_seed(0)
    adaptor = CtcCompressorAdaptor(6, 8, mode, **SMALL, output_dim=10).eval()
    logits, x = torch.randn(2, num_frames + 5, 4), torch.randn(2, num_frames + 5, 6)
    x[0, num_frames:] = 99.0
    lens = torch.tensor([num_frames, num_frames + 5])
    at, num = adaptor.find_positions(logits, lens)
    batched = adaptor(x, at, num)
    at_alone, num_alone = adaptor.find_positions(logits[:1, :num_frames], lens[:1])
    alone = adaptor(x[:1, :num_frames], at_alone, num_alone)
    assert num_alone[0] == num[0] == alone.size(1) and batched.isfinite().all()
    torch.testing.assert_close(batched[0, : alone.size(1)], alone[0], atol=1e-5, rtol=1e-4)


def test_positions_see_each_other_in_both_directions():
    torch.manual_seed(0)
    adaptor = CtcCompressorAdaptor(6, 8, "none", **SMALL).eval()
    x, lens = torch.randn(1, 5, 6), torch.tensor([5])
    at, num = adaptor.find_positions(torch.randn(1, 5, 4), lens)
    changed = x.clone()
    changed[0, 4] += 1.0
    moved = (adaptor(x, at, num) - adaptor(changed, at, num)).abs().amax((0, 2)) > 1e-6
    assert moved.all()


def test_every_weight_gets_a_gradient():
    adaptor = CtcCompressorAdaptor(6, 8, "average", **SMALL, output_dim=10)
    at, num = adaptor.find_positions(torch.randn(2, 9, 4), torch.tensor([9, 5]))
    adaptor(torch.randn(2, 9, 6), at, num).square().sum().backward()
    assert all(p.grad is not None and p.grad.any() for p in adaptor.parameters())


@pytest.mark.parametrize(
    ("settings", "message"),
    [({"stride": 0}, "adaptor.stride is 0"), ({"dim": 18, "num_heads": 4}, "adaptor.dim 18")],
    ids=str,
)
def test_wrong_sizes_are_one_clear_line(settings, message):
    with pytest.raises(UserError, match=message):
        CtcCompressorAdaptor(6, 8, **settings)


def compressing_llm(mode="average", attention="prefix", soft_text=True, **kwargs) -> SpeechLlm:
    llm, speech = tiny_llama(), tiny_speech_encoder()
    torch.manual_seed(1)
    head = torch.nn.Linear(speech.output_dim, 6)
    adaptor = CtcCompressorAdaptor(speech.output_dim, llm.dim, mode, **SMALL)
    options = {"attention": attention, "soft_text": soft_text, "train_encoder": False, **kwargs}
    model = SpeechLlm(speech, adaptor, llm, ctc_head=head, **options)
    if soft_text:
        torch.nn.init.normal_(model.soft_text.embeddings)
        torch.nn.init.normal_(model.adaptor.proj.weight, std=0.1)
    return model.eval()


@pytest.mark.parametrize("mode", MODES)
def test_soft_text_stands_on_the_compressed_positions(mode):
    model = compressing_llm(mode)
    torch.nn.init.zeros_(model.adaptor.proj.weight)
    torch.nn.init.zeros_(model.adaptor.proj.bias)
    batch = llm_batch((90, 50))
    frames, lens = model.listen(batch["feats"], batch["feat_lens"])
    positions, num = model.place(frames, lens)
    logits = model.ctc_head(frames)
    text = logits.softmax(-1) @ model.soft_text.embeddings
    for b, n in enumerate(lens.tolist()):
        groups = groups_of(logits[b, :n].argmax(-1).tolist(), mode, model.adaptor.stride)
        want = torch.stack([text[b, frames].mean(0) for frames in groups]) * model.embedding_rms
        assert num[b] == len(groups)
        torch.testing.assert_close(positions[b, : len(groups)], want, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("attention", ["causal", "prefix"])
@pytest.mark.parametrize("mode", ["average", "remove"])
def test_batched_loss_is_the_sum_of_the_single_ones(mode, attention):
    model, batch = compressing_llm(mode, attention), llm_batch()
    loss, weight, stats = model(**batch)
    alone = [model(**one_of(batch, b)) for b in range(3)]
    torch.testing.assert_close(loss, sum(one[0] for one in alone), rtol=1e-4, atol=1e-4)
    assert weight == sum(one[1] for one in alone)
    positions = sum(float(one[2]["positions_per_token"] * one[1]) for one in alone)
    assert float(stats["positions_per_token"] * weight) == pytest.approx(positions, rel=1e-4)


@pytest.mark.parametrize("attention", ["causal", "prefix"])
def test_what_is_decoded_with_a_cache_is_what_training_scores(attention):
    """The log-probability of greedy outputs, step by step, equals the loss of the same targets."""
    model = compressing_llm(attention=attention)
    batch = llm_batch()
    rows, speech = model.rows(batch["feats"], batch["feat_lens"], batch["prompts"])
    eos_id = 2
    hyps = greedy(model.llm, rows, [6, 4, 7], eos_id, speech)
    for b, hyp in enumerate(hyps):
        one = one_of(batch, b)
        target = hyp.token_ids + ([eos_id] if hyp.status == "ok" else [])
        one["targets"] = [torch.tensor(target)]
        loss, num, _ = model(**one)
        assert num == len(target)
        assert loss.item() == pytest.approx(-hyp.score, abs=2e-3)


def test_compressor_without_a_ctc_head_is_a_mistake():
    llm, speech = tiny_llama(), tiny_speech_encoder()
    with pytest.raises(ValueError, match="ctc_head"):
        SpeechLlm(speech, CtcCompressorAdaptor(speech.output_dim, llm.dim, **SMALL), llm)


def test_misalignment_of_a_compressed_model_is_finite_and_learnt_from():
    model = compressing_llm(soft_text=False)
    model.start_from_text(torch.randn(6, model.llm.dim), alignment_weight=1.0)
    units = {"units": torch.tensor([[1, 2], [3, 0], [4, 5]]), "unit_lens": torch.tensor([2, 1, 2])}
    loss, _, stats = model.train()(**llm_batch(), **units)
    loss.backward()
    assert loss.isfinite() and float(stats["misalignment"]) > 0
    assert model.adaptor.proj.weight.grad.any()
