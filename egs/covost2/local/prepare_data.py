"""Write a data directory from CoVoST 2 (arXiv:2007.10310) over Common Voice 4.

python local/prepare_data.py --corpora /data/cv4 --langs "de fr" --target en --set train data/train

Reads <lang>/validated.tsv and <lang>/clips, in CORPORA or in CORPORA/cv-corpus-*, and covost_v2.<lang>_<target>.tsv,
which may lie in the language's folder, in CORPORA or in CORPORA/covost2. The text is the translation, text.src the
transcript, the language that of the speech, and utt2prompt names the language to translate to.
"""

import csv
import hashlib
import os
import unicodedata
from collections import Counter
from pathlib import Path

from speechllm.bin import cli
from speechllm.data.data_dir import Utterance, write_data_dir
from speechllm.errors import UserError

INTO_ENGLISH = "fr de es ca it ru zh-CN pt fa et mn nl tr ar sv-SE lv sl ta ja id cy".split()
FROM_ENGLISH = "de tr fa sv-SE mn zh-CN cy ca sl et id ar ta lv ja".split()
SPLITS = {"train": ("train", "train_covost"), "dev": ("dev",), "test": ("test",)}
UNUSED_SPLITS = ("dev_covost", "test_covost")
BAD_CLIPS = {  # cannot be decoded, or only in part
    "common_voice_fr_19528232.mp3",
    "common_voice_fr_19528233.mp3",
    "common_voice_en_19817845.mp3",
    "common_voice_en_19504777.mp3",
}
BAD = "are known to be bad"
MAX_LEFT_OUT = 0.05  # share of the training clips that may be left out, for whatever reasons
MADE = "made.json"  # is in the folders of made-up corpora, which have sizes of their own
# Published utterances of train, dev and test.
COUNTS = {
    "fr": (207_374, 14_760, 14_760),
    "de": (127_834, 13_511, 13_511),
    "es": (79_015, 13_221, 13_221),
    "ca": (95_854, 12_730, 12_730),
    "it": (31_698, 8_940, 8_951),
    "ru": (12_112, 6_110, 6_300),
    "zh-CN": (7_085, 4_843, 4_898),
    "pt": (9_158, 3_318, 4_023),
    "fa": (53_949, 3_445, 3_445),
    "et": (1_782, 1_576, 1_571),
    "mn": (2_067, 1_761, 1_759),
    "nl": (7_108, 1_699, 1_699),
    "tr": (3_966, 1_624, 1_629),
    "ar": (2_283, 1_758, 1_695),
    "sv-SE": (2_160, 1_349, 1_595),
    "lv": (2_337, 1_125, 1_629),
    "sl": (1_843, 509, 360),
    "ta": (1_358, 384, 786),
    "ja": (1_119, 635, 684),
    "id": (1_243, 792, 844),
    "cy": (1_241, 690, 690),
    "en": (289_430, 15_531, 15_531),
}


def get_parser():
    corpora, langs = "folder of Common Voice 4 and CoVoST 2", " ".join(INTO_ENGLISH)
    parser = cli.preparation_parser(__doc__, corpora, langs)
    parser.add_argument(
        "--target", default="en", help="language to translate to (default: %(default)s)"
    )
    parser.add_argument(
        "--transcripts",
        default="spoken",
        choices=("spoken", "written"),
        help="form of text.src: lower case without punctuation, or as it is (default: %(default)s)",
    )
    return parser


def lang_dir(corpora: Path, lang: str) -> Path:
    """The folder of a language in Common Voice, flat or nested."""
    if not corpora.is_dir():
        raise UserError(
            f"--corpora should name an existing folder that holds <lang>/validated.tsv, got '{corpora}'"
        )
    folders = [corpora / lang, *sorted(corpora.glob(f"cv-corpus-*/{lang}"))]
    found = [folder for folder in folders if (folder / "validated.tsv").is_file()]
    if not found:
        raise UserError(
            f"{corpora}: neither {lang}/validated.tsv nor cv-corpus-*/{lang}/validated.tsv is in it; "
            "unpack Common Voice 4 there, or change --langs"
        )
    if len(found) > 1:
        raise UserError(
            f"{corpora}: {lang} is there {len(found)} times, in {found[0]} and {found[1]}; "
            "name the folder of Common Voice 4 itself"
        )
    return found[0]


