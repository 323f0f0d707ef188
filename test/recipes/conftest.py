"""A copy of the toolkit to run recipes in, so that nothing is written into the checkout."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="session")
def toolkit(tmp_path_factory) -> Path:
    """Recipes, shell layer, package and tools, without data and experiments."""
    copy = tmp_path_factory.mktemp("toolkit")
    for name in ("egs", "utils", "speechllm", "tools"):
        ignored = shutil.ignore_patterns("data", "exp", "downloads", "venv*", "__pycache__")
        ignore = ignored if name in ("egs", "tools") else shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / name, copy / name, ignore=ignore)
    return copy


def run(script: Path, *options: str, python: str = sys.executable, check: bool = True) -> str:
    """Run a recipe's script with this interpreter; returns what it printed."""
    env = os.environ | {"SPEECHLLM_PYTHON": python, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [str(script), *options],
        env=env,
        text=True,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    assert not check or done.returncode == 0, done.stdout[-4000:]
    assert check or done.returncode != 0, done.stdout[-4000:]
    return done.stdout
