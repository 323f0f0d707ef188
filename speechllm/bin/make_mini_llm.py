"""Train the mini preset's LLM from scratch.

python -m speechllm.bin.make_mini_llm --langs "en de" --out exp/mini/base_llm
"""

from speechllm.bin import cli
from speechllm.config import MiniLlmConfig

NUM_QUESTIONS = 1500


def get_parser():
    parser = cli.config_parser(__doc__, MiniLlmConfig)
    parser.add_argument("--langs", default="", help="languages whose made-up sentences it reads")
    parser.add_argument(
        "--text", default="", help="Kaldi text file of training transcripts that it reads as well"
    )
    parser.add_argument(
        "--text_src",
        default="",
        help="where --text are translations: of these; made-up ones are then written as English is",
    )
    parser.add_argument("--target", default="", help="language of the translations, as a code (en)")
    parser.add_argument("--out", required=True, help="Hugging Face folder to write")
    return parser


def main(argv=None):
    config, args = cli.parse(get_parser(), MiniLlmConfig, argv)
    import dataclasses

    from speechllm.data.prompts import LANGUAGES
    from speechllm.data.tables import read_table
    from speechllm.data.tokenizer import cut_unspaced
    from speechllm.mini.chat import train_chat_llm
    from speechllm.mini.documents import TRANSLATE
    from speechllm.mini.grammar import LANGS, sentences
    from speechllm.mini.llm import train_llm
    from speechllm.mini.questions import questions
    from speechllm.score.normalize import normalize
    from speechllm.train.muon import MuonAdamW

    texts = read_table(args.text) if args.text else {}
    transcripts = list(texts.values())
    settings = dataclasses.asdict(config)
    for name in ("chat", "num_sentences", "translated_share", "lr", "muon_lr"):
        settings.pop(name)

    def make_optimizer(matrices, others):
        return MuonAdamW(matrices, others, config.muon_lr, config.lr)

    if config.chat:
        train_chat_llm(args.out, transcripts, make_optimizer=make_optimizer, **settings)
        return
    pairs = []
    for lang in args.langs.split():
        if lang in LANGS:  # other languages are known from the transcripts alone
            made = sentences(lang, config.num_sentences, seed=config.seed, split="train")
            if not args.text_src:
                pairs += [(s.text, s.english if lang != "en" else "") for s in made]
            elif args.target in ("", "en"):
                pairs += [(normalize(s.text, lang), s.english_written) for s in made]
    instruction = TRANSLATE
    if args.target:
        instruction = f"translate to {LANGUAGES.get(args.target, args.target)}:"
    if args.text_src:
        sources = read_table(args.text_src)
        pairs += [(sources[utt_id], text) for utt_id, text in texts.items()]
        transcripts += list(sources.values())
    asked = []
    if "en" in args.langs.split():
        for question in questions(NUM_QUESTIONS, config.seed, split="train", kinds=("scene",)):
            asked.append((question.turns[0][1], question.answer))
    train_llm(
        args.out,
        pairs,
        transcripts,
        asked,
        make_optimizer=make_optimizer,
        instruction=instruction,
        translated_share=config.translated_share,
        cut=cut_unspaced,
        **settings,
    )


if __name__ == "__main__":
    cli.run(main)
