"""Whether learning to listen has left an LLM's text abilities bit by bit as they were.

python -m speechllm.bin.check_frozen --model exp/mini/llm --responses exp/mini/respond/train \
    --out exp/mini/analysis/frozen.json data/mini/test/dialogues.jsonl

The logits of the trained model's LLM after the transcripts of dialogues are compared with those of the LLM as it is
loaded from its name or folder, and the folder's weights with those that wrote the training targets.
"""

import argparse

from speechllm.bin import cli


def get_parser():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("dialogues", help="JSON lines, see speechllm/data/dialogue.py")
    parser.add_argument("--model", required=True, help="experiment folder of a speech LLM")
    parser.add_argument("--llm", default="", help="its LLM, if it is not where it was in training")
    parser.add_argument("--responses", required=True, help="data directory it was trained on")
    parser.add_argument("--out", required=True, help="JSON file to write")
    return parser


def same_logits(llm, other, prompts: list, device) -> bool:
    """Whether two LLMs give bit by bit the same logits to prompts (L,) of token ids."""
    import torch

    with torch.inference_mode():
        for ids in prompts:
            ids = ids.to(device)
            logits = [m.logits(m.hidden(m.embed(ids[None]))) for m in (llm, other)]
            if not torch.equal(*logits):
                return False
    return True


def main(argv=None):
    args = get_parser().parse_args(argv)
    import json
    from pathlib import Path

    from speechllm import build
    from speechllm.bin.recognize import text_side
    from speechllm.data.dialogue import as_text, read_dialogues
    from speechllm.data.responses import ABOUT
    from speechllm.data.tables import atomic_write
    from speechllm.errors import UserError
    from speechllm.models.llm import llm_revision, load_llm
    from speechllm.train import distributed

    device, origin = distributed.init(exact=True).device, Path(args.responses) / ABOUT
    if not origin.is_file():
        raise UserError(f"{origin}: no such file; --responses should be written by merge_responses")
    about = json.loads(origin.read_text(encoding="utf-8"))
    dialogues = [as_text(dialogue) for dialogue in read_dialogues(args.dialogues)]
    model, saved, path = build.load_speech_llm(args.model, args.llm)
    _, _, template = text_side(saved, path)
    name = args.llm or build.find_llm(saved["llm"], path)
    settings = saved["config"]["llm"]
    base_llm = load_llm(name, settings["dtype"], settings["attention"]).to(device).eval()
    prompts = [template.parts_of(dialogue.turns)[0] for dialogue in dialogues]
    report = {
        "num_prompts": len(prompts),
        "text_logits_equal": same_logits(model.llm.to(device), base_llm, prompts, device),
        "revision_before": about["revision"],
        "revision_after": llm_revision(name),
    }
    Path(args.out).parent.mkdir(parents=True, exist_ok=True)
    with atomic_write(args.out) as file:
        json.dump(report, file, indent=1)
    print(
        f"text logits of {len(prompts)} prompts bit by bit as before: {report['text_logits_equal']}; "
        f"weights as before: {report['revision_before'] == report['revision_after']}"
    )


if __name__ == "__main__":
    cli.run(main)
