"""What decoding refuses, and that all of it computes exactly."""

from pathlib import Path

import pytest

from speechllm import bin as commands
from speechllm.bin.decode import check
from speechllm.config import DecodeConfig
from speechllm.errors import UserError


def test_ctc_ranks_lists_but_counts_in_the_search_of_an_encoder_decoder():
    for config in (DecodeConfig(ctc_weight=0.3), DecodeConfig(ctc_weight=0.3, task="chain")):
        with pytest.raises(UserError, match="ctc_weight.* ranks"):
            check(config)
        check(config, "encoder_decoder")
    check(DecodeConfig(ctc_weight=0.3, num_beams=2))


def test_commands_that_do_not_train_compute_float32_exactly():
    calls = {}
    for path in sorted(Path(commands.__file__).parent.glob("*.py")):
        text = path.read_text(encoding="utf-8")
        if "distributed.init(" in text:
            exact = "distributed.init(exact=True)" in text
            calls[path.stem] = exact or 'set_float32_matmul_precision("highest")' in text
    inexact = [name for name, exact in calls.items() if not exact]
    assert inexact == ["train_ctc", "train_encoder_decoder", "train_llm"] and len(calls) > 8
