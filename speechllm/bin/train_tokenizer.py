"""Train the CTC units.

python -m speechllm.bin.train_tokenizer --config conf/mini/tokenizer.yaml \
    --text data/mini/train/text --out exp/mini/units.model
"""

from speechllm.bin import cli
from speechllm.config import TokenizerConfig


def get_parser():
    parser = cli.config_parser(__doc__, TokenizerConfig)
    parser.add_argument(
        "--text", required=True, nargs="+", help="Kaldi text files of training transcripts"
    )
    parser.add_argument("--out", required=True, help="SentencePiece model to write")
    return parser


def main(argv=None):
    config, args = cli.parse(get_parser(), TokenizerConfig, argv)
    from speechllm.data.tables import iter_table
    from speechllm.data.tokenizer import train

    texts = (text for path in args.text for _, text in iter_table(path))
    tokenizer = train(texts, args.out, config.vocab_size, config.model_type)
    print(f"{args.out}: {tokenizer.vocab_size} units, the blank included")


if __name__ == "__main__":
    cli.run(main)
