"""A folder belongs to one config; what may be overwritten, and what never is."""

import pytest
from train.tiny import CONFIG, run

from speechllm.errors import UserError
from speechllm.train.exp_dir import ExpDir, first_difference


@pytest.mark.parametrize(
    "old, new, difference",
    [
        ("a: 1", "a: 1", None),
        ("optim: {lr: 1e-4}", "optim: {lr: 5e-5}", "optim.lr 1e-4, now 5e-5"),
        ("optim: {lr: 1.0e-4}", "optim: {lr: 5.0e-5}", "optim.lr 0.0001, now 5.0e-05"),
        ("a: 1\nb: {c: x, d: true}", "b: {d: false, c: x}\na: 1", "b.d true, now false"),
        ("a: 1", "a: 1\nb: 2", "b not set, now 2"),
        ("a: {x: 1, y: null}", "a: {x: 1}", "a.y null, now not set"),
        ("a: [1, 2]", "a: [1, 3]", "a [1, 2], now [1, 3]"),
        ("a: '1'", "a: 1", "a '1', now 1"),
        ("n: 1\nm: 2", "n: 3\nm: 4", "n 1, now 3"),
        ("config: {optim: {lr: 1}}", "config: {optim: {lr: 2}}", "optim.lr 1, now 2"),
    ],
)
def test_first_difference(old, new, difference):
    assert first_difference(old, new) == difference


def test_keys_that_may_change():
    old, new = "train: {log_every: 1, keep: 2}\nx: 1", "train: {log_every: 5, keep: 3}\nx: 1"
    assert first_difference(old, new, ["train.log_every"]) == "train.keep 2, now 3"
    assert first_difference(old, new, ["train"]) is None


def test_another_config_in_the_folder(tmp_path):
    run(tmp_path)
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(UserError) as error:
        run(tmp_path, config_text=CONFIG.replace("1e-2", "5e-5"))
    assert str(error.value) == (
        f"{tmp_path} holds a run with another config (optim.lr 1e-2, now 5e-5); "
        "choose a new --exp_dir or pass --overwrite true"
    )
    assert sorted(tmp_path.rglob("*")) == before


def test_overwrite_clears_the_runs_own_files_only(tmp_path):
    run(tmp_path, valid_every=1, keep_best=4, max_steps=4)
    (tmp_path / "train.log").write_text("being written")
    (tmp_path / "decode_test").mkdir()
    (tmp_path / "step_by_step.txt").write_text("notes")
    (tmp_path / "last.old").mkdir()
    other = CONFIG.replace("1e-2", "5e-5")

    _, progress = run(tmp_path, config_text=other, overwrite=True, max_steps=2, valid_every=2)

    assert progress.step == 2
    assert {p.name for p in tmp_path.iterdir()} == {
        *("train.log", "decode_test", "step_by_step.txt"),
        *("config.yaml", "metrics.jsonl", "best", "last", "step_000002"),
    }
    assert (tmp_path / "config.yaml").read_text() == other
    assert (tmp_path / "best" / "config.yaml").read_text() == other


def test_folder_with_other_files_but_no_run_is_taken(tmp_path):
    (tmp_path / "train.log").write_text("the job runner was first")
    run(tmp_path)
    assert (tmp_path / "train.log").read_text() == "the job runner was first"


def test_missing_file_is_told_before_training(tmp_path):
    with pytest.raises(
        UserError, match=r"units.model: not found, but each checkpoint holds it as u"
    ):
        run(tmp_path / "exp", files={"units.model": tmp_path / "units.model"})
    assert not (tmp_path / "exp").exists()


def test_tokenizer_travels_with_each_checkpoint(tmp_path):
    (tmp_path / "units.model").write_bytes(b"spm")
    run(tmp_path / "exp", files={"units.model": tmp_path / "units.model"})
    for name in ("best", "last", "step_000004"):
        assert (tmp_path / "exp" / name / "units.model").read_bytes() == b"spm"
    assert not (tmp_path / "exp" / "best" / "optimizer.pt").exists()


def test_step_folders_sort_by_name(tmp_path):
    assert ExpDir(tmp_path, "").step(4000).name == "step_004000"
