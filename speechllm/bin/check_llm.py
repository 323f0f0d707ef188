"""Look whether an LLM can be loaded, before hours of work that come before it: its config and its tokenizer.

python -m speechllm.bin.check_llm meta-llama/Llama-2-7b-hf
"""

import argparse

from speechllm.bin import cli


def get_parser():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("name", help="Hugging Face name or folder")
    return parser


def main(argv=None):
    args = get_parser().parse_args(argv)
    from speechllm.models.llm import load_llm_config
    from speechllm.models.llm_tokenizer import LlmTokenizer

    config, tokenizer = load_llm_config(args.name), LlmTokenizer(args.name)
    print(f"{args.name}: {config.model_type}, {len(tokenizer):,} tokens")


if __name__ == "__main__":
    cli.run(main)
