"""Score answered dialogues and write results.json and RESULTS.md.

python -m speechllm.bin.score_chat --decode exp/mini/decode --set test --out exp/mini data/mini/test/dialogues.jsonl

DECODE/<system>/<set> are folders of speechllm.bin.converse. With --columns "20dB 10dB" they are DECODE/<system>/20dB
and so on, side by side in the tables of the set. Rows of other systems and sets in results.json are kept.
"""

import argparse
from pathlib import Path

from speechllm.bin import cli
from speechllm.score.answers import MATCHES


def get_parser():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("dialogues", type=Path, help="what was asked")
    parser.add_argument("--decode", type=Path, required=True, help="folder of the systems")
    parser.add_argument(
        "--systems",
        default="",
        help="folders in it (those of text, cascade, audio and cascade-llm)",
    )
    parser.add_argument("--set", required=True, help="name of the set in the tables")
    parser.add_argument("--columns", default="", help="folders of one set under several conditions")
    parser.add_argument("--lang", default="en", help="language of the answers (%(default)s)")
    parser.add_argument(
        "--match",
        default="exact",
        choices=MATCHES,
        help="which answers are right: those that are the expected one or an alias (%(default)s), or "
        "in which one stands as whole words, as in sentences of a chat LLM",
    )
    parser.add_argument(
        "--out", type=Path, required=True, help="folder of results.json and RESULTS.md"
    )
    parser.add_argument(
        "--plot",
        type=Path,
        help="picture to draw of --columns: right answers (perplexity, where none are known) over the WER of the "
        "cascade's transcripts",
    )
    parser.add_argument("--commands", type=Path, help="file of the commands that made the answers")
    return parser


def plot(rows: list[dict], columns: list[str], title: str, path: Path):
    """Draw what becomes of each system as the cascade hears worse; nothing where there is no cascade.

    Args:
        rows: of results.json, with the columns as languages.
    """
    from speechllm.analysis.curves import plot_table

    units = {
        "accuracy": "right answers (%)",
        "perplexity": "perplexity of the text prompt's answers",
    }
    found = {(r["system"], r["metric"], r["lang"]): r for r in rows if r["lang"] in columns}
    metric = next((m for m in units if any(key[1] == m for key in found)), "")
    points = [
        {"label": system, "x": found["cascade", "wer", column]["value"]}
        | {key: row[key] for key in ("value", "low", "high")}
        for (system, name, column), row in found.items()
        if name == metric and ("cascade", "wer", column) in found
    ]
    if points:
        path.parent.mkdir(parents=True, exist_ok=True)
        plot_table(points, title, "WER of the cascade's transcripts (%)", path, units[metric])


def main(argv=None):
    args = get_parser().parse_args(argv)
    from speechllm.bin.score import read_commands
    from speechllm.data.dialogue import read_dialogues
    from speechllm.errors import UserError
    from speechllm.score import results
    from speechllm.score.chat import (
        SYSTEMS,
        Question,
        chat_rows,
        count_rows,
        kind_rows,
        read_answers,
    )
    from speechllm.score.environment import git_commit
    from speechllm.score.table import render_set

    dialogues = read_dialogues(args.dialogues)
    questions = [Question(d.dialogue_id, d.answer, d.aliases, d.kind) for d in dialogues]
    unknown = [question.dialogue_id for question in questions if not question.answer]
    if 0 < len(unknown) < len(questions):
        count = f"{len(unknown)} of {len(questions)} dialogues have no answer ({unknown[0]})"
        print(f"{args.dialogues}: {count}; no accuracy over all of them; give an `answer` to each")
    systems, columns = args.systems.split(), args.columns.split()
    folders = columns or [args.set]
    systems = systems or [
        name for name in SYSTEMS if any((args.decode / name / f).exists() for f in folders)
    ]
    if not systems:
        raise UserError(
            f"{args.decode}: no system has answered {args.set}; run converse, or give its --out as --decode"
        )
    ids = [question.dialogue_id for question in questions]
    answers = {
        (system, column): read_answers(
            args.decode / system / (column if columns else args.set), ids
        )
        for system in systems
        for column in columns or [args.lang]
    }
    for (system, column), given in answers.items():
        for dialogue, answer in zip(dialogues, given, strict=True):
            known = [part.transcript for part in dialogue.audio_parts]
            others = [spoken for spoken in answer.spoken if spoken not in known]
            if others:
                raise UserError(
                    f"{dialogue.where}: {system} ({column}) was asked with other transcripts, first: "
                    f"{others[0]!r} is none of the dialogue's; run converse again"
                )
    rows = chat_rows(questions, answers, args.lang, match=args.match)
    rows = [row | {"set": args.set} for row in rows]
    sets = [args.set]
    if not columns:
        plain = {system: answers[system, args.lang] for system in systems}
        rows += [row | {"set": args.set} for row in count_rows(plain, args.lang)]
        sets.append(f"{args.set} by kind")
        of_kinds = kind_rows(questions, plain, args.lang, args.match)
        rows += [row | {"set": sets[1]} for row in of_kinds]
    if args.plot:
        plot(rows, columns, args.set, args.plot)
    made_by = {"commit": git_commit(), "command": read_commands(args.commands, argv, "score_chat")}
    old = results.read_results(args.out / "results.json")
    if not args.systems:  # older rows of a system without answers now are of other dialogues
        gone = set(SYSTEMS) - set(systems)
        old = [row for row in old if row["set"] not in sets or row["system"] not in gone]
    rows = results.merge(old, [row | made_by for row in rows])
    results.write_results(args.out, rows)
    print("\n\n".join(part for name in sets for part in render_set(rows, name, [])))


if __name__ == "__main__":
    cli.run(main)
