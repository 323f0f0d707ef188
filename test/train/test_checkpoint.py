"""What a checkpoint holds, and that a folder is replaced whole or not at all."""

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from speechllm.errors import UserError
from speechllm.train import checkpoint


class Normalised(nn.Module):
    """A buffer in a module without parameters, batch norm, and a buffer that is not kept."""

    def __init__(self):
        super().__init__()
        self.cmvn = nn.Module()
        self.cmvn.register_buffer("mean", torch.zeros(2))
        self.cmvn.register_buffer("scratch", torch.zeros(2), persistent=False)
        self.bn = nn.BatchNorm1d(2)
        self.linear = nn.Linear(2, 2)


@pytest.fixture
def model():
    torch.manual_seed(0)
    model = nn.Module()
    model.frozen, model.encoder = Normalised().requires_grad_(False), Normalised()
    return model


def test_holds_what_learns_and_its_buffers(model):
    assert set(checkpoint.trainable_state_dict(model)) == {
        "encoder.cmvn.mean",
        "encoder.bn.weight",
        "encoder.bn.bias",
        "encoder.bn.running_mean",
        "encoder.bn.running_var",
        "encoder.bn.num_batches_tracked",
        "encoder.linear.weight",
        "encoder.linear.bias",
    }


def test_model_that_knows_better():
    model = nn.Linear(2, 2)
    model.checkpoint_state_dict = lambda: {"bias": model.bias}
    assert list(checkpoint.trainable_state_dict(model)) == ["bias"]


def test_round_trip(model, tmp_path):
    weights = checkpoint.snapshot(checkpoint.trainable_state_dict(model))
    checkpoint.write(tmp_path / "best", weights, "a: 1\n", {})
    with torch.no_grad():
        for tensor in (*model.parameters(), *model.buffers()):
            tensor.fill_(7)
    checkpoint.fill(model, checkpoint.read(tmp_path / "best"), tmp_path / "best")
    for name, value in checkpoint.trainable_state_dict(model).items():
        assert torch.equal(value, weights[name]), name
    assert (model.frozen.linear.weight == 7).all()
    assert (tmp_path / "best" / "config.yaml").read_text() == "a: 1\n"


def test_tied_weights(tmp_path):
    """safetensors refuses tensors that share memory, which tied embeddings and views do."""
    model = nn.ModuleDict({"embed": nn.Embedding(5, 3), "head": nn.Linear(3, 5, bias=False)})
    model["head"].weight = model["embed"].weight
    weights = checkpoint.snapshot(checkpoint.trainable_state_dict(model))
    assert list(weights) == ["embed.weight"]
    checkpoint.write(tmp_path / "tied", weights, "", {})
    model["embed"].weight.data.zero_()
    checkpoint.fill(model, checkpoint.read(tmp_path / "tied"), "tied")
    assert torch.equal(model["head"].weight, weights["embed.weight"])

    whole = torch.randn(4, 6)
    views = checkpoint.snapshot({"a": whole, "b": whole, "t": whole.T, "row": whole[1]})
    checkpoint.write(tmp_path / "views", views, "", {})
    assert torch.equal(checkpoint.read(tmp_path / "views")["t"], whole.T)


@pytest.mark.parametrize("change", ["missing", "extra", "shape"])
def test_weights_of_another_model(model, change):
    state = checkpoint.snapshot(checkpoint.trainable_state_dict(model))
    name = "encoder.linear.bias" if change != "extra" else "decoder.bias"
    if change == "missing":
        del state[name]
    else:
        state[name] = torch.zeros(9)
    with pytest.raises(UserError, match=rf"exp/x: does not hold .* \(first: {name}\)"):
        checkpoint.fill(model, state, "exp/x")


def test_average(tmp_path):
    for i, dtype in enumerate([torch.float32] * 3):
        weights = {
            "w": torch.full((2,), float(i**2), dtype=dtype),
            "half": torch.full((1,), float(i), dtype=torch.bfloat16),
            "count": torch.tensor(i),
        }
        checkpoint.write(tmp_path / str(i), weights, "", {})
    mean = checkpoint.average([tmp_path / str(i) for i in range(3)])
    torch.testing.assert_close(mean["w"], torch.full((2,), 5 / 3))
    assert mean["half"].dtype == torch.bfloat16 and mean["half"].item() == 1.0
    assert mean["count"].item() == 2


def test_copies_files_and_folders(tmp_path):
    (tmp_path / "units.model").write_bytes(b"spm")
    (tmp_path / "tok").mkdir()
    (tmp_path / "tok" / "tokenizer.json").write_text("{}")
    files = {"units.model": tmp_path / "units.model", "tokenizer": tmp_path / "tok"}
    checkpoint.write(tmp_path / "c", {"w": torch.zeros(1)}, "", files)
    assert (tmp_path / "c" / "units.model").read_bytes() == b"spm"
    assert (tmp_path / "c" / "tokenizer" / "tokenizer.json").read_text() == "{}"


def test_failed_write_leaves_the_former_one(tmp_path):
    path = tmp_path / "last"
    checkpoint.write(path, {"w": torch.ones(1)}, "", {})

    def disk_full(folder):
        raise OSError("no space left")

    with pytest.raises(OSError):
        checkpoint.write(path, {"w": torch.zeros(1)}, "", {}, more=disk_full)
    assert load_file(path / "model.safetensors")["w"].item() == 1
    checkpoint.recover(path)
    assert [p.name for p in tmp_path.iterdir()] == ["last"]


@pytest.mark.parametrize(
    "left, now",
    [
        ({"last": "a"}, "a"),
        ({"last": "a", "last.tmp": "half"}, "a"),
        ({"last.old": "a", "last.tmp": "b"}, "b"),
        ({"last": "b", "last.old": "a"}, "b"),
        ({"last.old": "a"}, "a"),
        ({"last.tmp": "half"}, None),
        ({}, None),
    ],
)
def test_recovery_from_every_state_a_kill_can_leave(tmp_path, left, now):
    for name, content in left.items():
        (tmp_path / name).mkdir()
        (tmp_path / name / "content").write_text(content)
    checkpoint.recover(tmp_path / "last")
    assert [p.name for p in tmp_path.iterdir()] == (["last"] if now else [])
    assert now is None or (tmp_path / "last" / "content").read_text() == now


def test_a_digest_tells_apart_what_equality_may_not(model):
    once = checkpoint.digest(model.to(torch.bfloat16))
    assert once == checkpoint.digest(model) != checkpoint.digest(model.float())
    weight = model.to(torch.bfloat16).frozen.linear.weight
    with torch.no_grad():
        weight[0, 0] = 0.0
        zero = checkpoint.digest(model)
        weight[0, 0] = -0.0
    assert len({once, zero, checkpoint.digest(model)}) == 3
    assert checkpoint.digest(model, keep=False) == ""
