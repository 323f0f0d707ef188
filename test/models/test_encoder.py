"""Front ends and conformer: lengths, padding, positions."""

import copy

import pytest
import torch
from torch.nn.functional import conv1d

from helpers import tiny_ctc_model, tiny_speech_encoder
from speechllm.errors import UserError
from speechllm.models.conformer import ConformerEncoder, ConvModule, SelfAttention, relative_table
from speechllm.models.ctc import CtcModel, uniform_alignment_loss
from speechllm.models.subsampling import FRONT_ENDS

ENCODERS = [
    {},
    {"subsampling": "depthwise2d"},
    {"positions": "relative"},
    {"ffn_style": "single"},
    {"ffn_style": "half_macaron", "subsampling_factor": 4},
    {"subsampling_factor": 2},
]


@pytest.mark.parametrize("settings", ENCODERS, ids=str)
@pytest.mark.parametrize("num_frames", [1, 7, 15, 16, 22, 23, 24, 61])
def test_encoder_ignores_padding(settings, num_frames):
    encoder = tiny_speech_encoder(**settings).eval()
    feats = torch.randn(1, num_frames, 20)
    padded = torch.cat([feats, torch.full((1, 19, 20), 50.0)], 1)
    batch = torch.cat([padded, torch.randn(1, num_frames + 19, 20)])

    alone, alone_lens = encoder(feats, torch.tensor([num_frames]))
    batched, batched_lens = encoder(batch, torch.tensor([num_frames, num_frames + 19]))

    assert alone_lens[0] == batched_lens[0] == alone.size(1)
    torch.testing.assert_close(batched[0, : alone.size(1)], alone[0], atol=2e-6, rtol=1e-4)


@pytest.mark.parametrize("front_end", FRONT_ENDS)
@pytest.mark.parametrize("factor", [2, 4, 8])
def test_subsample_lens_is_what_comes_out(front_end, factor):
    subsampling = FRONT_ENDS[front_end](20, 6, factor, 4)
    for num_frames in range(1, 70):
        out, lens = subsampling(torch.randn(1, num_frames, 20), torch.tensor([num_frames]))
        assert lens.item() == out.size(1) >= 1


def test_conv1d_front_end_is_a_strided_convolution():
    subsampling = FRONT_ENDS["conv1d"](20, 6, 4, 8)
    feats = torch.randn(2, 41, 20)
    x = feats.transpose(1, 2)
    for i, layer in enumerate(subsampling.convs):
        x = torch.relu(x) if i else x
        weight = layer.weight.view(layer.out_features, 3, -1).transpose(1, 2)  # ours is frame-major
        x = conv1d(x, weight, layer.bias, stride=2)
        x = (x - x.mean(1, keepdim=True)) / (x.var(1, keepdim=True, unbiased=False) + 1e-5).sqrt()
    torch.testing.assert_close(
        subsampling(feats, torch.tensor([41, 41]))[0], x.transpose(1, 2), atol=1e-5, rtol=1e-4
    )


def test_relative_attention_scores_depend_on_distance_as_the_definition_says():
    torch.manual_seed(0)
    T, dim, heads = 6, 8, 2
    attention = SelfAttention(dim, heads, 0.0, "relative")
    torch.nn.init.normal_(attention.position_bias)
    table = relative_table(T, dim, "cpu")
    q = torch.randn(1, heads, T, dim // heads)
    scores = attention.position_scores(q, table)
    keys = attention.pos(table).view(2 * T - 1, heads, dim // heads)
    for h in range(heads):
        for i in range(T):
            for j in range(T):
                distance = i - j  # the table starts at distance T - 1
                want = (
                    (q[0, h, i] + attention.position_bias[h, 0])
                    @ keys[T - 1 - distance, h]
                    / (dim // heads) ** 0.5
                )
                torch.testing.assert_close(scores[0, h, i, j], want)


def test_rotary_encoder_sees_order():
    encoder = tiny_speech_encoder(conv_kernel=1).eval()
    feats = torch.randn(1, 160, 20)
    swapped = torch.cat([feats[:, 80:], feats[:, :80]], 1)
    a, _ = encoder(feats, torch.tensor([160]))
    b, _ = encoder(swapped, torch.tensor([160]))
    assert (a.mean(1) - b.mean(1)).abs().max() > 1e-3


def test_activation_checkpointing_keeps_the_gradients():
    feats, lens = torch.randn(2, 60, 20), torch.tensor([60, 44])
    grads = []
    for checkpointing in (False, True):
        model = tiny_speech_encoder(dropout=0.0)
        model.spec_augment = None
        model.encoder.activation_checkpointing = checkpointing
        model.train()(feats, lens)[0].square().sum().backward()
        grads.append([p.grad for p in model.parameters()])
    for a, b in zip(*grads, strict=True):
        torch.testing.assert_close(a, b)


def test_ctc_loss_is_the_sum_over_utterances():
    model = tiny_ctc_model().eval()
    feats, lens = torch.randn(2, 120, 20), torch.tensor([120, 90])
    units, unit_lens = torch.tensor([[1, 2, 3], [4, 5, 0]]), torch.tensor([3, 2])
    loss, weight, _ = model(feats, lens, units, unit_lens)
    alone = [
        model(
            feats[b : b + 1, : lens[b]],
            lens[b : b + 1],
            units[b : b + 1, : unit_lens[b]],
            unit_lens[b : b + 1],
        )[0]
        for b in range(2)
    ]
    torch.testing.assert_close(loss, sum(alone), rtol=1e-4, atol=1e-4)
    assert weight == 5


def test_ctc_model_learns_one_batch():
    torch.manual_seed(1)
    model = tiny_ctc_model(dropout=0.0).train()
    model.speech.spec_augment = None
    feats, lens = torch.randn(2, 120, 20), torch.tensor([120, 100])
    units, unit_lens = torch.tensor([[1, 2, 3], [4, 5, 0]]), torch.tensor([3, 2])
    optimizer = torch.optim.Adam(model.parameters(), 1e-2)
    for _ in range(100):
        loss, weight, _ = model(feats, lens, units, unit_lens)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    assert loss / weight < 0.05


def test_utterance_too_short_for_its_units_is_reported_not_infinite():
    model = tiny_ctc_model().eval()
    loss, _, stats = model(
        torch.randn(1, 24, 20), torch.tensor([24]), torch.tensor([[1, 2, 3, 4]]), torch.tensor([4])
    )
    assert loss == 0 and stats["too_short"] == 1


@pytest.mark.parametrize(
    "settings",
    [{"positions": "absolute"}, {"ffn_style": "none"}, {"subsampling": "mlp"}],
    ids=str,
)
def test_unknown_choice_is_named(settings):
    with pytest.raises(ValueError, match=str(next(iter(settings.values())))):
        ConformerEncoder(20, dim=16, num_layers=1, **settings)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"num_heads": 3}, "encoder.dim 16 should be a multiple of encoder.num_heads 3"),
        ({"dim": 20}, "encoder.dim 20 divided by encoder.num_heads should be even"),
        ({"dim": 9, "num_heads": 3, "positions": "relative"}, "encoder.dim 9 should be even"),
        ({"conv_kernel": 4}, "encoder.conv_kernel 4 should be odd"),
    ],
    ids=str,
)
def test_sizes_that_do_not_fit_are_named_as_the_config_has_them(settings, message):
    with pytest.raises(UserError, match=message):
        ConformerEncoder(20, **{"dim": 16, "num_heads": 4, "num_layers": 1} | settings)