def translations_path(corpora: Path, folder: Path, lang: str, target: str) -> Path:
    """The table of CoVoST 2 for a direction."""
    name = f"covost_v2.{lang}_{target}.tsv"
    places = [folder, corpora, corpora / "covost2"]
    for place in places:
        if (place / name).is_file():
            return place / name
    known = {"en": FROM_ENGLISH}.get(lang, ["en"] if lang in INTO_ENGLISH else [])
    if target in known:
        looked = ", ".join(str(place) for place in places)
        raise UserError(f"{name} is in none of {looked}; unpack CoVoST 2 there")
    raise UserError(
        f"--langs {lang} --target {target}: CoVoST 2 has no such direction (and there is no {folder / name}); "
        f"it has {' '.join(INTO_ENGLISH)} to en, and en to {' '.join(FROM_ENGLISH)}"
    )


def lines_of(reader, path: Path):
    """Yield (line number, values) of what is not blank.

    Raises:
        UserError: a backslash that escapes the end of a line.
    """
    number = 1
    for row in reader:
        if any("\n" in value or "\r" in value for value in row):
            raise UserError(
                f"{path}:{number}: a backslash at the end of the line makes it go on in the next; remove it, "
                "or write two for one that is meant"
            )
        if len(row) > 1 or "".join(row).strip():
            yield number, row
        number = reader.line_num + 1


def read_tsv(path: Path, columns: tuple[str, ...]):
    """Yield (line number, values of the columns), the way CoVoST 2's own script reads: no quotes, backslash escapes."""
    with open(path, encoding="utf-8-sig", newline="") as file:  # some editors begin with a mark
        reader = csv.reader(file, delimiter="\t", quoting=csv.QUOTE_NONE, escapechar="\\")
        try:
            rows = lines_of(reader, path)
            _, header = next(rows, (0, []))
            if not header:
                raise UserError(f"{path}: the file is empty; download it again")
            if missing := [name for name in columns if name not in header]:
                raise UserError(
                    f"{path}:1: no column {missing[0]!r}, only {', '.join(header)}; is it the right file?"
                )
            places = [header.index(name) for name in columns]
            for number, row in rows:
                if len(row) <= max(places):
                    raise UserError(
                        f"{path}:{number}: {len(row)} columns instead of {len(header)}; "
                        "download the file again"
                    )
                yield number, [row[place] for place in places]
        except UnicodeDecodeError as error:
            raise UserError(
                f"{path}: after line {reader.line_num}: not UTF-8 ({error.reason})"
            ) from error
        except csv.Error as error:  # a value of more than 131,072 characters, say
            raise UserError(
                f"{path}:{reader.line_num}: {error}; download the file again"
            ) from error


def tidy(text: str) -> str:
    """NFC, with single spaces."""
    return " ".join(unicodedata.normalize("NFC", text).split())


