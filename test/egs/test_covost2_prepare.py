"""Common Voice 4 and CoVoST 2 to data directories: layouts, the official join, what is wrong with a corpus."""

import importlib.util
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from audio_files import noise, write_audio
from scipy.signal import resample_poly

from speechllm.bin import extract_fbank
from speechllm.data.audio import read_audio
from speechllm.data.data_dir import read_data_dir
from speechllm.data.tables import read_table
from speechllm.data.validate import validate_data_dir
from speechllm.errors import UserError

SCRIPT = Path(__file__).resolve().parents[2] / "egs" / "covost2" / "local" / "prepare_data.py"
OLD = "client_id path sentence up_votes down_votes age gender accent".split()
NEW = "client_id path sentence_id sentence sentence_domain up_votes accents locale segment".split()
CLIPS = {  # clip: speaker, sentence, translation, split
    "a1.mp3": ("anna", "Guten  Morgen!", "Good morning!", "train"),
    "a2.mp3": ("anna", 'Er sagte: "Nein".', 'He said: "No".', "train_covost"),
    "b1.mp3": ("bert", "NA", "NA", "dev"),
    "b2.mp3": ("bert", 'Ja, "gut', 'Yes, "good', "test"),
    "b3.mp3": ("bert", "Drei", "Three", "dev_covost"),
    "c1.mp3": ("cleo", "Vier", "Four", "test_covost"),
}


def make_corpus(
    root: Path, clips=CLIPS, lang="de", target="en", columns=OLD, table_dir=None, audio=True
):
    """One language of Common Voice with its translations, the rows of both tables in different orders."""
    root.mkdir(parents=True)
    validated, translations = ["\t".join(columns)], ["path\ttranslation\tsplit"]
    for i, (clip, (speaker, sentence, translation, split)) in enumerate(clips.items()):
        values = {"client_id": speaker, "path": clip, "sentence": sentence, "up_votes": "2"}
        validated.append("\t".join(values.get(name, "") for name in columns))
        translations.insert(1, f"{clip}\t{translation}\t{split}")
        if audio:
            write_audio(root / "clips" / clip, noise(0.2, seed=i), 32_000, format="MP3")
        else:
            (root / "clips").mkdir(exist_ok=True)
            (root / "clips" / clip).touch()
    validated.append("\t".join({"path": "untranslated.mp3"}.get(name, "x") for name in columns))
    (root / "validated.tsv").write_text("\n".join(validated) + "\n", encoding="utf-8")
    table = (table_dir or root) / f"covost_v2.{lang}_{target}.tsv"
    table.parent.mkdir(exist_ok=True)
    table.write_text("\n".join(translations) + "\n", encoding="utf-8")
    return root


@pytest.fixture(scope="module")
def prepare():
    spec = importlib.util.spec_from_file_location("prepare_covost2", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)

    def run(corpora, data_dir, *args, langs="de", set_name="train"):
        flags = ["--corpora", str(corpora), "--langs", langs, "--set", set_name, *args]
        module.main([*flags, str(data_dir)])
        return read_data_dir(data_dir)

    run.module = module
    return run


def many(count: int, split="train") -> dict:
    return {
        f"{i:03}.mp3": (f"spk{i % 3}", f"Satz {i}", f"Sentence {i}", split) for i in range(count)
    }


@pytest.mark.parametrize(
    ("folder", "columns"), [("de", OLD), ("cv-corpus-4-2019-12-10/de", NEW)], ids=["flat", "nested"]
)
@pytest.mark.parametrize("table_dir", [None, ".", "covost2"])
def test_both_layouts_are_joined_by_the_official_rule(
    tmp_path, prepare, folder, columns, table_dir
):
    place = None if table_dir is None else tmp_path / table_dir
    make_corpus(tmp_path / folder, columns=columns, table_dir=place, audio=False)
    found = {}
    for set_name in ("train", "dev", "test"):
        utts = prepare(tmp_path, tmp_path / "data", set_name=set_name)
        assert validate_data_dir(tmp_path / "data") == {"de": len(utts)}
        for utt in utts:
            clip = Path(utt.audio)
            assert clip.is_file() and clip.parent == tmp_path / folder / "clips"
            assert utt.utt_id == f"{utt.spk_id}_{clip.stem}" and utt.prompt == "English"
            found[clip.name] = (set_name, utt.text, utt.text_src)
    assert found == {  # train is train + train_covost; dev and test are exact
        "a1.mp3": ("train", "Good morning!", "guten morgen"),
        "a2.mp3": ("train", 'He said: "No".', "er sagte nein"),
        "b1.mp3": ("dev", "NA", "na"),
        "b2.mp3": ("test", 'Yes, "good', "ja gut"),
    }