def test_uniform_alignment_loss_by_hand():
    log_probs = torch.randn(2, 5, 4).log_softmax(-1)
    units, unit_lens, lens = (
        torch.tensor([[1, 2], [3, 0]]),
        torch.tensor([2, 1]),
        torch.tensor([5, 2]),
    )
    # 5 frames for units 1 2: frames 0 1 2 belong to the first (t * 2 // 5 = 0), 3 4 to the second.
    first = -(log_probs[0, :3, 1].sum() + log_probs[0, 3:, 2].sum()) / 5 * 2
    second = -log_probs[1, :2, 3].sum() / 2
    torch.testing.assert_close(
        uniform_alignment_loss(log_probs, lens, units, unit_lens), first + second
    )


def test_flat_start_ends_in_the_ctc_loss():
    model = tiny_ctc_model(dropout=0.0).train()
    model.speech.spec_augment, model.flat_start = None, 2
    batch = (
        torch.randn(1, 120, 20),
        torch.tensor([120]),
        torch.tensor([[1, 2, 3]]),
        torch.tensor([3]),
    )
    log_probs, lens = model.log_probs(*batch[:2])
    flat = uniform_alignment_loss(log_probs, lens, *batch[2:])
    losses = []
    for step in (1, 2, 3):
        model.on_step(step)
        losses.append(model(*batch)[0])
    torch.testing.assert_close(losses[0], flat)
    torch.testing.assert_close(losses[1], (flat + losses[2]) / 2)
    torch.testing.assert_close(losses[2], model.eval()(*batch)[0])


def test_intermediate_ctc_is_the_ctc_of_a_shorter_encoder():
    whole = tiny_ctc_model(num_layers=3, dropout=0.0).train()
    whole.speech.spec_augment = None
    batch = (
        torch.randn(2, 120, 20),
        torch.tensor([120, 90]),
        torch.tensor([[1, 2, 3], [4, 5, 0]]),
        torch.tensor([3, 2]),
    )
    by_depth = []
    for depth in (1, 2, 3):
        shorter = copy.deepcopy(whole)
        shorter.speech.encoder.layers = shorter.speech.encoder.layers[:depth]
        by_depth.append(shorter(*batch)[0])
    whole.intermediate_layers, whole.intermediate_weight = (1, 2), 0.3
    expected = 0.7 * by_depth[2] + 0.3 * (by_depth[0] + by_depth[1]) / 2
    torch.testing.assert_close(whole(*batch)[0], expected)
    torch.testing.assert_close(whole.eval()(*batch)[0], by_depth[2])


@pytest.mark.parametrize("layers", [[0], [3], [1, 4], [-1]])
def test_an_intermediate_layer_that_is_none_is_named(layers):
    with pytest.raises(UserError, match=f"{layers[-1]} is not between 1 and 2; the encoder has 3"):
        CtcModel(tiny_speech_encoder(num_layers=3), 10, intermediate_layers=layers)
    CtcModel(tiny_speech_encoder(num_layers=3), 10, intermediate_layers=[1, 2])


@pytest.mark.parametrize("num_frames", [1, 4, 33])
def test_depthwise_convolution_is_that_of_its_module(num_frames):
    torch.manual_seed(0)
    conv = ConvModule(6, 5, 0.0)
    x = torch.randn(2, num_frames, 6)
    found = []
    for convolve in (conv.convolve, lambda x: conv.depthwise(x.transpose(1, 2)).transpose(1, 2)):
        leaf = x.clone().requires_grad_()
        out = convolve(leaf)
        gradients = torch.autograd.grad(out.sin().sum(), [leaf, *conv.depthwise.parameters()])
        found.append([out, *gradients])
    for ours, theirs in zip(*found, strict=True):
        torch.testing.assert_close(ours, theirs)
