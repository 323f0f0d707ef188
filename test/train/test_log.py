"""Console, metrics.jsonl and TensorBoard tell the same numbers, and the right ones."""

import json
import math

import pytest
import torch
from torch import nn
from train.tiny import TinyModel, batches, run

from speechllm.train import log
from speechllm.train.exp_dir import Progress


@pytest.fixture
def clock(monkeypatch):
    """A clock that the test moves."""

    class Clock:
        now = 100.0

        def monotonic(self):
            return self.now

    clock = Clock()
    monkeypatch.setattr(log, "time", clock)
    return clock


def lines(path):
    return [json.loads(line) for line in (path / "metrics.jsonl").read_text().splitlines()]


def test_interval_averages(tmp_path, clock, capsys):
    with log.RunLog(tmp_path, True, Progress(), 0.0, tensorboard=False) as run_log:
        run_log.add(
            {"loss": 6.0, "weight": 4.0, "frames": 300.0, "padded_frames": 400.0, "accuracy": 2.0},
            1.0,
        )
        run_log.add(
            {"loss": 2.0, "weight": 12.0, "frames": 500.0, "padded_frames": 600.0, "accuracy": 9.0},
            2.0,
        )
        clock.now += 20
        run_log.steps(2, 10, 0.5, 1e-3, 0.2)
    (line,) = lines(tmp_path)
    assert line.pop("memory_gb") > 0
    assert line == {
        "step": 2,
        "epoch": 0.5,
        "loss": 0.5,
        "accuracy": 0.6875,
        "lr": 0.001,
        "grad_norm": 1.5,
        "frames_per_second": 40.0,
        "padding": 0.2,
    }
    out = capsys.readouterr().out
    assert out.startswith(
        "step 2/10  epoch 0.5  loss 0.5  accuracy 0.6875  lr 0.001  grad_norm 1.5"
    )
    assert out.endswith("left 0:01:20\n")  # 20 s for two steps of ten


def test_time_of_validation_is_no_training_time_but_counts_for_the_rest(tmp_path, clock, capsys):
    with log.RunLog(tmp_path, True, Progress(), 0.5, tensorboard=False) as run_log:
        clock.now += 50
        run_log.valid(5, {"wer": 12.5}, "  best so far")
        run_log.add({"loss": 1.0, "weight": 20.0, "frames": 0.0, "padded_frames": 0.0}, 1.0)
        clock.now += 10
        run_log.steps(6, 10, 1.0, 1.0, 0.6)
    valid, train = lines(tmp_path)
    assert valid == {"step": 5, "valid_wer": 12.5}
    assert train["weight_per_second"] == 2
    assert capsys.readouterr().out.endswith("left 0:04:00\n")  # 60 s for a tenth; four are left


def test_what_a_killed_run_told_is_told_again(tmp_path):
    (tmp_path / "metrics.jsonl").write_text('{"step": 1}\n{"step": 2}\n{"st')
    with log.RunLog(tmp_path, True, Progress(metrics_bytes=12), tensorboard=False) as run_log:
        assert run_log.metrics_bytes() == 12
        run_log.valid(2, {"wer": math.nan})
    assert lines(tmp_path) == [{"step": 1}, {"step": 2, "valid_wer": None}]


def test_other_processes_are_silent(tmp_path, capsys):
    with log.RunLog(tmp_path, False, Progress()) as run_log:
        run_log.add({"loss": 6.0, "weight": 4.0, "frames": 0.0, "padded_frames": 0.0}, 1.0)
        run_log.steps(1, 2, 0.1, 0.1, 0.5)
        run_log.valid(1, {"wer": 1.0})
    assert not list(tmp_path.iterdir()) and capsys.readouterr().out == ""


def test_same_numbers_on_console_in_file_and_in_tensorboard(tmp_path, capsys):
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    run(tmp_path, max_steps=4, log_every=2, tensorboard=True, epoch_batches=batches(6))
    out = capsys.readouterr().out.splitlines()
    curves = accumulator.EventAccumulator(str(tmp_path / "tensorboard")).Reload()
    for line in lines(tmp_path):
        step = line.pop("step")
        assert sum(
            all(f"  {name} {value:.5g}" in told for name, value in line.items())
            for told in out
            if told.startswith(f"step {step}")
        )
        for name, value in line.items():
            (event,) = [event for event in curves.Scalars(name) if event.step == step]
            assert event.value == pytest.approx(value, rel=1e-6)


def test_padding_and_frames_are_those_of_the_batches(tmp_path):
    run(tmp_path, max_steps=1, epoch_batches=batches(6))
    (first, *_) = lines(tmp_path)
    batch = batches(6)(0, 0)[0]
    mask = torch.arange(batch["feats"].size(1)) < batch["feat_lens"][:, None]
    assert first["padding"] == pytest.approx(1 - mask.float().mean().item(), rel=1e-4)


def test_parameters_by_module():
    model = TinyModel()
    assert log.describe(model).splitlines() == [
        "parameters: 153 learn, of 201",
        "  frozen: 0 of 48",
        "  layers: 144 of 144",
        "  head: 9 of 9",
    ]
    assert log.describe(nn.Linear(100, 100)) == "parameters: 10,100 learn, of 10,100"


@pytest.mark.parametrize(
    "seconds, text", [(0, "0:00:00"), (59.6, "0:01:00"), (360_061, "100:01:01")]
)
def test_duration(seconds, text):
    assert log.duration(seconds) == text