def test_transcripts_can_stay_as_they_are_written(tmp_path, prepare):
    make_corpus(tmp_path / "de", audio=False)
    utts = prepare(tmp_path, tmp_path / "data", "--transcripts", "written")
    assert {utt.text_src for utt in utts} == {"Guten Morgen!", 'Er sagte: "Nein".'}


def test_escaped_characters_are_read_as_the_official_script_does(tmp_path, prepare):
    clips = {"a.mp3": ("anna", "Ein\\\tTab", 'A\\\\B and a \\"quote\\"', "train")}
    make_corpus(tmp_path / "de", clips, audio=False)
    (utt,) = prepare(tmp_path, tmp_path / "data", "--transcripts", "written")
    assert (utt.text, utt.text_src) == ('A\\B and a "quote"', "Ein Tab")


def test_english_is_put_into_other_languages(tmp_path, prepare):
    clips = {"x.mp3": ("anna", "Good morning!", "Guten Morgen!", "test")}
    make_corpus(tmp_path / "en", clips, "en", "de", audio=False)
    (utt,) = prepare(tmp_path, tmp_path / "data", "--target", "de", langs="en", set_name="test")
    assert (utt.lang, utt.text, utt.text_src, utt.prompt) == (
        "en",
        "Guten Morgen!",
        "good morning",
        "German",
    )


def test_blank_lines_are_skipped_as_the_official_script_does(tmp_path, prepare):
    root = make_corpus(tmp_path / "de", audio=False)
    whole = prepare(tmp_path, tmp_path / "data")
    for name in ("validated.tsv", "covost_v2.de_en.tsv"):
        lines = (root / name).read_text().split("\n")
        (root / name).write_text("\n".join(["", *lines[:3], "", " ", *lines[3:], "", ""]))
    assert prepare(tmp_path, tmp_path / "data") == whole and len(whole) == 2


def test_a_byte_order_mark_is_no_part_of_the_first_column(tmp_path, prepare):
    root = make_corpus(tmp_path / "de", audio=False)
    whole = prepare(tmp_path, tmp_path / "data")
    for name in ("validated.tsv", "covost_v2.de_en.tsv"):
        (root / name).write_text((root / name).read_text(), encoding="utf-8-sig")
        assert (root / name).read_bytes().startswith(b"\xef\xbb\xbf")
    assert prepare(tmp_path, tmp_path / "data") == whole and len(whole) == 2


def test_clips_of_48_khz_become_16_khz(tmp_path, prepare):
    """Against scipy's resampling of what was encoded; a tone above 8 kHz must not come back as a lower one."""
    at = np.arange(48_000) / 48_000
    low = 0.2 * np.sin(2 * np.pi * 440 * at) + 0.1 * np.sin(2 * np.pi * 3000 * at)
    samples = low + 0.2 * np.sin(2 * np.pi * 11_000 * at)  # which would be one of 5 kHz
    root = make_corpus(tmp_path / "de", many(1), audio=False)
    write_audio(root / "clips" / "000.mp3", samples, 48_000, format="MP3")
    (utt,) = prepare(tmp_path, tmp_path / "data")
    heard = read_audio(utt.audio)
    expected = resample_poly(samples, 1, 3)
    assert abs(len(heard) - len(expected)) <= 1
    middle = slice(1600, 14_400)
    np.testing.assert_allclose(heard[middle], expected[middle], atol=0.04)
    np.testing.assert_allclose(heard[middle], low[::3][middle], atol=0.04)  # an mp3 loses some
    extract_fbank.main(["--data_dir", str(tmp_path / "data")])
    assert read_table(tmp_path / "data" / "utt2num_frames") == {utt.utt_id: "98"}


def test_speakers_sort_as_their_utterances_do(tmp_path, prepare):
    names = ["a", "ab", "abc" * 40, "zz", "b", "ba"]
    clips = {f"{i}.mp3": (name, "Satz", "Sentence", "train") for i, name in enumerate(names)}
    make_corpus(tmp_path / "de", clips, audio=False)
    make_corpus(tmp_path / "sv-SE", clips, "sv-SE", audio=False)
    assert len(prepare(tmp_path, tmp_path / "data", langs="sv-SE de")) == 12
    assert validate_data_dir(tmp_path / "data") == {"de": 6, "sv-SE": 6}


def test_other_counts_than_the_published_ones_are_a_warning(tmp_path, prepare, capsys):
    make_corpus(tmp_path / "de", audio=False)
    prepare(tmp_path, tmp_path / "data", set_name="dev")
    warning = "warning: de to en, dev: 1 utterances, CoVoST 2 has 13511"
    assert warning in capsys.readouterr().out
    (tmp_path / "de" / "made.json").write_text("{}")  # made-up corpora have sizes of their own
    prepare(tmp_path, tmp_path / "data", set_name="dev")
    assert "warning" not in capsys.readouterr().out


