"""Write a data directory from the English part of Multilingual LibriSpeech, for dev and test with dialogues.

python local/prepare_data.py --corpora /data/mls --set test data/test

A corpus that comes with dialogues (*.jsonl beside transcripts.txt, see mini/dialogues.py) keeps them, in
several.jsonl those again in which the user speaks more than once; of another corpus every utterance is a dialogue of
one turn. Where a corpus has no instructed.jsonl and reminded.jsonl of its own, dialogues of one spoken turn are put
into them: with an instruction in text before the audio, and after a turn of text that says what will be said.
"""

from dataclasses import replace
from pathlib import Path

from speechllm.bin import cli
from speechllm.data.data_dir import iter_data_dir, write_data_dir
from speechllm.data.dialogue import Dialogue, Part, Turn, as_json, read_dialogues
from speechllm.data.mls import SUBSETS, corpus_dir, iter_mls
from speechllm.data.responses import choose_instruction
from speechllm.data.tables import atomic_write

INSTRUCTIONS = (
    "Translate into German:",
    "Sum up in a few words:",
    "Say in other words:",
    "Name the most important word of this:",
)


def get_parser():
    corpora = "folder that holds mls_english[_opus]"
    return cli.preparation_parser(__doc__, corpora, subsets=("full", *SUBSETS))


def single_turns(data_dir: str) -> list[Dialogue]:
    """Every utterance of a data directory as a dialogue."""
    return [
        Dialogue(utt.utt_id, (Turn("user", (Part(audio=utt.audio, transcript=utt.text),)),))
        for utt in iter_data_dir(data_dir)
    ]


def spoken_turn(dialogue: Dialogue) -> Part | None:
    """The audio of a dialogue that is nothing else, if its transcript is known."""
    parts = [part for turn in dialogue.turns for part in turn.parts]
    return parts[0] if len(parts) == 1 and parts[0].audio and parts[0].transcript else None


def instructed(dialogue: Dialogue, part: Part) -> Dialogue:
    """An instruction in text, then the audio; the right answer is not known any more."""
    text = choose_instruction(dialogue.dialogue_id, INSTRUCTIONS, 1.0, 1)
    turns = (Turn("user", (Part(text=text), part)),)
    return replace(dialogue, turns=turns, answer="", aliases=(), kind=text)


def reminded(dialogue: Dialogue, part: Part) -> Dialogue:
    """A turn of text that says what the audio will say, and the audio."""
    said = Part(text=f'What I say next will be: "{part.transcript}"')
    before = Turn("user", (said,)), Turn("assistant", (Part(text="I see."),))
    return replace(dialogue, turns=(*before, *dialogue.turns))


def num_user_turns(dialogue: Dialogue) -> int:
    return sum(turn.role == "user" for turn in dialogue.turns)


def write_dialogues(path: Path, dialogues: list[Dialogue]):
    if not dialogues:
        return
    with atomic_write(path) as file:
        file.writelines(map(as_json, dialogues))
    print(f"{path}: {len(dialogues)} dialogues")


def main(argv=None):
    args = get_parser().parse_args(argv)
    utterances = iter_mls(args.corpora, ["en"], args.set, args.subset)
    count = write_data_dir(args.data_dir, utterances)
    print(f"{args.data_dir}: {count} utterances")
    if args.set == "train":
        return
    set_dir, data_dir = corpus_dir(Path(args.corpora), "en") / args.set, Path(args.data_dir)
    made = (set_dir / "dialogues.jsonl").exists()
    dialogues = read_dialogues(set_dir / "dialogues.jsonl") if made else single_turns(args.data_dir)
    write_dialogues(data_dir / "dialogues.jsonl", dialogues)
    several = [dialogue for dialogue in dialogues if num_user_turns(dialogue) > 1]
    write_dialogues(data_dir / "several.jsonl", several)
    spoken = [(dialogue, part) for dialogue in dialogues if (part := spoken_turn(dialogue))]
    for name, change in (("instructed.jsonl", instructed), ("reminded.jsonl", reminded)):
        if (set_dir / name).exists():
            write_dialogues(data_dir / name, read_dialogues(set_dir / name))
        else:
            write_dialogues(data_dir / name, [change(*one) for one in spoken])


if __name__ == "__main__":
    cli.run(main)
