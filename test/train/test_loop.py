"""The loop's own behaviour: what a step computes, when it validates, what it refuses."""

import json
import math
import shutil

import pytest
import torch
from safetensors.torch import load_file
from train.tiny import TinyModel, batches, collate, run, utterances, valid_loss

from speechllm.errors import UserError
from speechllm.train import distributed, optim
from speechllm.train.loop import train


def metrics(exp_dir) -> list[dict]:
    return [json.loads(line) for line in (exp_dir / "metrics.jsonl").read_text().splitlines()]


def test_step_is_adamw_on_the_mean_over_frames(tmp_path):
    """Against a plain loop: the loss divided by all frames, clipped by torch, unfused AdamW."""
    ours, _ = run(tmp_path, epoch_batches=batches(7), accum=4, grad_clip=0.5, validate=None)

    model = TinyModel()
    learning = [p for p in model.parameters() if p.requires_grad]
    matrices = [p for p in learning if p.ndim > 1]
    others = [p for p in learning if p.ndim == 1]
    groups = [{"params": matrices, "weight_decay": 0.1}, {"params": others, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=1e-2, betas=(0.9, 0.98), foreach=False)
    for step in range(1, 5):
        loss_sum, weight, _ = model(
            **{k: v for k, v in collate(utterances(step - 1, 24)).items() if k != "utt_ids"}
        )
        (loss_sum / weight).backward()
        torch.nn.utils.clip_grad_norm_(learning, 0.5)
        warm = step / 2 if step < 2 else 0.5 + math.cos(math.pi * (step - 2) / 18) / 2
        for group in optimizer.param_groups:
            group["lr"] = 1e-2 * warm
        optimizer.step()
        optimizer.zero_grad()

    for (name, a), b in zip(ours.named_parameters(), model.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=1e-6, msg=lambda m, n=name: f"{n}: {m}")


def test_frozen_weights_stay(tmp_path):
    model, _ = run(tmp_path)
    assert torch.equal(model.frozen.weight, TinyModel().frozen.weight)
    assert not any("frozen" in name for name in load_file(tmp_path / "best" / "model.safetensors"))


def test_not_finite_names_step_and_utterances_and_saves_nothing(tmp_path):
    """The broken micro-batch is named, not its sound neighbour in the same step."""
    source = batches(6, spoil="e1_u20")
    with pytest.raises(UserError) as error:
        run(tmp_path, epoch_batches=source, accum=2, save_every=1)
    assert str(error.value) == (
        "step 4: gradient norm is nan and loss nan; utterances e1_u18 e1_u19 e1_u20 e1_u21 e1_u22: "
        "look for broken audio or text there, or lower optim.lr; nothing of this step was saved"
    )
    assert json.loads((tmp_path / "last" / "progress.json").read_text())["step"] == 3
    assert all(v.isfinite().all() for v in load_file(tmp_path / "last/model.safetensors").values())


def test_gradient_alone_not_finite(tmp_path):
    class Steep(TinyModel):
        def guess(self, feats):
            return super().guess(feats) + (self.head.bias * 0).sqrt()  # 0, of infinite slope

    with pytest.raises(UserError, match=r"step 1: gradient norm is nan and loss \d.*e0_u0 e0_u1"):
        run(tmp_path, model=Steep())


@pytest.mark.parametrize(
    "settings, steps",
    [
        ({"max_steps": 5, "valid_every": 2}, [2, 4, 5]),
        ({"max_steps": 4, "valid_every": 2}, [2, 4]),
        ({"max_steps": 8}, [4, 8]),
        ({"max_steps": 4, "accum": 3}, [2, 4]),
        ({"max_steps": 6}, [4, 6]),
    ],
)
def test_when_it_validates(tmp_path, settings, steps):
    """24 utterances in batches of 6: four micro-batches an epoch."""
    seen = []
    _, progress = run(tmp_path, **settings, validate=lambda step: seen.append(step) or {"wer": 1})
    assert seen == steps
    assert progress.step == steps[-1]


def test_validation_is_in_eval_mode_without_gradients(tmp_path):
    model = TinyModel(dropout=0.5, batch_norm=True)
    modes = []

    def validate(step):
        modes.append((model.training, torch.is_grad_enabled()))
        torch.rand(100)  # random numbers drawn here change no training
        return {"loss": 0.0}

    def train_modes(module, *_):
        modes.append((module.training, torch.is_grad_enabled()))

    model.register_forward_pre_hook(train_modes)
    run(tmp_path, model=model, max_steps=2, valid_every=1, validate=validate)
    assert modes == [(True, True), (False, False)] * 2


def test_best_is_the_average_where_that_scores_better(tmp_path):
    """Scores by step, then of the average."""
    scores = iter([3.0, 1.0, 2.0, 1.0, 0.5])
    settings = {"valid_every": 1, "keep_best": 3, "validate": lambda step: {"wer": next(scores)}}
    model, progress = run(tmp_path, **settings)
    assert progress.best == [[1.0, 4], [1.0, 2], [2.0, 3]]
    steps = [load_file(tmp_path / f"step_{n:06d}" / "model.safetensors") for n in (2, 3, 4)]
    for name, value in load_file(tmp_path / "best" / "model.safetensors").items():
        mean = torch.stack([step[name].double() for step in steps]).mean(0)
        torch.testing.assert_close(value.double(), mean, rtol=0, atol=1e-7)
        assert torch.equal(model.state_dict()[name], value)
    assert not (tmp_path / "step_000001").exists()
    assert metrics(tmp_path)[-1] == {"step": 4, "average_wer": 0.5}


def test_best_is_the_best_one_where_the_average_scores_worse(tmp_path):
    scores = iter([3.0, 1.0, 2.0, math.nan, 1.5])
    settings = {"valid_every": 1, "keep_best": 2, "validate": lambda step: {"wer": next(scores)}}
    _, progress = run(tmp_path, **settings)
    assert progress.best == [[1.0, 2], [2.0, 3]]
    best, second = (tmp_path / name / "model.safetensors" for name in ("best", "step_000002"))
    assert best.read_bytes() == second.read_bytes()


@pytest.mark.parametrize("validated", [True, False])
def test_best_goes_back_towards_the_start(tmp_path, validated):
    start = {name: value.clone() for name, value in TinyModel().state_dict().items()}
    run(tmp_path, max_steps=1, validate=None)  # what follows is resumed, and knows the start still
    shutil.rmtree(tmp_path / "best")
    scores = iter([1.0, 1.5])
    validate = (lambda step: {"wer": next(scores)}) if validated else None
    run(tmp_path, max_steps=2, valid_every=2, validate=validate, start_share=0.25)
    trained = load_file(tmp_path / "last/model.safetensors")
    for name, value in load_file(tmp_path / "best/model.safetensors").items():
        torch.testing.assert_close(value, 0.75 * trained[name] + 0.25 * start[name])
        assert not torch.equal(trained[name], start[name])
    if validated:
        assert metrics(tmp_path)[-1] == {"step": 2, "mixed_wer": 1.5}


@pytest.mark.parametrize("average_score", [0.5, 3.0])
def test_the_average_of_the_best_goes_back_towards_the_start(tmp_path, average_score):
    """Whatever the mixture scores, and of the best one where the average scores worse."""
    start = {name: value.clone() for name, value in TinyModel().state_dict().items()}
    scores = iter([2.0, 1.0, average_score, 9.0])
    settings = {"valid_every": 1, "keep_best": 2, "start_share": 0.25, "max_steps": 2}
    model, _ = run(tmp_path, validate=lambda step: {"wer": next(scores)}, **settings)
    steps = [load_file(tmp_path / f"step_{n:06d}/model.safetensors") for n in (1, 2)]
    for name, value in load_file(tmp_path / "best/model.safetensors").items():
        mean = (steps[0][name] + steps[1][name]) / 2
        chosen = mean if average_score < 1 else steps[1][name]
        torch.testing.assert_close(value, 0.75 * chosen + 0.25 * start[name])
        assert torch.equal(model.state_dict()[name], value)
    last = [{"step": 2, "average_wer": average_score}, {"step": 2, "mixed_wer": 9.0}]
    assert metrics(tmp_path)[-2:] == last


def test_a_run_goes_on_without_the_validation_that_it_had(tmp_path):
    scores = iter([2.0, 1.0, 0.5])
    settings = {"valid_every": 1, "keep_best": 2}
    run(tmp_path, max_steps=2, validate=lambda step: {"wer": next(scores)}, **settings)
    shutil.rmtree(tmp_path / "best")
    _, progress = run(tmp_path, max_steps=3, validate=None, **settings)
    assert progress.step == 3 and len(progress.best) == 2
    best, last = (tmp_path / name / "model.safetensors" for name in ("best", "last"))
    assert best.read_bytes() == last.read_bytes()


def test_without_validation_best_is_the_last(tmp_path):
    run(tmp_path, validate=None)
    best, last = (tmp_path / name / "model.safetensors" for name in ("best", "last"))
    assert best.read_bytes() == last.read_bytes()
    assert not list(tmp_path.glob("step_*"))


def test_it_learns(tmp_path):
    model, _ = run(tmp_path, max_steps=60, lr=3e-2, epoch_batches=batches(24, num=96))
    assert valid_loss(model) < 0.5 * valid_loss(TinyModel())


def test_bf16_autocast_is_asked_for(tmp_path):
    seen = []
    model = TinyModel()
    model.head.register_forward_hook(lambda module, inputs, output: seen.append(output.dtype))
    run(tmp_path / "bf16", model=model, max_steps=1, precision="bf16")
    assert set(seen) == {torch.bfloat16}
    run(tmp_path / "auto", model=model, max_steps=1)
    assert seen[-1] == torch.float32  # a CPU gains nothing
    assert load_file(tmp_path / "bf16/best/model.safetensors")["head.weight"].dtype == torch.float32


def test_empty_training_set(tmp_path):
    with pytest.raises(UserError, match="epoch 0 has no batch; is the training set empty"):
        run(tmp_path, epoch_batches=lambda epoch, skip: [])


def test_batches_fewer_than_told(tmp_path):
    class Liar(list):
        def __len__(self):
            return 9

    source = batches(6)
    with pytest.raises(ValueError, match=r"epoch_batches\(0, 0\) has len 9 but gave 4"):
        run(tmp_path, epoch_batches=lambda *a: Liar(source(*a)), max_steps=99)


def test_optimizer_of_another_model(tmp_path):
    optimizer, schedule = optim.make(TinyModel().parameters(), lr=1.0)
    settings = {
        "setup": distributed.Setup(),
        "exp_dir": tmp_path,
        "config_text": "",
        "max_steps": 1,
    }
    with pytest.raises(ValueError, match="make the optimizer for the model that distributed.wrap"):
        train(TinyModel(), batches(6), optimizer, schedule, **settings)


def test_the_greatest_learning_rate_is_told(tmp_path):
    model = TinyModel()
    groups = optim.param_groups(model, {"layers": 0.1})  # the slower ones come first
    optimizer, schedule = optim.make(groups, lr=1e-2)
    settings = {"exp_dir": tmp_path, "config_text": "", "max_steps": 1, "tensorboard": False}
    train(model, batches(6), optimizer, schedule, setup=distributed.Setup(), **settings)
    assert metrics(tmp_path)[0]["lr"] == 1e-2


def test_fewer_processes_go_on_from_about_the_same_place(tmp_path):
    run(tmp_path, max_steps=1)
    path = tmp_path / "last" / "progress.json"
    saved = json.loads(path.read_text()) | {"world_size": 2}  # as if two processes had done it
    path.write_text(json.dumps(saved))
    skips = []
    source = batches(6)
    run(tmp_path, max_steps=2, epoch_batches=lambda e, skip: skips.append(skip) or source(e, skip))
    assert skips == [2]


def test_activation_checkpointing_and_fsdp_need_the_model_to_know_how():
    two = distributed.Setup(world_size=2)
    with pytest.raises(UserError, match="activation_checkpointing: a TinyModel cannot do it"):
        distributed.wrap(TinyModel(), two, activation_checkpointing=True)
    with pytest.raises(UserError, match="a Linear does not say how to share it out"):
        distributed.wrap(torch.nn.Linear(1, 1), two, parallel="fsdp")
    with pytest.raises(UserError, match="choose from auto, ddp, fsdp"):
        distributed.wrap(TinyModel(), two, parallel="dp")