def test_clips_that_are_known_to_be_bad_count_as_published(tmp_path, prepare, capsys, monkeypatch):
    clips = many(60) | {"common_voice_fr_19528232.mp3": ("spk1", "Phrase", "Sentence", "train")}
    make_corpus(tmp_path / "fr", clips, "fr", audio=False)
    monkeypatch.setitem(prepare.module.COUNTS, "fr", (61, 0, 0))
    assert len(prepare(tmp_path, tmp_path / "data", langs="fr")) == 60
    out = capsys.readouterr().out
    assert "1 of 61 clips of train are known to be bad" in out and "warning" not in out


def test_a_few_bad_training_clips_are_left_out_and_counted(tmp_path, prepare, capsys):
    clips = many(60)
    clips["000.mp3"] = ("spk0", "Satz", "", "train")
    clips["common_voice_fr_19528232.mp3"] = ("spk1", "Phrase", "Sentence", "train")
    root = make_corpus(tmp_path / "fr", clips, "fr", audio=False)
    (root / "clips" / "007.mp3").unlink()
    utts = prepare(tmp_path, tmp_path / "data", langs="fr")
    assert len(utts) == 61 - 3
    out = capsys.readouterr().out
    for text in (
        "1 of 61 clips of train have no translation, first: 000.mp3",
        "1 of 61 clips of train are known to be bad, first: common_voice_fr_19528232.mp3",
        f"1 of 61 clips of train are not in {root}/clips, first: 007.mp3",
    ):
        assert text in out


@pytest.mark.parametrize("each", [2, 4])
def test_the_reasons_to_leave_out_a_clip_share_one_limit(tmp_path, prepare, capsys, each):
    """Of 100 clips 5 may be left out: not 4 without translation and 4 without audio."""
    clips = many(100)
    silent, empty = list(clips)[:each], list(clips)[-each:]
    clips |= {clip: (*clips[clip][:2], "", "train") for clip in empty}
    root = make_corpus(tmp_path / "de", clips, audio=False)
    for clip in silent:
        (root / "clips" / clip).unlink()
    missing = f"{each} of 100 clips of train are not in {root}/clips, first: {silent[0]}"
    untranslated = f"{each} of 100 clips of train have no translation, first: {empty[0]}"
    if each == 2:
        assert len(prepare(tmp_path, tmp_path / "data")) == 96
        out = capsys.readouterr().out
        assert missing in out and untranslated in out
        return
    with pytest.raises(UserError, match="5% in all may be left out") as error:
        prepare(tmp_path, tmp_path / "data")
    assert missing in str(error.value) and untranslated in str(error.value)
    assert "\n" not in str(error.value) and not (tmp_path / "data" / "text").exists()


@pytest.mark.parametrize("set_name", ["train", "test"])
@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("clip", "clips of {set} are not in .*/clips, first: 003.mp3"),
        ("sentence", "clips of {set} are not in .*validated.tsv, first: 003.mp3"),
        ("translation", "clips of {set} have no translation, first: 003.mp3"),
    ],
)
def test_nothing_is_dropped_from_a_test_set(tmp_path, prepare, set_name, change, message):
    """Of the test set nothing may be missing, of the training set not much."""
    clips = many(10 if set_name == "train" else 60, set_name)
    if change == "translation":
        clips["003.mp3"] = (*clips["003.mp3"][:2], " ", set_name)
    root = make_corpus(tmp_path / "de", clips, audio=False)
    if change == "clip":
        (root / "clips" / "003.mp3").unlink()
    if change == "sentence":
        text = (root / "validated.tsv").read_text()
        (root / "validated.tsv").write_text(text.replace("\t003.mp3\t", "\telse.mp3\t"))
    expected = f"1 of {len(clips)} {message.format(set=set_name)}"
    with pytest.raises(UserError, match=expected) as error:
        prepare(tmp_path, tmp_path / "data", set_name=set_name)
    assert "\n" not in str(error.value)
    assert not (tmp_path / "data" / "text").exists()


def test_an_unreadable_clip_of_a_test_set_stops_the_extraction_by_name(tmp_path, prepare):
    clips = many(3, "test")
    root = make_corpus(tmp_path / "de", clips)
    (root / "clips" / "001.mp3").write_bytes(b"no audio at all")
    prepare(tmp_path, tmp_path / "test", set_name="test")
    with pytest.raises(UserError, match="001") as error:
        extract_fbank.main(["--data_dir", str(tmp_path / "test")])
    assert "\n" not in str(error.value)
    write_audio(root / "clips" / "001.mp3", noise(0.2), 32_000, format="MP3")
    extract_fbank.main(["--data_dir", str(tmp_path / "test")])
    assert len((tmp_path / "test" / "feats.scp").read_text().splitlines()) == 3


