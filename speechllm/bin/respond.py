"""Let an LLM answer the transcripts of a data directory: what it says to text it shall say to speech.

python -m speechllm.bin.respond --config conf/mini/respond.yaml --llm_name exp/mini/chat_llm \
    --data_dir data/mini/train --out exp/mini/respond/train

With --part K --num_parts N it answers one part only, for job arrays, and goes on where it was interrupted;
speechllm.bin.merge_responses then writes the data directory.
"""

from speechllm.bin import cli
from speechllm.config import RespondConfig


def get_parser(argv=None):
    parser = cli.config_parser(__doc__, RespondConfig, argv)
    parser.add_argument("--llm_name", required=True, help="Hugging Face name or folder of the LLM")
    parser.add_argument("--data_dir", required=True, help="data directory with manifest.arrow")
    parser.add_argument("--out", required=True, help="folder for the answers of all parts")
    parser.add_argument("--num_parts", type=int, default=1, help="parts in all (1)")
    parser.add_argument("--part", type=int, default=1, help="the part to answer, from 1 (1)")
    return parser


def respond(llm, tokenizer, template, manifest, indices, config: RespondConfig, part):
    """Answer those of some rows that a part has not answered yet, long prompts together.

    Args:
        indices: of the rows.
        part: a ``ResponsePart``.
    """
    import zlib
    from dataclasses import replace

    import numpy as np
    import torch

    from speechllm.data.responses import Response, choose_instruction
    from speechllm.data.sampler import batches_in_order
    from speechllm.data.speed import split_prefix
    from speechllm.decode.llm import greedy, sampler
    from speechllm.score.answers import find_fault

    device, todo, num_long = llm.embedding_rms().device, [], 0
    limit = config.max_prompt_tokens
    if llm.context_len is not None:
        limit = min(limit, llm.context_len - config.max_tokens)
    for index in indices:
        row = manifest.row(int(index))
        if row.utt_id in part.done or split_prefix(row.utt_id)[0]:
            continue  # an utterance at another speed says the same
        said = choose_instruction(
            row.utt_id, config.instructions, config.instruct_share, config.seed
        )
        row = replace(row, prompt=said) if said else row
        (ids,) = template.text_parts(row)
        if len(ids) > limit:
            part.add([Response(row.utt_id, "", said, "too_long", 0.0)])
            num_long += 1
            continue
        todo.append((row, said, ids))
    print(f"{len(todo)} to answer, {len(part.done)} done before, {num_long} too long", flush=True)
    lens = np.array([len(ids) for _, _, ids in todo], dtype=np.int64)
    plan = batches_in_order(lens, config.batch_positions) if todo else []
    for number, batch in enumerate(plan, 1):
        asked = [todo[i] for i in batch]
        choose = None
        if config.temperature:
            seeds = [zlib.crc32(f"{config.seed} {row.utt_id}".encode()) for row, _, _ in asked]
            choose = sampler(seeds, config.temperature, config.top_p)
        with torch.no_grad():
            rows = [llm.embed(ids.to(device)) for _, _, ids in asked]
        limits = [config.max_tokens] * len(rows)
        hyps = greedy(llm, rows, limits, tokenizer.eos_id, choose=choose)
        found = []
        for (row, said, _), hyp in zip(asked, hyps, strict=True):
            text = " ".join(tokenizer.decode(hyp.token_ids).split())
            prompt = f"{said} {row.transcript}"
            fault = find_fault(prompt, text, hyp.status == "ok", config.refusals)
            fault = fault if fault in config.leave_out else ""
            found.append(Response(row.utt_id, text, said, fault, hyp.score))
        part.add(found)
        print(f"batch {number}/{len(plan)}", flush=True)


def main(argv=None):
    config, args = cli.parse(get_parser(argv), RespondConfig, argv)
    cli.check_draws(config)
    import dataclasses
    from pathlib import Path

    from speechllm import build
    from speechllm.data.manifest import Manifest
    from speechllm.data.responses import ResponsePart, digest_of_part
    from speechllm.data.subset import part_bounds
    from speechllm.errors import UserError
    from speechllm.models.llm_loading import llm_revision, llm_source, load_llm
    from speechllm.models.llm_tokenizer import LlmTokenizer
    from speechllm.train import distributed

    cli.check_apart(args.data_dir, args.out)
    if not 1 <= args.part <= args.num_parts:
        raise UserError(f"--part {args.part} should be one of 1..{args.num_parts} (--num_parts)")
    setup = distributed.init(exact=True)
    tokenizer = LlmTokenizer(args.llm_name)
    template = build.build_chat_template(config.prompt, tokenizer, config.system)
    manifest = Manifest(Path(args.data_dir) / "manifest.arrow")
    template.text_parts(manifest.row(0))  # an LLM without a chat template stops here
    llm = load_llm(args.llm_name, config.llm.dtype, config.llm.attention)
    settings = {"model": llm_source(args.llm_name), "revision": llm_revision(args.llm_name)}
    settings["settings"] = dataclasses.asdict(config)
    settings["data"] = digest_of_part(manifest, args.num_parts, args.part)
    part = ResponsePart(args.out, args.num_parts, args.part, settings)
    if part.set_aside:
        print(
            f"answers made with other settings or to other transcripts: moved to {part.set_aside}"
        )
    first, last = part_bounds(len(manifest), args.num_parts, args.part)
    llm = llm.to(setup.device).eval()
    respond(llm, tokenizer, template, manifest, range(first, last), config, part)


if __name__ == "__main__":
    cli.run(main)
