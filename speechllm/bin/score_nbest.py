"""Write an LLM's log-probabilities of n-best texts beside them, for bin/rescore.

python -m speechllm.bin.score_nbest --llm_name exp/mini/base_llm exp/mini/decode/encoder-decoder/dev
"""

import argparse
from pathlib import Path

from speechllm.bin import cli


def get_parser():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "hyp_dirs", nargs="+", type=Path, help="decoded sets with nbest/; llm_score goes there"
    )
    parser.add_argument("--llm_name", required=True, help="Hugging Face name or folder of the LLM")
    parser.add_argument("--dtype", default="float32", choices=("float32", "bfloat16", "float16"))
    parser.add_argument(
        "--batch_tokens", type=int, default=4000, help="read at once (default: %(default)s)"
    )
    return parser


def main(argv=None):
    args = get_parser().parse_args(argv)
    import dataclasses

    from speechllm.decode.rescore import text_scores
    from speechllm.models.llm_loading import load_llm
    from speechllm.models.llm_tokenizer import LlmTokenizer
    from speechllm.score.inputs import read_table
    from speechllm.score.nbest import read_nbest, write_nbest
    from speechllm.train import distributed

    device = distributed.init(exact=True).device
    tokenizer = LlmTokenizer(args.llm_name)
    llm = load_llm(args.llm_name, args.dtype).to(device).eval()
    for hyp_dir in args.hyp_dirs:
        lists = read_nbest(hyp_dir / "nbest", sorted(read_table(hyp_dir / "text")))
        texts = sorted({text for own in lists.texts for text in own})
        rows = [[tokenizer.bos_id, *tokenizer.encode(text), tokenizer.eos_id] for text in texts]
        found = dict(zip(texts, text_scores(llm, rows, args.batch_tokens, device), strict=True))
        scores = [[found[text] for text in own] for own in lists.texts]
        lists = dataclasses.replace(lists, scores=lists.scores | {"llm": scores})
        write_nbest(hyp_dir / "nbest", lists)
        print(f"{hyp_dir}: {len(texts)} different texts in {len(scores)} lists")
    distributed.close()


if __name__ == "__main__":
    cli.run(main)
