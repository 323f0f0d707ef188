"""Write a data directory from the English part of Multilingual LibriSpeech, for dev and test with dialogues.

python local/prepare_data.py --corpora /data/mls --set test data/test

A corpus that comes with dialogues (*.jsonl beside transcripts.txt, see mini/dialogues.py) keeps them, in
several.jsonl those again in which the user speaks more than once; of another corpus every utterance is a dialogue of
one turn.
"""

from pathlib import Path

from speechllm.bin import cli
from speechllm.data.data_dir import iter_data_dir, write_data_dir
from speechllm.data.dialogue import Dialogue, Part, Turn, as_json, read_dialogues
from speechllm.data.mls import SUBSETS, corpus_dir, iter_mls
from speechllm.data.tables import atomic_write


def get_parser():
    corpora = "folder that holds mls_english[_opus]"
    return cli.preparation_parser(__doc__, corpora, subsets=("full", *SUBSETS))


def single_turns(data_dir: str) -> list[Dialogue]:
    """Every utterance of a data directory as a dialogue."""
    return [
        Dialogue(utt.utt_id, (Turn("user", (Part(audio=utt.audio, transcript=utt.text),)),))
        for utt in iter_data_dir(data_dir)
    ]


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
    for name in ("instructed.jsonl", "reminded.jsonl"):
        if (set_dir / name).exists():
            write_dialogues(data_dir / name, read_dialogues(set_dir / name))


if __name__ == "__main__":
    cli.run(main)
