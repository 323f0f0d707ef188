"""ESPnet's encoders behind our interface: lengths, padding, checkpoints."""

import pytest
import torch

from speechllm.errors import UserError
from speechllm.load import init_encoder
from speechllm.models.cmvn import GlobalCmvn
from speechllm.models.ctc import CtcModel, SpeechEncoder
from speechllm.models.espnet_encoder import CLASSES, EspnetEncoder, read_espnet_weights

pytest.importorskip("espnet2", reason="ESPnet is optional")
SMALL = {"output_size": 16, "attention_heads": 2, "num_blocks": 2}
OPTIONS = {
    "branchformer": {"cgmlp_linear_units": 32, "cgmlp_conv_kernel": 5},
    "conformer": {"linear_units": 32, "cnn_module_kernel": 5, "macaron_style": True},
    "e_branchformer": {"cgmlp_linear_units": 32, "cgmlp_conv_kernel": 5},
    "multiconvformer": {"linear_units": 32, "cgmlp_linear_units": 32, "macaron_style": True},
    "transformer": {"linear_units": 32},
}


def small(name="conformer", **kwargs) -> EspnetEncoder:
    torch.manual_seed(0)
    return EspnetEncoder(20, name, {**SMALL, **OPTIONS[name], **kwargs})


def speech_encoder(encoder) -> SpeechEncoder:
    return SpeechEncoder(GlobalCmvn(torch.zeros(20), torch.ones(20)), encoder)


@pytest.mark.parametrize("input_layer", ["conv2d", "conv2d6", "conv2d8", "linear"])
@pytest.mark.parametrize("name", CLASSES)
def test_encoder_ignores_padding_and_neighbours(name, input_layer):
    encoder = small(name, input_layer=input_layer).eval()
    for num_frames in (1, 7, 8, 15, 22, 23, 24, 61):
        feats = torch.randn(1, num_frames, 20)
        padded = torch.cat([feats, torch.full((1, 19, 20), 50.0)], 1)
        batch = torch.cat([padded, torch.randn(1, num_frames + 19, 20)])

        alone, alone_lens = encoder(feats, torch.tensor([num_frames]))
        batched, batched_lens = encoder(batch, torch.tensor([num_frames, num_frames + 19]))

        assert alone_lens[0] == batched_lens[0] == alone.size(1)
        assert batched_lens[1] == batched.size(1)
        assert encoder.output_lens(torch.tensor([num_frames])) == alone_lens
        torch.testing.assert_close(batched[0, : alone.size(1)], alone[0], atol=1e-5, rtol=1e-4)


def test_encoder_alone_computes_what_espnets_own_does():
    encoder = small("e_branchformer", input_layer="conv2d8").eval()
    plain = small("e_branchformer", input_layer="conv2d8").encoder.eval()
    plain.embed._forward_hooks.clear()
    for module in plain.modules():
        module._forward_pre_hooks.clear()
    feats, lens = torch.randn(1, 80, 20), torch.tensor([80])
    out, out_lens = encoder(feats, lens)
    want, want_lens, _ = plain(feats, lens)
    torch.testing.assert_close(out, want)
    assert out_lens.tolist() == want_lens.tolist()


def test_weights_of_an_espnet_model_file_are_taken(tmp_path):
    source, speech = small(), speech_encoder(small(dropout_rate=0.2))
    torch.nn.init.normal_(source.encoder.after_norm.weight)
    weights = {f"encoder.{k}": v for k, v in source.encoder.state_dict().items()}
    torch.save({**weights, "ctc.ctc_lo.weight": torch.zeros(3, 16)}, tmp_path / "valid.acc.pth")
    init_encoder(speech, tmp_path / "valid.acc.pth")
    for name, value in speech.encoder.encoder.state_dict().items():
        assert torch.equal(value, source.encoder.state_dict()[name])
    with pytest.raises(UserError, match=r"valid.acc.pth: its encoder has other sizes.*after_norm"):
        init_encoder(speech_encoder(small(output_size=24)), tmp_path / "valid.acc.pth")


def test_other_files_are_refused(tmp_path):
    (tmp_path / "notes.txt").write_text("no model")
    with pytest.raises(UserError, match=r"notes.txt: not a PyTorch model file"):
        read_espnet_weights(tmp_path / "notes.txt")
    torch.save({"decoder.weight": torch.zeros(1)}, tmp_path / "lm.pth")
    with pytest.raises(UserError, match=r"lm.pth: has no weights named encoder"):
        read_espnet_weights(tmp_path / "lm.pth")


@pytest.mark.parametrize(
    "name, options, message",
    [
        (
            "comformer",
            {},
            "no ESPnet encoder 'comformer' here; choose from branchformer, conformer",
        ),
        ("conformer", {"outputsize": 3}, "no option 'outputsize'; did you mean 'output_size'?"),
        ("conformer", {"input_layer": "conv9"}, "unknown input_layer: conv9"),
        ("conformer", {"rel_pos_type": "legacy"}, "set rel_pos_type: latest"),
    ],
)
def test_wrong_settings_are_named(name, options, message):
    with pytest.raises(UserError) as error:
        EspnetEncoder(20, name, options)
    assert message in str(error.value) and "\n" not in str(error.value)


def test_a_ctc_model_trains_all_of_the_encoder():
    model = CtcModel(speech_encoder(small()), 10)
    assert len(model.fsdp_layers()) == SMALL["num_blocks"]
    feats, lens = torch.randn(2, 90, 20), torch.tensor([90, 70])
    loss, _, _ = model(feats, lens, torch.tensor([[1, 2], [3, 0]]), torch.tensor([2, 1]))
    loss.backward()
    assert all(p.grad is not None for p in model.parameters())


def test_intermediate_ctc_reads_the_layers_that_it_asks_for():
    encoder = small().eval()
    feats, lens = torch.randn(2, 90, 20), torch.tensor([90, 70])
    out, out_lens, kept = encoder(feats, lens, after=(1, 2))
    assert len(kept) == 2 and kept[0].shape == out.shape
    torch.testing.assert_close(kept[1], out)
    assert (kept[0] - out).abs().max() > 1e-3
    assert torch.equal(encoder(feats, lens)[0], out)
    model = CtcModel(speech_encoder(small()), 10, intermediate_layers=(1,)).train()
    loss, _, _ = model(feats, lens, torch.tensor([[1, 2], [3, 0]]), torch.tensor([2, 1]))
    assert loss.isfinite()


def test_activation_checkpointing_is_refused():
    with pytest.raises(UserError, match="train.activation_checkpointing"):
        CtcModel(speech_encoder(small()), 10).enable_activation_checkpointing()
    small().activation_checkpointing = False  # what a frozen encoder is told
