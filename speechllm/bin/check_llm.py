"""Look whether an LLM can be loaded, before hours of work that come before it: its config and its tokenizer.

python -m speechllm.bin.check_llm meta-llama/Llama-2-7b-hf
python -m speechllm.bin.check_llm --chat meta-llama/Llama-2-7b-chat-hf  # and that its chat template takes audio
"""

import argparse

from speechllm.bin import cli


def get_parser():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("name", help="Hugging Face name or folder")
    parser.add_argument("--chat", action="store_true", help="it has to have a chat template")
    return parser


def main(argv=None):
    args = get_parser().parse_args(argv)
    from speechllm import build
    from speechllm.data.dialogue import Part, Turn
    from speechllm.models.llm_loading import load_llm_config
    from speechllm.models.llm_tokenizer import LlmTokenizer

    config, tokenizer = load_llm_config(args.name), LlmTokenizer(args.name)
    if args.chat:
        spoken = Turn("user", (Part(audio="audio"),))
        build.build_chat_template("{audio}", tokenizer).parts_of((spoken,))
    print(f"{args.name}: {config.model_type}, {len(tokenizer):,} tokens")


if __name__ == "__main__":
    cli.run(main)
