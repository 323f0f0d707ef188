"""Look whether an LLM can be loaded, and used as a training wants it, before hours of work that come before that.

Its config and its tokenizer are read, not its weights.

python -m speechllm.bin.check_llm --config conf/paper/train_llm.yaml meta-llama/Llama-2-7b-hf
"""

from speechllm.bin import cli
from speechllm.config import TrainLlmConfig


def get_parser(argv=None):
    parser = cli.config_parser(__doc__, TrainLlmConfig, argv)
    parser.add_argument("name", help="Hugging Face name or folder")
    # of train_llm, whose overrides come here too
    for flag in ("--init", "--decode_config", "--overwrite"):
        parser.add_argument(flag, default="", help="not read")
    return parser


def main(argv=None):
    config, args = cli.parse(get_parser(argv), TrainLlmConfig, argv)
    from speechllm import build
    from speechllm.models.llm_loading import load_llm_config
    from speechllm.models.llm_tokenizer import LlmTokenizer
    from speechllm.models.mask_support import refuse_4d_mask, why_no_4d_mask

    build.check_llm_training(config)
    llm_config, tokenizer = load_llm_config(args.name), LlmTokenizer(args.name)
    if config.chat:
        build.build_chat_template("{audio}", tokenizer, config.system).check_takes_audio()
    prefix = config.speech_attention == "prefix"
    if (prefix or config.packing) and (why := why_no_4d_mask(llm_config, config.llm.attention)):
        refuse_4d_mask(llm_config.model_type, why, config.packing)
    print(f"{args.name}: {llm_config.model_type}, {len(tokenizer):,} tokens")


if __name__ == "__main__":
    cli.run(main)