class Direction:
    """One language to another: where its files lie, and what was found.

    Args:
        set_name: train, dev or test.
        spoken: whether transcripts lose case and punctuation.
    """

    def __init__(self, corpora: Path, lang: str, target: str, set_name: str, spoken: bool):
        self.lang, self.target, self.set_name, self.spoken = lang, target, set_name, spoken
        self.folder = lang_dir(corpora, lang)
        self.table = translations_path(corpora, self.folder, lang, target)
        self.left_out = {}  # why: clips
        self.num_clips = 0

    def leave_out(self, why: str, clip: str):
        self.left_out.setdefault(why, []).append(clip)

    def utterances(self) -> list[Utterance]:
        """The utterances of the set, sorted by id.

        Raises:
            UserError: a file has another form, or see ``translations`` and ``check``.
        """
        from speechllm.data.prompts import LANGUAGES
        from speechllm.score.normalize import normalize

        wanted = self.translations()
        self.num_clips = len(wanted)
        clips = self.folder / "clips"
        there = set(os.listdir(clips)) if clips.is_dir() else set()
        found = []
        for _, (clip, sentence, client) in read_tsv(
            self.folder / "validated.tsv", ("path", "sentence", "client_id")
        ):
            translation = wanted.pop(clip, None)
            if translation is None:
                continue
            if clip in BAD_CLIPS and self.set_name == "train":
                self.leave_out(BAD, clip)
            elif not translation:
                self.leave_out("have no translation", clip)
            elif clip not in there:
                self.leave_out(f"are not in {clips}", clip)
            else:
                speaker = f"{self.lang}_{hashlib.sha1(client.encode()).hexdigest()[:12]}"
                transcript = normalize(sentence, self.lang) if self.spoken else tidy(sentence)
                found.append(
                    Utterance(
                        utt_id="_".join([speaker, *os.path.splitext(clip)[0].split()]),
                        spk_id=speaker,
                        text=translation,
                        audio=str(clips / clip),
                        lang=self.lang,
                        text_src=transcript,
                        prompt=LANGUAGES.get(self.target, self.target),
                    )
                )
        for clip in wanted:
            self.leave_out(f"are not in {self.folder}/validated.tsv", clip)
        self.check(found)
        return sorted(found, key=lambda utt: utt.utt_id)

    def translations(self) -> dict[str, str]:
        """The translations of the set, by clip.

        Raises:
            UserError: a clip stands in the table twice, also if in different sets, or a split is written otherwise.
        """
        set_of = {split: name for name, splits in SPLITS.items() for split in splits}
        sets, wanted, unknown = {}, {}, Counter()
        for number, (clip, translation, split) in read_tsv(
            self.table, ("path", "translation", "split")
        ):
            if split in UNUSED_SPLITS:
                continue
            if split not in set_of:
                if (meant := split.strip().lower()) in set_of:
                    raise UserError(f"{self.table}:{number}: no split {split!r}; write {meant!r}")
                unknown[split] += 1
                continue
            name = set_of[split]
            if clip in sets:
                twice = "twice" if sets[clip] == name else f"in {sets[clip]} and in {name}"
                raise UserError(f"{self.table}:{number}: {clip} stands there {twice}; keep one")
            sets[clip] = name
            if name == self.set_name:
                wanted[clip] = tidy(translation)
        for split, count in unknown.items():
            known = ", ".join([*set_of, *UNUSED_SPLITS])
            print(f"warning: {self.table}: {count} rows of split {split!r} are in no set ({known})")
        return wanted

    def check(self, found: list[Utterance]):
        """Print the counts, and a warning where they are not the published ones.

        Raises:
            UserError: of dev or test a clip is left out, of train too many are, all reasons together.
        """
        name = f"{self.lang} to {self.target}, {self.set_name}"
        reasons = [
            f"{len(clips)} of {self.num_clips} clips of {self.set_name} {why}, first: {clips[0]}"
            for why, clips in self.left_out.items()
        ]
        share, allowed = 0, "none may be left out"
        if self.set_name == "train":
            share, allowed = MAX_LEFT_OUT, f"at most {MAX_LEFT_OUT:.0%} in all may be left out"
        if sum(len(clips) for clips in self.left_out.values()) > share * self.num_clips:
            raise UserError(
                f"{self.table}: {'; '.join(reasons)}; {allowed}, is this Common Voice 4, whole?"
            )
        speakers = len({utt.spk_id for utt in found})
        print(f"{name}: {len(found)} utterances, {speakers} speakers")
        for reason in reasons:
            print(f"{self.table}: {reason}")
        official = (self.lang in INTO_ENGLISH and self.target == "en") or (
            self.lang == "en" and self.target in FROM_ENGLISH
        )
        if official and not (self.folder / MADE).is_file():
            published = COUNTS[self.lang][list(SPLITS).index(self.set_name)]
            count = len(found) + len(self.left_out.get(BAD, []))  # CoVoST 2 counts them
            if count != published:
                print(f"warning: {name}: {count} utterances, CoVoST 2 has {published}")


def main(argv=None):
    args = get_parser().parse_args(argv)
    if not args.corpora:
        raise UserError("--corpora should name the folder of Common Voice 4 and CoVoST 2, got ''")
    langs = sorted(set(args.langs.split()))
    if not langs:
        raise UserError("--langs should name at least one language")
    corpora = Path(os.path.abspath(args.corpora))
    spoken = args.transcripts == "spoken"
    directions = [Direction(corpora, lang, args.target, args.set, spoken) for lang in langs]
    # Ids begin with the language, so the languages follow one another.
    utterances = (utt for direction in directions for utt in direction.utterances())
    count = write_data_dir(args.data_dir, utterances)
    print(f"{args.data_dir}: {count} utterances in {' '.join(langs)}, to be put into {args.target}")


if __name__ == "__main__":
    cli.run(main)
