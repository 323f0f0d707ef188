"""Whether learning to listen has left an LLM's text abilities bit by bit as they were.

python -m speechllm.bin.check_frozen --model exp/mini/llm --responses exp/mini/respond/train \
    --out exp/mini/analysis/frozen.json --results exp/mini data/mini/test/dialogues.jsonl

The logits of the trained model's LLM after the transcripts of dialogues are compared with those of the LLM as it is
loaded from its name or folder; its weights in memory as training began with those as it ended, by hashes that train_llm
has noted (where it was interrupted, of the process that ended it); and the LLM with the one that wrote the training
targets: two folders by hashes of their files, two names of the hub by their commits. Where training was to leave the
LLM frozen, a difference is an error; a name and a folder cannot be compared, which is a warning.
"""

import argparse
from pathlib import Path

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
    parser.add_argument(
        "--results", default="", help="folder of results.json and RESULTS.md, to add a row to"
    )
    parser.add_argument("--set", default="test", help="name of the set there (%(default)s)")
    parser.add_argument("--commands", type=Path, help="file of the commands that made the model")
    return parser


def same_logits(llm, other, prompts: list, device) -> list[bool]:
    """Per prompt (L,) of token ids, whether two LLMs give bit by bit the same logits to it."""
    import torch

    found = []
    with torch.inference_mode():
        for ids in prompts:
            ids = ids.to(device)
            logits = [m.logits(m.hidden(m.embed(ids[None]))) for m in (llm, other)]
            found.append(torch.equal(*logits))
    return found


def told(value: bool | None) -> str:
    return "unknown" if value is None else str(value)


def noted_weights(checkpoint: Path) -> dict:
    """What the training of a frozen LLM has noted of its weights, each None where it has noted nothing.

    Args:
        checkpoint: in an experiment folder, or a folder by itself, of whose training nothing is known.
    """
    import json
    import re

    from speechllm.bin.train_llm import LLM_WEIGHTS

    path, noted = checkpoint.parent / LLM_WEIGHTS, {}
    if re.fullmatch(r"best|last|step_\d+", checkpoint.name) and path.is_file():
        noted = json.loads(path.read_text(encoding="utf-8"))
    before, after = noted.get("before"), noted.get("after")
    return {
        "weights_before_training": before,
        "weights_after_training": after,
        "training_kept_weights": before == after if after else None,
    }


def main(argv=None):
    args = get_parser().parse_args(argv)
    import json

    from speechllm import load
    from speechllm.bin.recognize import text_side
    from speechllm.bin.score import read_commands
    from speechllm.data.dialogue import as_text, read_dialogues
    from speechllm.data.responses import ABOUT
    from speechllm.data.tables import atomic_write
    from speechllm.errors import UserError
    from speechllm.models.llm_loading import llm_revision, load_llm, same_revision
    from speechllm.score import results
    from speechllm.score.chat import frozen_row
    from speechllm.score.environment import git_commit
    from speechllm.train import distributed

    device, origin = distributed.init(exact=True).device, Path(args.responses) / ABOUT
    if not origin.is_file():
        raise UserError(f"{origin}: no such file; --responses should be written by merge_responses")
    about = json.loads(origin.read_text(encoding="utf-8"))
    dialogues = [as_text(dialogue) for dialogue in read_dialogues(args.dialogues)]
    model, saved, path = load.load_speech_llm(args.model, args.llm)
    _, _, template = text_side(saved, path)
    name = args.llm or load.find_llm(saved["llm"], path)
    settings = saved["config"]["llm"]
    base_llm = load_llm(name, settings["dtype"], settings["attention"]).to(device).eval()
    prompts = [template.parts_of(dialogue.turns)[0] for dialogue in dialogues]
    same = same_logits(model.llm.to(device), base_llm, prompts, device)
    revision = llm_revision(name)
    same_weights = same_revision(about["revision"], revision)
    learnt = any(key.startswith("llm.") for key in model.checkpoint_state_dict())
    noted = noted_weights(path)
    kept = None if learnt else noted["training_kept_weights"]
    report = {
        "num_prompts": len(prompts),
        "text_logits_equal": all(same),
        "revision_before": about["revision"],
        "revision_after": revision,
        "revisions_equal": same_weights,  # null: cannot be compared
        **noted,
        "training_kept_weights": kept,  # null: nothing is noted, or the LLM has learnt
    }
    Path(args.out).parent.mkdir(parents=True, exist_ok=True)
    with atomic_write(args.out) as file:
        json.dump(report, file, indent=1)
    is_other = not learnt and (same_weights is False or kept is False)
    if args.results and not is_other:  # of another LLM the logits tell nothing
        command = read_commands(args.commands, argv, "check_frozen")
        row = frozen_row(same, args.set) | {"commit": git_commit(), "command": command}
        old = results.read_results(Path(args.results) / "results.json")
        results.write_results(Path(args.results), results.merge(old, [row]))
    print(
        f"text logits of {len(prompts)} prompts bit by bit as before: {all(same)}; "
        f"it is the LLM that answered: {told(same_weights)}; training kept its weights: {told(kept)}"
    )
    if same_weights is None:
        print(
            f"WARNING: {origin}: these answers are those of {about['model']} ({about['revision']}), which cannot be "
            f"compared with {name} ({revision}); make sure that both are the same LLM"
        )
    if kept is False:
        raise UserError(
            f"{args.out}: the LLM {name} was frozen in training, but its weights in memory were others at the end "
            "than at the start, and what was trained fits those; train again"
        )
    if not learnt and not (all(same) and same_weights is not False):
        raise UserError(
            f"{args.out}: the LLM {name} was frozen in training, but is not what it was before; restore "
            "the weights that gave the responses, or respond and train again"
        )


if __name__ == "__main__":
    cli.run(main)
