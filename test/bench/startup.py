"""Start-up: --help of every command against importing torch."""

import subprocess
import sys
from functools import partial
from pathlib import Path

import common
import numpy as np

PACKAGE = common.ROOT / "speechllm" / "bin"
SHOW_HELP = """
import runpy, sys
sys.argv = [sys.argv[1], "--help"]
try:
    runpy.run_module(sys.argv[0], run_name="__main__")
finally:
    assert "torch" not in sys.modules, "--help imports torch"
"""


def commands() -> list[str]:
    """Modules that can be run."""
    paths = sorted(PACKAGE.glob("*.py"))
    return [f"speechllm.bin.{p.stem}" for p in paths if "__main__" in p.read_text(encoding="utf-8")]


def python(*args: str) -> subprocess.CompletedProcess:
    command = [sys.executable, *args]
    return subprocess.run(command, cwd=common.ROOT, capture_output=True, text=True)


def shows_help(command: str) -> bool:
    """Whether --help prints usage and ends well, without torch."""
    done = python("-c", SHOW_HELP, command)
    return done.returncode == 0 and done.stdout.startswith("usage:")


def bench(corpus: Path, small: bool) -> list[common.Row]:
    names = commands()[:2] if small else commands()
    equal = all([shows_help(name) for name in names])
    sides = {name: partial(python, "-m", name, "--help") for name in names}
    sides["torch"] = partial(python, "-c", "import torch")
    took = common.in_turns(sides, 1 if small else 3)
    slowest = max(names, key=lambda name: np.median(took[name]))
    return [
        common.make_row(
            "startup",
            "import torch",
            took[slowest],
            took["torch"],
            equal,
            ("torch",),
            f"--help of {len(names)} commands, none imports torch; the slowest, {slowest}, takes "
            f"{np.median(took[slowest]):.2f} s, importing torch {np.median(took['torch']):.2f} s",
        )
    ]


if __name__ == "__main__":
    common.main(bench, {"startup"})
