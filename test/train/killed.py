"""Kill training runs at many moments of their writing: killed.py <out_dir>, for test_resume.py.

Every run is forked from this process, so that torch is imported once; it computes no gradient
itself, as autograd does not survive a fork.
"""

import os
import shutil
import signal
import sys
from pathlib import Path

import torch
from train.tiny import TinyModel, batches, run

from speechllm.train import optim

SETTINGS = {
    "epoch_batches": batches(5, num=24),  # 5 batches: steps of 2, 2 and 1
    "accum": 2,
    "max_steps": 7,
    "valid_every": 3,
    "save_every": 2,
    "keep_best": 2,
    "log_every": 2,
}


def train(exp_dir: Path, kill_at: int | None = None):
    """Train to the end, or to the ``kill_at``-th time that a file in ``exp_dir`` is touched."""
    touched = 0

    def watch(event: str, args: tuple):
        nonlocal touched
        writes = event == "open" and isinstance(args[1], str) and args[1] != "r"
        if writes or event in ("os.rename", "os.mkdir", "os.remove", "os.rmdir", "os.truncate"):
            if str(exp_dir) in str(args[0]) or event in ("os.remove", "os.rmdir"):
                touched += 1
                if touched == kill_at:
                    os.kill(os.getpid(), signal.SIGKILL)

    if kill_at is not None:
        sys.addaudithook(watch)
    run(exp_dir, model=TinyModel(dropout=0.3, batch_norm=True), **SETTINGS)


def in_child(exp_dir: Path, kill_at: int | None = None) -> bool:
    """Whether it got to its end before it was killed."""
    pid = os.fork()
    if pid == 0:
        try:
            train(exp_dir, kill_at)
            os._exit(0)
        except BaseException as error:
            print(f"{exp_dir.name}: {error!r}", file=sys.stderr, flush=True)
            os._exit(1)
    status = os.waitpid(pid, 0)[1]
    if os.WIFEXITED(status) and os.WEXITSTATUS(status) != 0:
        sys.exit(f"a run in {exp_dir} failed")
    return os.WIFEXITED(status)


def main(out: Path):
    torch.set_num_threads(1)
    optim.make(TinyModel().parameters(), lr=1.0)  # the first optimizer imports much of torch
    in_child(out / "uninterrupted")
    kill_at, ended = 1, False
    while not ended:
        exp_dir = out / f"killed_{kill_at:03d}"
        ended = in_child(exp_dir, kill_at)
        if not ended:
            in_child(exp_dir, kill_at=4)  # and once more, while it repairs
            in_child(exp_dir)
        else:
            shutil.rmtree(exp_dir)
        kill_at += 1 + kill_at // 12


if __name__ == "__main__":
    main(Path(sys.argv[1]))
