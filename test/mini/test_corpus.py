"""The made-up corpora on disk: exact layouts, the same bytes from any number of processes."""

import csv
import hashlib
import importlib.util
import json
import os
from pathlib import Path

import pytest
import soundfile

from speechllm.bin import make_mini_corpus
from speechllm.errors import UserError
from speechllm.mini import corpus, make
from speechllm.mini.grammar import sentences

SIZES = "--train_hours 0.05 --dev_utts 4 --test_utts 7 --speakers 3".split()


def make_corpus(out, langs, *options):
    make_mini_corpus.main(["--out", str(out), "--langs", langs, *SIZES, *options])
    return Path(out)


def digests(folder):
    return {
        path.relative_to(folder): hashlib.md5(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def read_rows(path):
    return [line.split("\t") for line in path.read_text(encoding="utf-8").splitlines()]


@pytest.fixture(scope="module")
def mls(tmp_path_factory):
    return make_corpus(tmp_path_factory.mktemp("mls"), "de fr", "--nj", "2")


@pytest.fixture(scope="module")
def covost(tmp_path_factory):
    return make_corpus(tmp_path_factory.mktemp("covost"), "pl", "--layout", "covost2")


def test_one_process_writes_the_same_bytes(mls, tmp_path):
    again = make_corpus(tmp_path, "de fr", "--nj", "1")
    assert digests(again) == digests(mls)


def test_another_seed_says_something_else(mls, tmp_path):
    other = make_corpus(tmp_path, "de fr", "--seed", "2")
    path = "mls_german/train/transcripts.txt"
    assert (other / path).read_text() != (mls / path).read_text()


@pytest.mark.parametrize("folder", ["mls_german", "mls_french"])
def test_mls_layout(mls, folder):
    root = mls / folder
    names = {"README", "LICENSE", "metainfo.txt", "train", "dev", "test", make.MADE}
    assert {path.name for path in root.iterdir()} == names
    for set_name in ("train", "dev", "test"):
        transcripts = dict(read_rows(root / set_name / "transcripts.txt"))
        segments = {row[0]: row[1:] for row in read_rows(root / set_name / "segments.txt")}
        audio = {path.stem: path for path in (root / set_name / "audio").rglob("*.flac")}
        assert transcripts.keys() == segments.keys() == audio.keys()
        for handle, path in audio.items():
            spk, book, index = handle.split("_")
            assert path.parts[-3:-1] == (spk, book) and len(index) == 6
            assert spk == str(int(spk)) and book == str(int(book))
            source, start, end = segments[handle]
            assert source and " " not in source
            info = soundfile.info(path)
            assert (info.samplerate, info.channels, info.subtype) == (16_000, 1, "PCM_16")
            assert float(end) - float(start) == pytest.approx(info.duration, abs=0.011)
            assert transcripts[handle] == transcripts[handle].lower().strip()


def test_mls_segments_of_a_book_follow_one_another(mls):
    ends = {}
    for handle, source, start, end in read_rows(mls / "mls_german" / "train" / "segments.txt"):
        book = tuple(handle.split("_")[:2])
        assert float(start) == ends.get((book, source), 0.0)
        ends[book, source] = float(end)
    assert len(ends) == 6  # two books for each of three speakers


def test_mls_sets_have_the_size_asked_for(mls):
    root = mls / "mls_german"
    assert len(read_rows(root / "dev" / "transcripts.txt")) == 4
    assert len(read_rows(root / "test" / "transcripts.txt")) == 7
    rows = read_rows(root / "train" / "segments.txt")
    seconds = sum(float(end) - float(start) for _, _, start, end in rows)
    assert 90 <= seconds < 90 + 3 * 6  # each speaker stops after the utterance that fills its share


def test_mls_sets_share_no_speaker_and_no_text(mls):
    speakers, texts = [], []
    for set_name in ("train", "dev", "test"):
        rows = read_rows(mls / "mls_french" / set_name / "transcripts.txt")
        speakers.append({handle.split("_")[0] for handle, _ in rows})
        texts += [text for _, text in rows]
    assert not (speakers[0] & speakers[1] or speakers[0] & speakers[2] or speakers[1] & speakers[2])
    assert len(texts) == len(set(texts))


def test_mls_texts_belong_to_their_split(mls):
    train = [text for _, text in read_rows(mls / "mls_german" / "train" / "transcripts.txt")]
    assert set(train) <= {s.text for s in sentences("de", 400, seed=1, split="train")}
    test = {text for _, text in read_rows(mls / "mls_german" / "test" / "transcripts.txt")}
    assert test == {s.text for s in sentences("de", 7, seed=1, split="test")}


def test_mls_metainfo(mls):
    lines = (mls / "mls_german" / "metainfo.txt").read_text().splitlines()
    header = "SPEAKER GENDER PARTITION MINUTES BOOK_ID TITLE CHAPTER".split()
    assert [field.strip().replace(" ", "_") for field in lines[0].split("|")] == header
    fields = [[field.strip() for field in line.split("|", 6)] for line in lines[1:]]
    minutes = {"train": 0.0, "dev": 0.0, "test": 0.0}
    for spk, gender, partition, length, book, title, _ in fields:
        assert gender in "FM" and title
        assert (mls / "mls_german" / partition / "audio" / spk / book).is_dir()
        minutes[partition] += float(length)
    rows = read_rows(mls / "mls_german" / "train" / "segments.txt")
    seconds = sum(float(end) - float(start) for _, _, start, end in rows)
    assert 60 * minutes["train"] == pytest.approx(seconds, abs=1)


def test_mls_limited_supervision_is_disjoint_and_in_train(mls):
    folder = mls / "mls_german" / "train" / "limited_supervision"
    train = {row[0] for row in read_rows(mls / "mls_german" / "train" / "transcripts.txt")}
    paths = [folder / "1hr" / str(part) / "handles.txt" for part in range(6)]
    lists = [path.read_text().splitlines() for path in (*paths, folder / "9hr" / "handles.txt")]
    handles = [handle for names in lists for handle in names]
    assert all(lists) and len(handles) == len(set(handles)) and set(handles) <= train
    assert len(lists[-1]) > max(len(names) for names in lists[:-1])


def test_covost_layout(covost):
    root = covost / "pl"
    with (root / "validated.tsv").open(encoding="utf-8", newline="") as file:
        clips = {
            row["path"]: row for row in csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE)
        }
    translations = {row[0]: row[1:] for row in read_rows(root / "covost_v2.pl_en.tsv")}
    assert translations.pop("path") == ["translation", "split"]
    audio = {path.name for path in (root / "clips").iterdir()}
    assert clips.keys() == translations.keys() == audio
    for name, row in clips.items():
        assert name.startswith("common_voice_pl_") and name.endswith(".mp3")
        for text in (row["sentence"], translations[name][0]):
            assert text[0].isupper() and text.endswith(".")
    info = soundfile.info(root / "clips" / min(audio))
    assert info.format == "MP3" and info.samplerate == 32_000
    splits = [split for _, split in translations.values()]
    assert splits.count("dev") == 4 and splits.count("test") == 7
    assert 0 < splits.count("train_covost") < splits.count("train")
    speakers = {}
    for name, row in clips.items():
        speakers.setdefault(translations[name][1].split("_")[0], set()).add(row["client_id"])
    assert not speakers["train"] & speakers["test"]


def test_finished_corpus_is_kept(mls, capsys):
    path = mls / "mls_german" / "dev" / "transcripts.txt"
    before = path.stat().st_mtime_ns
    make_corpus(mls, "de fr")
    assert path.stat().st_mtime_ns == before
    assert "mls_german is already made" in capsys.readouterr().out


def test_interrupted_corpus_is_made_again(tmp_path, monkeypatch):
    def interrupt(readings, write, nj, progress):
        write(readings[0], iter(()))
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(make, "record", interrupt)
        with pytest.raises(KeyboardInterrupt):
            make_corpus(tmp_path, "en")
    assert [path.name for path in tmp_path.iterdir()] == ["mls_english.partial"]
    (tmp_path / "mls_english.partial" / "left over").write_text("")
    make_corpus(tmp_path, "en")
    assert [path.name for path in tmp_path.iterdir()] == ["mls_english"]
    assert not (tmp_path / "mls_english" / "left over").exists()


def test_other_settings_replace_the_corpus(tmp_path):
    make_corpus(tmp_path, "en")
    made = json.loads((tmp_path / "mls_english" / make.MADE).read_text())
    make_corpus(tmp_path, "en", "--dev_utts", "5")
    again = json.loads((tmp_path / "mls_english" / make.MADE).read_text())
    assert made["dev_utts"] == 4 and again["dev_utts"] == 5
    assert len(read_rows(tmp_path / "mls_english" / "dev" / "transcripts.txt")) == 5


def test_foreign_folder_is_not_touched(tmp_path):
    (tmp_path / "mls_english").mkdir()
    (tmp_path / "mls_english" / "transcripts.txt").write_text("mine")
    with pytest.raises(UserError, match="mls_english was not made by this command"):
        make_corpus(tmp_path, "en")
    assert (tmp_path / "mls_english" / "transcripts.txt").read_text() == "mine"


@pytest.mark.parametrize(
    "langs, options, message",
    [
        ("tlh", [], "mls has no language 'tlh'; choose from en de"),
        ("en", ["--layout", "covost2"], "covost2 has no language 'en'"),
        ("", [], "--langs is empty"),
        ("en", ["--train_hours", "0"], "--train_hours is 0.0; it should be above 0"),
        ("en", ["--nj", "0"], "--nj is 0"),
        ("en", ["--dev_utts", "-1"], "--dev_utts is -1; it should be above 0"),
    ],
)
def test_wrong_options_are_named(tmp_path, langs, options, message):
    with pytest.raises(UserError, match=message):
        make_corpus(tmp_path, langs, *options)


class Deadly:
    """Ends the process that unpickles it."""

    def __reduce__(self):
        return os._exit, (9,)


def test_the_module_that_the_server_of_speakers_imports_is_there():
    """An import that fails there is passed over in silence: every speaker would then import it anew."""
    assert importlib.util.find_spec(corpus.PRELOADED)


def test_process_that_dies_is_reported(monkeypatch):
    monkeypatch.setattr(corpus, "PATIENCE", 1)
    readings = corpus.plan("en", corpus.Size(5, 1, 1, 1, 1))
    with pytest.raises(UserError, match="process has died"):
        corpus.record(readings, Deadly(), 1)
