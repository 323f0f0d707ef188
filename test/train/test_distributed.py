"""Two gloo processes train as one does, with DDP and with FSDP."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from train.tiny import batches, run
from train.two_processes import ctc_with_muon

from speechllm.errors import UserError
from speechllm.train import distributed

TEST = Path(__file__).resolve().parents[1]


def last(exp_dir: Path) -> dict:
    return load_file(exp_dir / "last" / "model.safetensors")


def metrics(exp_dir: Path) -> list[dict]:
    return [json.loads(line) for line in (exp_dir / "metrics.jsonl").read_text().splitlines()]


@pytest.fixture(scope="module")
def two(tmp_path_factory) -> Path:
    """The folder that two_processes.py has filled."""
    out = tmp_path_factory.mktemp("two")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(TEST), str(TEST.parent)]),
        "WORLD_SIZE": "2",
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
        "OMP_NUM_THREADS": "1",
        "CUDA_VISIBLE_DEVICES": "",
    }
    command = [sys.executable, str(TEST / "train" / "two_processes.py"), str(out)]
    processes = []
    for rank in "01":
        log = open(out / f"log_{rank}", "w")
        ranked = {**environment, "RANK": rank, "LOCAL_RANK": rank}
        processes.append(subprocess.Popen(command, env=ranked, stdout=log, stderr=log))
    try:
        codes = [process.wait(timeout=120) for process in processes]
    finally:
        for process in processes:
            process.kill()
    assert codes == [0, 0], (out / "log_0").read_text() + (out / "log_1").read_text()
    return out


@pytest.fixture(scope="module")
def one(tmp_path_factory) -> Path:
    """The same data in batches of 24 utterances, one process."""
    exp_dir = tmp_path_factory.mktemp("one")
    run(exp_dir, epoch_batches=batches(24), grad_clip=0.5)
    return exp_dir


def assert_same(ours: dict, theirs: dict, **tolerance):
    assert ours.keys() == theirs.keys()
    for name, value in ours.items():
        torch.testing.assert_close(
            value, theirs[name], **tolerance, msg=lambda m, n=name: f"{n}: {m}"
        )


def test_micro_batches_give_the_update_of_one_batch(one, tmp_path):
    run(tmp_path, epoch_batches=batches(5), accum=5, grad_clip=0.5)
    assert_same(last(tmp_path), last(one), rtol=0, atol=1e-6)


@pytest.mark.parametrize("parallel", ["ddp", "fsdp"])
def test_two_processes_give_the_update_of_one(one, two, parallel):
    assert_same(last(two / parallel), last(one), rtol=0, atol=1e-6)


@pytest.mark.parametrize("parallel", ["ddp", "fsdp"])
def test_two_processes_log_the_numbers_of_one(one, two, parallel):
    for ours, theirs in zip(metrics(two / parallel), metrics(one), strict=True):
        assert ours.keys() == theirs.keys()
        for name in ours.keys() - {"frames_per_second", "memory_gb", "padding"}:
            assert ours[name] == pytest.approx(theirs[name], rel=2e-4), name


@pytest.mark.parametrize("way", ["ddp_then_fsdp", "fsdp_then_ddp"])
def test_a_run_goes_on_the_other_way(two, way):
    for name in ("last", "best"):
        ours, theirs = (
            load_file(two / w / name / "model.safetensors") for w in (way, "uninterrupted")
        )
        assert_same(ours, theirs, rtol=0, atol=1e-6)


def test_fsdp_can_validate_before_it_trains(two):
    names = ("first_best", "best")
    first, again = (load_file(two / "ddp_then_fsdp" / n / "model.safetensors") for n in names)
    assert_same(first, again, rtol=0, atol=0)


def test_utterances_of_another_process_are_named(two):
    for rank in (0, 1):
        message = (two / f"nan_error_{rank}").read_text()
        assert message.startswith(
            "step 1: gradient norm is nan and loss nan; utterances e0_u6 e0_u7 e0_u8 "
        )
    assert not (two / "nan" / "last").exists()


def test_every_process_hears_of_another_config(two):
    for rank in (0, 1):
        assert "optim.lr 1e-2, now 5e-5" in (two / f"config_error_{rank}").read_text()


def test_batch_norm_ends_equal_on_all_processes(two):
    ours, theirs = (load_file(two / f"bn_{rank}.safetensors")["mean"] for rank in (0, 1))
    assert torch.equal(ours, theirs) and ours.abs().sum() > 0
    assert torch.equal(last(two / "bn")["norm.running_mean"], ours)


def test_fsdp_trains_beside_frozen_bfloat16(two):
    weights = last(two / "bf16")
    assert {"layers.0.lora.weight", "head.weight"} < weights.keys()
    assert "layers.0.weight" not in weights
    assert metrics(two / "bf16")[-1]["valid_loss"] < metrics(two / "bf16")[1]["valid_loss"]


def test_speech_llm_learns_the_same_with_ddp_and_fsdp(two):
    assert_same(last(two / "speech_fsdp"), last(two / "speech_ddp"), rtol=0, atol=1e-5)
    ours, theirs = (metrics(two / f"speech_{parallel}") for parallel in ("fsdp", "ddp"))
    for a, b in zip(ours, theirs, strict=True):
        for name in a.keys() & {"loss", "grad_norm", "valid_nll", "average_nll"}:
            assert a[name] == pytest.approx(b[name], rel=1e-3), name


def test_a_model_that_is_shared_out_has_the_digest_of_the_whole(two):
    before, after = (two / "digests_0").read_text().split("\n")
    assert before == after and before.startswith("sha256:")
    assert (two / "digests_1").read_text() == f"{before}\n"


def test_two_processes_pretrain_an_encoder_as_one(two, tmp_path):
    ctc_with_muon(tmp_path, distributed.Setup())
    assert_same(last(two / "ctc_2"), last(tmp_path / "ctc_1"), rtol=0, atol=1e-5)
    for a, b in zip(metrics(two / "ctc_2"), metrics(tmp_path / "ctc_1"), strict=True):
        assert a.get("loss") == pytest.approx(b.get("loss"), rel=1e-4)


def test_gpus_that_pytorch_cannot_use_are_not_replaced_by_the_cpu(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setenv("SPEECHLLM_NGPU", "8")
    with pytest.raises(UserError, match="--ngpu 8, but PyTorch .* finds no GPU.*--ngpu 0"):
        distributed.init()
    monkeypatch.setenv("SPEECHLLM_NGPU", "0")
    assert distributed.init().device.type == "cpu"


@pytest.fixture
def two_gpus(monkeypatch):
    """A machine that seems to have them; how exactly it computes is put back."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "set_device", lambda device: None)
    precision, allowed = torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32
    yield
    torch.set_float32_matmul_precision(precision)
    torch.backends.cudnn.allow_tf32 = allowed


@pytest.mark.parametrize("local_rank", [0, 3])
def test_more_processes_than_gpus_stop_on_every_rank(two_gpus, monkeypatch, local_rank):
    monkeypatch.setenv("LOCAL_RANK", str(local_rank))
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "4")
    with pytest.raises(UserError, match="4 processes on a machine that shows 2 GPUs"):
        distributed.init()


def test_decoding_computes_float32_exactly(two_gpus):
    for exact, precision in ((False, "high"), (True, "highest"), (False, "high")):
        assert distributed.init(exact).device == torch.device("cuda", 0)
        assert torch.get_float32_matmul_precision() == precision
        assert torch.backends.cudnn.allow_tf32 is not exact
