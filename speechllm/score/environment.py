"""Where and with what a result was made: commit, machine, versions."""

import os
import subprocess
from importlib import metadata
from pathlib import Path

PACKAGES = ("torch", "transformers", "peft")


def git_commit(folder: Path = Path(__file__).parent) -> str:
    """Short commit of the checkout that holds ``folder``, "unknown" outside git.

    "-dirty" is added if tracked files are changed.
    """
    try:
        commit = _git(folder, "rev-parse", "--short", "HEAD")
        changed = _git(folder, "status", "--porcelain", "--untracked-files=no")
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return f"{commit}-dirty" if changed else commit


def _git(folder: Path, *args: str) -> str:
    command = ["git", "--no-optional-locks", "-C", str(folder), *args]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def machine() -> str:
    """Cores this process may use, memory, and GPUs by name where the driver lists them."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    parts = [f"{cores} CPU cores"]
    if "SC_PHYS_PAGES" in os.sysconf_names:
        gib = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**30
        parts.append(f"{gib:.0f} GiB memory")
    names = [
        line.split(":", 1)[1].strip()
        for info in sorted(Path("/proc/driver/nvidia/gpus").glob("*/information"))
        for line in info.read_text().splitlines()
        if line.startswith("Model:")
    ]
    parts += [f"{names.count(name)} x {name}" for name in dict.fromkeys(names)]
    return ", ".join(parts)


def versions() -> str:
    """Installed versions of the packages that decide a result."""
    found = []
    for package in PACKAGES:
        try:
            found.append(f"{package} {metadata.version(package)}")
        except metadata.PackageNotFoundError:
            found.append(f"no {package}")
    return ", ".join(found)