def damaged(root: Path, what: str):
    table, validated = root / "covost_v2.de_en.tsv", root / "validated.tsv"
    if what == "column":
        validated.write_text(validated.read_text().replace("sentence", "words"))
    if what == "short line":
        table.write_text(table.read_text() + "z.mp3\n")
    if what == "twice":
        table.write_text(table.read_text() + "a1.mp3\tAgain\ttrain\n")
    if what == "two sets":
        table.write_text(table.read_text() + "b2.mp3\tAgain\ttrain_covost\n")
    if what == "split":
        table.write_text(table.read_text().replace("\ttest\n", "\tTest\n"))
    if what == "long value":
        table.write_text(table.read_text() + f"z.mp3\t{'x' * 131_073}\ttrain\n")
    if what == "line break":
        table.write_text(table.read_text().replace("\tdev\n", "\tdev\\\n"))
    if what == "line break of Windows":
        lines = validated.read_text().splitlines()
        validated.write_bytes("\r\n".join([*lines[:3], lines[3] + "\\", *lines[4:]]).encode())
    if what == "bytes":
        validated.write_bytes(validated.read_bytes() + b"\xff\xfe\n")
    if what == "empty":
        table.write_text("\n")
    if what == "two versions":
        shutil.copytree(root, root.parent / "cv-corpus-5" / "de")


@pytest.mark.parametrize(
    ("what", "message"),
    [
        ("column", "validated.tsv:1: no column 'sentence', only client_id, path, words"),
        ("short line", "covost_v2.de_en.tsv:8: 1 columns instead of 3"),
        ("twice", "covost_v2.de_en.tsv:8: a1.mp3 stands there twice"),
        ("two sets", "covost_v2.de_en.tsv:8: b2.mp3 stands there in test and in train; keep one"),
        ("split", "covost_v2.de_en.tsv:4: no split 'Test'; write 'test'"),
        ("long value", "covost_v2.de_en.tsv:8: field larger than .*131072.*; download the file"),
        ("line break", "covost_v2.de_en.tsv:5: a backslash at the end of the line makes it go on"),
        ("line break of Windows", "validated.tsv:4: a backslash at the end of the line makes it"),
        ("bytes", "validated.tsv: after line .*: not UTF-8"),
        ("empty", "covost_v2.de_en.tsv: the file is empty; download it again"),
        ("two versions", "de is there 2 times"),
    ],
)
@pytest.mark.parametrize("set_name", ["train", "test"])
def test_wrong_tables_are_one_clear_line(tmp_path, prepare, what, message, set_name):
    damaged(make_corpus(tmp_path / "de", audio=False), what)
    with pytest.raises(UserError, match=message) as error:
        prepare(tmp_path, tmp_path / "data", set_name=set_name)
    assert "\n" not in str(error.value)


def test_rows_of_unknown_splits_are_told(tmp_path, prepare, capsys):
    clips = CLIPS | {"d1.mp3": ("dora", "Neun", "Nine", "validated")}
    make_corpus(tmp_path / "de", clips, audio=False)
    assert len(prepare(tmp_path, tmp_path / "data")) == 2
    assert (
        "covost_v2.de_en.tsv: 1 rows of split 'validated' are in no set" in capsys.readouterr().out
    )


@pytest.mark.parametrize(
    ("langs", "target", "message"),
    [
        ("de", "fr", "--langs de --target fr: CoVoST 2 has no such direction"),
        ("xx", "en", "neither xx/validated.tsv nor cv-corpus-"),
        ("fr", "en", "covost_v2.fr_en.tsv is in none of .*; unpack CoVoST 2 there"),
        ("", "en", "--langs should name at least one language"),
    ],
)
def test_unknown_directions_are_named(tmp_path, prepare, langs, target, message):
    make_corpus(tmp_path / "de", audio=False)
    make_corpus(tmp_path / "fr", lang="other", audio=False)
    with pytest.raises(UserError, match=message) as error:
        prepare(tmp_path, tmp_path / "data", "--target", target, langs=langs)
    assert "\n" not in str(error.value)


def test_the_paper_preset_puts_thirteen_languages_into_english(prepare):
    defaults = SCRIPT.parents[1] / "conf/paper/defaults.sh"
    command = ["bash", "-c", 'unset langs; . "$1"; echo "${langs}"', "bash", str(defaults)]
    langs = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()
    assert len(langs) == len(set(langs)) == 13
    assert set(langs) <= set(prepare.module.INTO_ENGLISH) & prepare.module.COUNTS.keys()


def test_a_missing_corpus_is_named(tmp_path, prepare):
    with pytest.raises(
        UserError, match="--corpora should name an existing folder .*, got '.*nowhere'"
    ):
        prepare(tmp_path / "nowhere", tmp_path / "data")
