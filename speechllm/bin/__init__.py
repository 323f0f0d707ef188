"""Commands: one module per stage command, run as python -m speechllm.bin.<name>."""
