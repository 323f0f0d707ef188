"""Write a data directory from Kaldi data directories, or from audio files with a file of transcripts.

python local/prepare_data.py --corpora DIR --langs ru --set train data/train

Several languages need utt2lang.

DIR holds one of
  train/ dev/ test/   Kaldi data directories: wav.scp and text; segments, utt2spk, utt2lang where there are; a command
                      in wav.scp that only reads one audio file, as flac -c -d -s FILE |, stands for that file
  wav.scp, text ...   a single one, of which a tenth of each language becomes dev and another tenth test
  transcripts.tsv     lines of audio file, tab, text, and after another tab the speaker if known; split likewise
"""

import hashlib
import os
from collections import Counter
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from speechllm.bin import cli
from speechllm.data.data_dir import Utterance, iter_audio, write_data_dir
from speechllm.data.pipes import audio_path
from speechllm.data.tables import read_table
from speechllm.errors import UserError
from speechllm.score.normalize import normalize

TRANSCRIPTS = ("transcripts.tsv", "transcripts.txt")
HELD_OUT = 0.1  # share of a language's utterances that becomes dev, and again test, where the corpus has no sets
MIN_SPEAKERS = 10  # with fewer, dev and test take utterances of the same speakers as train


def get_parser():
    corpora = "folder of the corpus, see above"
    return cli.preparation_parser(__doc__, corpora, langs="", subsets=("full",))


def find_audio(path: str, folder: Path, where: str = "") -> str:
    """The absolute path of an audio file named in a table of a folder.

    Args:
        where: what names it, for the message.

    Raises:
        UserError: it is neither where the path says nor below the folder or those above it.
    """
    for base in (Path(), folder, *folder.resolve().parents[:3]):
        if (base / path).is_file():
            return os.path.abspath(base / path)
    hint = "; is that line a header? then" if where.endswith(":1") else "; mend the path, or"
    raise UserError(
        f"{where or folder}: no audio file {path!r} in {folder}{hint} take the line out"
    )


def language_of(utt_id: str, table: dict[str, str], langs: list[str], where: Path) -> str:
    if utt_id in table:
        return table[utt_id]
    if len(langs) == 1:
        return langs[0]
    raise UserError(
        f"{where}: no utt2lang says which of {' '.join(langs)} {utt_id} is in; write it"
    )


def read_kaldi(folder: Path, langs: list[str]) -> Iterator[Utterance]:
    """Yield the utterances of a Kaldi data directory; audio without text is left out and counted.

    Raises:
        UserError: text without audio, an utt2spk that lacks some, tables that are not sorted, commands in wav.scp that
            do more than read a file.
    """
    tell_of_channels(folder / "reco2file_and_channel")
    texts = read_table(folder / "text")
    tables = [
        read_table(folder / n) if (folder / n).exists() else {} for n in ("utt2spk", "utt2lang")
    ]
    to_path = partial(audio_path, find=partial(find_audio, folder=folder))
    if not tables[0]:
        print(f"{folder}: no utt2spk, so every utterance is taken for a speaker of its own")
    left_out, without_spk = [], []
    for utt_id, audio, start, end in iter_audio(folder, to_path):
        if utt_id not in texts:
            left_out.append(utt_id)
            continue
        text, spk_id = texts.pop(utt_id), tables[0].get(utt_id, utt_id)
        if tables[0] and utt_id not in tables[0]:
            without_spk.append(utt_id)
        lang = language_of(utt_id, tables[1], langs, folder)
        name = utt_id if utt_id.startswith(spk_id) else f"{spk_id}-{utt_id}"
        yield Utterance(name, spk_id, text, find_audio(audio, folder), lang, start, end)
    if texts:
        raise UserError(
            f"{folder}/text: {len(texts)} utterances have no audio, first: {min(texts)}; "
            "add them to wav.scp (or segments), or take them out"
        )
    if without_spk:
        raise UserError(
            f"{folder}/utt2spk: {len(without_spk)} utterances are missing, first: {without_spk[0]}; add them"
        )
    if left_out:
        print(f"{folder}: {len(left_out)} without text left out, first: {left_out[0]}")


def tell_of_channels(path: Path):
    """Say that a table of the channels of recordings is not read, if it names several."""
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines() if path.exists() else []
    if len(channels := sorted({line.split()[-1] for line in lines if line.strip()})) > 1:
        print(
            f"{path}: names the channels {' '.join(channels)} and is not read; the channels of each file in wav.scp "
            "are averaged, so give every channel with speech of its own a file"
        )


