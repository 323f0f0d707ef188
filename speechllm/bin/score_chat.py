"""Score answered dialogues and write results.json and RESULTS.md.

python -m speechllm.bin.score_chat --dialogues data/mini/test/dialogues.jsonl --set test --out exp/mini \
    --hyp text=exp/mini/decode/text/test audio=exp/mini/decode/audio/test

Each folder is one of speechllm.bin.converse. SYSTEM@COLUMN=DIR puts a figure into a column of its own, as in
audio@10dB=DIR. Rows of other systems and sets in results.json are kept.
"""

import argparse
from pathlib import Path

from speechllm.bin import cli


def get_parser():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--dialogues", type=Path, required=True, help="what was asked")
    parser.add_argument(
        "--hyp", nargs="+", required=True, metavar="SYSTEM=DIR", help="names and their folders"
    )
    parser.add_argument("--set", required=True, help="name of the set in the table")
    parser.add_argument("--lang", default="en", help="language of the answers (%(default)s)")
    parser.add_argument(
        "--out", type=Path, required=True, help="folder of results.json, RESULTS.md"
    )
    parser.add_argument("--commands", type=Path, help="file of the commands that made the answers")
    return parser


def main(argv=None):
    args = get_parser().parse_args(argv)
    from speechllm.bin.score import read_commands
    from speechllm.data.dialogue import read_dialogues
    from speechllm.errors import UserError
    from speechllm.score import results
    from speechllm.score.chat import Question, chat_rows, count_rows, kind_rows, read_answers
    from speechllm.score.environment import git_commit
    from speechllm.score.table import render_set

    questions = [
        Question(d.dialogue_id, d.answer, d.aliases, d.kind) for d in read_dialogues(args.dialogues)
    ]
    answers = {}
    for item in args.hyp:
        name, _, folder = item.partition("=")
        system, _, column = name.partition("@")
        if not system or not folder:
            raise UserError(f"--hyp {item}: should be SYSTEM=DIR or SYSTEM@COLUMN=DIR")
        if (system, column or args.lang) in answers:
            raise UserError(f"--hyp: {name} a second time; give each folder its own name")
        ids = [question.dialogue_id for question in questions]
        answers[system, column or args.lang] = read_answers(Path(folder), ids)
    made_by = {"commit": git_commit(), "command": read_commands(args.commands, argv)}
    rows = [row | {"set": args.set} for row in chat_rows(questions, answers, args.lang)]
    sets = [args.set]
    if {column for _, column in answers} == {args.lang}:
        plain = {system: found for (system, _), found in answers.items()}
        rows += [row | {"set": args.set} for row in count_rows(plain, args.lang)]
        sets.append(f"{args.set} by kind")
        rows += [row | {"set": sets[1]} for row in kind_rows(questions, plain, args.lang)]
    old = results.read_results(args.out / "results.json")
    rows = results.merge(old, [row | made_by for row in rows])
    results.write_results(args.out, rows)
    for name in sets:
        print("\n\n".join(render_set(rows, name, [])))


if __name__ == "__main__":
    cli.run(main)
