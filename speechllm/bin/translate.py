"""Let the LLM of a speech LLM work on text where the speech stood: the second half of a cascade.

python -m speechllm.bin.translate --config conf/mini/decode.yaml --model exp/mini/llm \
    --heard exp/mini/transcripts --out exp/mini/decode/cascade data/mini/test

Prompt and LLM are those of the model, without what it has learnt for speech.
"""

from speechllm.bin import cli
from speechllm.config import DecodeConfig, LlmConfig, from_dict


def get_parser(argv=None):
    parser = cli.config_parser(__doc__, DecodeConfig, argv)
    parser.add_argument("data_dirs", nargs="+", help="data directories with manifest.arrow")
    parser.add_argument("--model", required=True, help="experiment folder of a speech LLM")
    parser.add_argument("--llm", default="", help="as for speechllm.bin.decode")
    parser.add_argument(
        "--heard",
        required=True,
        help="HEARD/<name of the data directory>/text are the transcripts, by whatever recogniser",
    )
    parser.add_argument(
        "--out", required=True, help="OUT/<name of the data directory>/{text,utt2status}"
    )
    return parser


def text_recognizer(llm, tokenizer, template, heard: dict[str, str], config, device):
    """A function from rows of a manifest to an ``Output`` each.

    Args:
        heard: utterance id to the text that stands in the place of its audio.
    """
    import torch

    from speechllm.bin.recognize import Output, split_output
    from speechllm.decode.beam import beam_search

    @torch.no_grad()
    def recognize(rows):
        prompts = [template.text_parts(row, heard[row.utt_id])[0] for row in rows]
        inputs = [llm.embed(ids.to(device)) for ids in prompts]
        limits = [
            config.extra_tokens + int(config.max_tokens_per_second * row.num_frames / 100)
            for row in rows
        ]
        lists = beam_search(
            llm,
            inputs,
            limits,
            tokenizer.eos_id,
            num_beams=config.num_beams,
            length_penalty=config.length_penalty,
            repetition_penalty=config.repetition_penalty,
        )
        outputs = [
            Output(tokenizer.decode(hyps[0].token_ids).strip(), hyps[0].status) for hyps in lists
        ]
        return [split_output(o) for o in outputs] if config.task == "chain" else outputs

    return recognize


def main(argv=None):
    config, args = cli.parse(get_parser(argv), DecodeConfig, argv)
    import dataclasses
    from pathlib import Path

    from speechllm import build, load
    from speechllm.bin.decode import decode
    from speechllm.bin.recognize import text_side
    from speechllm.data.tables import read_table
    from speechllm.errors import UserError
    from speechllm.train import distributed

    config = dataclasses.replace(config, window=0.0)  # a text is read as a whole
    setup = distributed.init(exact=True)
    saved, path = load.open_checkpoint(args.model, "speech_llm")
    llm_config = from_dict(LlmConfig, saved["config"]["llm"])
    if llm_config.from_scratch:
        raise UserError(f"{args.model}: its LLM began random and has read no text; name another")
    tokenizer, _, template = text_side(saved, path, config.task)
    llm = build.build_llm(llm_config, args.llm or load.find_llm(saved["llm"], path))
    llm = llm.to(setup.device).eval()
    for data_dir in args.data_dirs:
        name = Path(data_dir).name
        heard = read_table(Path(args.heard) / name / "text")
        missing = sorted(read_table(Path(data_dir) / "text").keys() - heard.keys())
        if missing:
            raise UserError(
                f"{args.heard}/{name}/text: {len(missing)} utterances of {data_dir} are not in it, "
                f"first: {missing[0]}; decode again"
            )
        recognize = text_recognizer(llm, tokenizer, template, heard, config, setup.device)
        decode(recognize, data_dir, Path(args.out) / name, config, setup)
    distributed.close()


if __name__ == "__main__":
    cli.run(main)