def read_transcripts(path: Path, langs: list[str]) -> Iterator[Utterance]:
    """Yield the utterances of a transcript file.

    Raises:
        UserError: a line without text or audio, or with the audio of another; a file that is not UTF-8; several
            languages.
    """
    if len(langs) != 1:
        raise UserError(f"{path}: holds one language, but --langs is {' '.join(langs)!r}")
    try:
        with open(path, encoding="utf-8-sig") as file:  # editors of Windows begin it with a mark
            lines = file.readlines()  # unlike splitlines, at ends of lines alone
    except UnicodeDecodeError as error:
        raise UserError(
            f"{path}: not UTF-8 ({error.reason}); convert it, as with iconv -f CODE -t utf-8"
        ) from None
    first_lines: dict[str, int] = {}
    for number, line in enumerate(lines, start=1):
        name, *rest = (part.strip() for part in line.split("\t"))
        if not 1 <= len(rest) <= 2 or not name or not rest[0]:
            raise UserError(
                f"{path}:{number}: {line.rstrip()[:60]!r} should be an audio file, a tab and its text, "
                "and a speaker if known"
            )
        audio = find_audio(name, path.parent, f"{path}:{number}")
        if first_lines.setdefault(audio, number) != number:
            raise UserError(
                f"{path}:{number}: {name} stands in line {first_lines[audio]} too; take one out"
            )
        utt_id = "_".join(os.path.splitext(name)[0].replace("/", "-").split())
        spk_id = "_".join(rest[1].split()) if len(rest) == 2 else ""
        full_id = f"{spk_id}-{utt_id}" if spk_id else utt_id
        yield Utterance(full_id, spk_id or utt_id, rest[0], audio, langs[0])


def choose(utts: list[Utterance], lang: str, wanted: str) -> list[Utterance]:
    """The utterances of one language in one set, of a corpus that has no sets: the same each time, whole speakers if
    there are many.

    Raises:
        UserError: too few to make three sets of.
    """
    langs = sorted({utt.lang for utt in utts})
    utts = [utt for utt in utts if utt.lang == lang]
    if len(utts) < 3:
        raise UserError(
            f"{len(utts)} utterances of {lang} cannot be shared out among train, dev and test; "
            f"there are utterances of {' '.join(langs) or 'no language'}"
        )
    by_speaker = len({utt.spk_id for utt in utts}) >= MIN_SPEAKERS
    groups: dict[str, list[Utterance]] = {}
    for utt in utts:
        groups.setdefault(utt.spk_id if by_speaker else utt.utt_id, []).append(utt)
    order = sorted(groups, key=lambda name: hashlib.sha256(name.encode()).digest())
    sets: dict[str, list[Utterance]] = {name: [] for name in ("dev", "test", "train")}
    for name in order:
        short = [s for s in ("dev", "test") if len(sets[s]) < max(1, HELD_OUT * len(utts))]
        sets[short[0] if short else "train"] += groups[name]
    if not sets["train"]:
        raise UserError(
            f"{len(utts)} utterances of {len(groups)} speakers of {lang} leave none to train on"
        )
    return sets[wanted]


def read_corpus(corpora: Path, langs: list[str], wanted: str) -> list[Utterance]:
    """The utterances of one set, whichever form the corpus has.

    Raises:
        UserError: the folder has none of the forms, or what its readers find wrong.
    """
    if (corpora / wanted / "wav.scp").is_file():
        return list(read_kaldi(corpora / wanted, langs))
    if (corpora / "wav.scp").is_file():
        utts = list(read_kaldi(corpora, langs))
        others = [utt for utt in utts if utt.lang not in langs]  # to be counted
        return others + [utt for lang in langs for utt in choose(utts, lang, wanted)]
    for name in TRANSCRIPTS:
        if (corpora / name).is_file():
            return choose(list(read_transcripts(corpora / name, langs)), *langs, wanted)
    raise UserError(
        f"--corpora {corpora}: has neither {wanted}/wav.scp nor wav.scp nor {TRANSCRIPTS[0]}; "
        "local/prepare_data.py --help says what it can be"
    )


def main(argv=None):
    args = get_parser().parse_args(argv)
    langs = args.langs.split()
    if not args.corpora or not Path(args.corpora).is_dir():
        raise UserError(f"--corpora should name the folder of the corpus, got '{args.corpora}'")
    found, others = [], Counter()
    for utt in read_corpus(Path(args.corpora), langs, args.set):
        if utt.lang not in langs:
            others[utt.lang] += 1
            continue
        text = normalize(utt.text, utt.lang)  # leave this out to keep case and punctuation
        if not text:
            raise UserError(
                f"{args.corpora}: {utt.utt_id} says nothing ({utt.text!r}); take it out"
            )
        values = (utt.utt_id, utt.spk_id, text, utt.audio, utt.lang, utt.start, utt.end)
        found.append(Utterance(*values))
    if others:
        told = ", ".join(f"{count} of {lang}" for lang, count in sorted(others.items()))
        print(f"{args.corpora}: left out, as --langs does not name their language: {told}")
    count = write_data_dir(args.data_dir, sorted(found, key=lambda utt: utt.utt_id))
    print(f"{args.data_dir}: {count} utterances in {' '.join(sorted({u.lang for u in found}))}")


if __name__ == "__main__":
    cli.run(main)
