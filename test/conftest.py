"""Fixtures for all tests."""

from pathlib import Path

import pytest
import torch

torch.set_num_threads(1)  # the tests' tensors are tiny; threads only fight over the cores


@pytest.fixture
def shared():
    """The folder with real speech, a real LLM and Kaldi's stored output, where there is one."""
    folder = Path(__file__).resolve().parents[2] / "shared"
    if not (folder / "corpora").is_dir():
        pytest.skip(f"{folder} is not on this machine")
    return folder
