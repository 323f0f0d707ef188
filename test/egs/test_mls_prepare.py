import importlib.util
from pathlib import Path

import pytest
from audio_files import make_mls, noise, write_audio

from speechllm.data.data_dir import read_data_dir
from speechllm.data.validate import validate_data_dir
from speechllm.errors import UserError

SCRIPT = Path(__file__).resolve().parents[2] / "egs" / "mls" / "local" / "prepare_data.py"
ENGLISH = {
    "4800_10003_000000": "oh my dear you must see him",
    "977_5_000001": "wheel-chair i've",
    "977_5_000000": "-i have  seen",
    "12_10003_000000": "he expected",
}
POLISH = {"6892_8912_000000": "zażółć gęślą jaźń", "6892_8912_000001": "łódź"}


@pytest.fixture(scope="module")
def prepare():
    spec = importlib.util.spec_from_file_location("prepare_data", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)

    def run(corpora, data_dir, *args, langs="en", set_name="train"):
        flags = ["--corpora", str(corpora), "--langs", langs, "--set", set_name, *args]
        module.main([*flags, str(data_dir)])
        return read_data_dir(data_dir)

    return run


def many(count: int) -> dict[str, str]:
    return {f"{i % 3}_{i % 2}_{i:06}": f"text {i}" for i in range(count)}


def test_flac_and_opus_archives_become_one_data_dir(tmp_path, prepare, capsys):
    make_mls(tmp_path, ENGLISH)
    make_mls(tmp_path, POLISH, "mls_polish_opus")
    utts = prepare(tmp_path, tmp_path / "data", langs="pl en")
    assert [(u.utt_id, u.spk_id, u.text, u.lang) for u in utts] == [
        ("en_000012_10003_000000", "en_000012", "he expected", "en"),
        ("en_000977_5_000000", "en_000977", "-i have seen", "en"),
        ("en_000977_5_000001", "en_000977", "wheel-chair i've", "en"),
        ("en_004800_10003_000000", "en_004800", "oh my dear you must see him", "en"),
        ("pl_006892_8912_000000", "pl_006892", "zażółć gęślą jaźń", "pl"),
        ("pl_006892_8912_000001", "pl_006892", "łódź", "pl"),
    ]
    assert validate_data_dir(tmp_path / "data") == {"en": 4, "pl": 2}
    for utt in utts:
        assert Path(utt.audio).is_absolute() and Path(utt.audio).is_file()
    out = capsys.readouterr().out
    assert f"{tmp_path}/mls_english/train: 4 utterances, 3 speakers, 0.00 hours" in out
    assert f"{tmp_path}/data: 6 utterances in en pl" in out


def test_relative_corpora_are_written_as_absolute_paths(tmp_path, prepare, monkeypatch):
    make_mls(tmp_path / "corpora", ENGLISH)
    monkeypatch.chdir(tmp_path)
    utts = prepare("corpora", "data")
    assert utts[0].audio.startswith(f"{tmp_path}/corpora/mls_english/train/audio/12/10003/")


@pytest.mark.parametrize("subset, expected", [("10min", 2), ("1h", 12), ("10h", 15), ("full", 40)])
def test_limited_supervision_subsets(tmp_path, prepare, subset, expected):
    handles = list(many(40))
    folder = make_mls(tmp_path, many(40)) / "limited_supervision"
    for part in range(6):
        (folder / "1hr" / str(part)).mkdir(parents=True)
        lines = "\n".join(reversed(handles[2 * part : 2 * part + 2]))
        (folder / "1hr" / str(part) / "handles.txt").write_text(lines)
    (folder / "9hr").mkdir()
    (folder / "9hr" / "handles.txt").write_text("\n".join(handles[12:15]) + "\n")
    utts = prepare(tmp_path, tmp_path / "data", "--subset", subset)
    assert sorted(u.text for u in utts) == sorted(f"text {i}" for i in range(expected))
    make_mls(tmp_path, many(5), set_name="dev")
    dev = prepare(tmp_path, tmp_path / "dev", "--subset", subset, set_name="dev")
    assert len(dev) == 5  # dev and test are always whole


def test_subset_that_names_unknown_utterances_is_an_error(tmp_path, prepare):
    folder = make_mls(tmp_path, many(4)) / "limited_supervision" / "1hr" / "0"
    folder.mkdir(parents=True)
    (folder / "handles.txt").write_text("0_0_000000\n9_9_000009\n")
    with pytest.raises(UserError, match="1 of 2 handles are not in transcripts.txt"):
        prepare(tmp_path, tmp_path / "data", "--subset", "10min")


@pytest.mark.parametrize("set_name", ["train", "dev", "test"])
def test_transcripts_without_audio(tmp_path, prepare, capsys, set_name):
    set_dir = make_mls(tmp_path, many(40), set_name=set_name)
    (set_dir / "audio" / "0" / "0" / "0_0_000006.flac").unlink()
    if set_name == "train":
        assert len(prepare(tmp_path, tmp_path / "data")) == 39
        says = "1 transcripts have no audio file (40 transcripts), first: 0_0_000006"
        assert says in capsys.readouterr().out
        for path in (set_dir / "audio" / "1").rglob("*.flac"):
            path.unlink()
        (tmp_path / "data" / "text").unlink()
    says = "transcripts have no audio file .* may be, unpack the archive again"
    with pytest.raises(UserError, match=says):
        prepare(tmp_path, tmp_path / "data", set_name=set_name)
    assert not (tmp_path / "data" / "text").exists()


