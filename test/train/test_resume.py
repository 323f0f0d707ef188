"""An interrupted run ends as an uninterrupted one, to the last bit."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from train.tiny import TinyModel, batches, run

TEST = Path(__file__).resolve().parents[1]
TIMES = ("frames_per_second", "memory_gb")


def assert_same_run(exp_dir: Path, other: Path):
    for name in ("best/model.safetensors", "last/model.safetensors"):
        assert (exp_dir / name).read_bytes() == (other / name).read_bytes(), name
    assert metrics(exp_dir) == metrics(other)
    names = ({p.name for p in folder.iterdir()} for folder in (exp_dir, other))
    assert next(names) == next(names)  # nothing is left over


def metrics(exp_dir: Path) -> list[dict]:
    lines = [json.loads(line) for line in (exp_dir / "metrics.jsonl").read_text().splitlines()]
    return [{k: v for k, v in line.items() if k not in TIMES} for line in lines]


@pytest.mark.parametrize("muon", [False, True])
@pytest.mark.parametrize("stop", [1, 2, 3, 4, 5])
def test_exact_resume_at_any_step(tmp_path, stop, muon):
    """Steps of 2, 2 and 1 micro-batches an epoch, dropout, batch norm: resumed in mid-epoch too."""

    def train(name, failing_step=None):
        given = 0
        source = batches(5)

        def epoch_batches(epoch, skip):
            class Batches(list):
                def __iter__(self):
                    nonlocal given
                    for batch in list.__iter__(self):
                        if failing_step and given == (2, 4, 5, 7, 9)[failing_step - 1]:
                            raise InterruptedError
                        given += 1
                        yield batch

            return Batches(source(epoch, skip))

        settings = {"accum": 2, "max_steps": 6, "valid_every": 4, "save_every": 1, "keep_best": 2}
        settings["muon"] = muon
        model = TinyModel(dropout=0.3, batch_norm=True)
        run(tmp_path / name, model=model, epoch_batches=epoch_batches, seed=3, **settings)

    train("uninterrupted")
    with pytest.raises(InterruptedError):
        train("resumed", failing_step=stop)
    last = json.loads((tmp_path / "resumed" / "last" / "progress.json").read_text())
    assert last["step"] == stop
    train("resumed")
    assert_same_run(tmp_path / "resumed", tmp_path / "uninterrupted")


def test_killed_while_writing(tmp_path):
    """SIGKILL at many of the moments when a file is opened, renamed or removed, twice in a row."""
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(TEST), str(TEST.parent)]),
        "OMP_NUM_THREADS": "1",
        "CUDA_VISIBLE_DEVICES": "",
    }
    script = TEST / "train" / "killed.py"
    log = tmp_path / "log"
    with open(log, "w") as output:
        command = [sys.executable, str(script), str(tmp_path)]
        code = subprocess.run(command, env=environment, stdout=output, stderr=output).returncode
    assert code == 0, log.read_text()
    killed = sorted(tmp_path.glob("killed_*"))
    assert len(killed) > 20
    for exp_dir in killed:
        assert_same_run(exp_dir, tmp_path / "uninterrupted")


def test_finished_run_says_so_and_changes_nothing(tmp_path, capsys):
    model, _ = run(tmp_path)
    before = {p: p.stat().st_mtime_ns for p in tmp_path.rglob("*.safetensors")}
    capsys.readouterr()

    again, progress = run(tmp_path)

    assert capsys.readouterr().out == f"{tmp_path}: finished at step 4, nothing to do\n"
    assert before == {p: p.stat().st_mtime_ns for p in tmp_path.rglob("*.safetensors")}
    assert progress.step == 4
    for ours, theirs in zip(again.parameters(), model.parameters(), strict=True):
        assert ours.equal(theirs)


def test_longer_run_goes_on(tmp_path):
    """With more steps, where the config allows it, a finished run is not finished any more."""
    run(tmp_path / "longer", max_steps=3, validate=None, valid_every=100)
    _, progress = run(tmp_path / "longer", max_steps=6, validate=None, valid_every=100)
    run(tmp_path / "whole", max_steps=6, validate=None, valid_every=100)
    assert progress.step == 6
    ours, theirs = (tmp_path / name / "best" / "model.safetensors" for name in ("longer", "whole"))
    assert ours.read_bytes() == theirs.read_bytes()
