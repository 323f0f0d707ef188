"""What stops the training of an LLM before anything large is loaded."""

import pytest

from speechllm.bin import train_llm
from speechllm.errors import UserError


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--packing", "true", "--distill_weight", "0.5"], "packing and distill_weight do not go"),
        (["--llm.finetune", "true"], "llm.finetune: true trains all weights, but lora.rank is 8"),
        (["--peft.type", "ia3"], "peft.type: ia3 stands in the place of LoRA, but lora.rank is 8"),
        ([], "train/manifest.arrow: no such file"),
    ],
)
def test_contradictions_and_missing_data_are_named_first(tmp_path, options, message):
    paths = {"train_dir": "train", "valid_dir": "dev", "exp_dir": "exp", "encoder": "no_encoder"}
    argv = [word for name, path in paths.items() for word in (f"--{name}", str(tmp_path / path))]
    with pytest.raises(UserError, match=message):
        train_llm.main([*argv, "--llm_name", "./no_llm", *options])