@pytest.mark.parametrize("set_name", ["train", "dev", "test"])
@pytest.mark.parametrize("place", ["0/0/0_0_000096.flac", "0/7/0_7_000000.flac", "9/1/x.flac"])
def test_audio_without_transcript(tmp_path, prepare, capsys, set_name, place):
    set_dir = make_mls(tmp_path, many(40), set_name=set_name)
    write_audio(set_dir / "audio" / place, noise(0.1))
    says = f"1 audio files have no transcript .* first: {set_dir}/audio/{place}"
    if set_name == "train":
        assert len(prepare(tmp_path, tmp_path / "data")) == 40
        assert "1 audio files have no transcript" in capsys.readouterr().out
    else:
        with pytest.raises(UserError, match=says):
            prepare(tmp_path, tmp_path / "data", set_name=set_name)


def test_missing_folders_are_named(tmp_path, prepare):
    with pytest.raises(UserError, match=f"existing folder that holds .*, got '{tmp_path}/none'"):
        prepare(tmp_path / "none", tmp_path / "data")
    with pytest.raises(UserError, match=f"{tmp_path}: neither mls_english nor mls_english_opus"):
        prepare(tmp_path, tmp_path / "data")
    (tmp_path / "mls_english").mkdir()
    with pytest.raises(
        UserError, match="mls_english/train/transcripts.txt: no such file; unpack the"
    ):
        prepare(tmp_path, tmp_path / "data")
    with pytest.raises(UserError, match="MLS has no language 'xx'; it has en de"):
        prepare(tmp_path, tmp_path / "data", langs="en xx")
    with pytest.raises(UserError, match="--langs should name at least one"):
        prepare(tmp_path, tmp_path / "data", langs="")
    with pytest.raises(UserError, match="--corpora should name"):
        prepare("", tmp_path / "data")


def test_a_corpus_of_ones_own_needs_no_segments(tmp_path, prepare, capsys):
    set_dir = make_mls(tmp_path, ENGLISH)
    with_segments = prepare(tmp_path, tmp_path / "data")
    long = next(set_dir.glob("audio/977/*/977_5_000001.*"))
    write_audio(long, noise(3.0))
    (set_dir / "segments.txt").unlink()
    assert prepare(tmp_path, tmp_path / "data") == with_segments
    assert prepare(tmp_path, tmp_path / "data") == with_segments
    long.write_bytes(b"no audio")
    assert prepare(tmp_path, tmp_path / "data") == with_segments


@pytest.mark.parametrize(
    "name, content, says",
    [
        ("transcripts.txt", "977_5_000000 spaces\n", "transcripts.txt:1: .*a handle, a tab and"),
        ("transcripts.txt", "977_5\tx\n", "transcripts.txt:1: '977_5' is not <speaker>_<book>"),
        ("transcripts.txt", "1_2_3\ta\n1_2_4\t \n", "transcripts.txt:2: .*a handle, a tab and"),
        ("segments.txt", "977_5_000000\tu\tx\t2\n", "segments.txt:1: .*source, start and end"),
        ("segments.txt", "977_5_000000\tu\t1\t2\n", "segments.txt: no segment of 000012_10003"),
    ],
)
def test_wrong_lines_are_named(tmp_path, prepare, name, content, says):
    set_dir = make_mls(tmp_path, ENGLISH)
    (set_dir / name).write_text(content)
    with pytest.raises(UserError, match=says):
        prepare(tmp_path, tmp_path / "data")


def test_transcript_that_stands_twice_is_an_error(tmp_path, prepare):
    set_dir = make_mls(tmp_path, ENGLISH)
    for name in ("transcripts.txt", "segments.txt"):
        content = (set_dir / name).read_text()
        (set_dir / name).write_text(content + content.splitlines()[1] + "\n")
    with pytest.raises(UserError, match="977_5_000001"):
        prepare(tmp_path, tmp_path / "data")


def test_characters_are_composed(tmp_path, prepare):
    make_mls(tmp_path, {"1_2_000000": "e\u0301le\u0300ve"})
    assert prepare(tmp_path, tmp_path / "data")[0].text == "\u00e9l\u00e8ve"


def test_real_corpora(shared, tmp_path, prepare):
    utts = prepare(shared / "corpora" / "mls", tmp_path / "dev", langs="en de", set_name="dev")
    assert validate_data_dir(tmp_path / "dev") == {"de": 69, "en": 57}
    assert {Path(u.audio).suffix for u in utts} == {".flac", ".opus"}
    handles = shared / "corpora/mls/mls_english/train/limited_supervision/1hr/0/handles.txt"
    utts = prepare(shared / "corpora" / "mls", tmp_path / "train", "--subset", "10min")
    assert len(utts) == len(handles.read_text().split())
