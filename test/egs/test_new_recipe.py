"""The preparation that new recipes start with: Kaldi directories and transcript files, split and checked."""

import importlib.util
from pathlib import Path

import pytest
from audio_files import noise, write_audio

from speechllm.data.data_dir import read_data_dir
from speechllm.data.tables import write_table
from speechllm.data.validate import validate_data_dir
from speechllm.errors import UserError

SCRIPT = Path(__file__).resolve().parents[2] / "egs/TEMPLATE/mls/local/prepare_data.py"
SETS = ("train", "dev", "test")


@pytest.fixture(scope="module")
def prepare():
    spec = importlib.util.spec_from_file_location("prepare_data", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)

    def run(corpora, data_dir, set_name="train", langs="ru"):
        flags = ["--corpora", str(corpora), "--langs", langs, "--set", set_name]
        module.main([*flags, str(data_dir)])
        validate_data_dir(data_dir)
        return read_data_dir(data_dir)

    return run


def audio(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    write_audio(path, noise(0.1))
    return path


def write_transcripts(folder: Path, num_utts: int, num_speakers: int):
    """Cyrillic sentences; without speakers where there is to be one."""
    lines = []
    for i in range(num_utts):
        audio(folder / f"clips/{i:03}.wav")
        speaker = f"\tspk{i % num_speakers:02}" if num_speakers > 1 else ""
        lines.append(f"clips/{i:03}.wav\tПривет, мир {i}!{speaker}\n")
    (folder / "transcripts.tsv").write_text("".join(lines), encoding="utf-8")


@pytest.mark.parametrize("num_speakers", [1, 4, 20])
def test_transcripts_are_split_into_three_sets(tmp_path, prepare, num_speakers):
    write_transcripts(tmp_path, 60, num_speakers)
    sets = {name: prepare(tmp_path, tmp_path / "data" / name, name) for name in SETS}
    ids = [utt.utt_id for utts in sets.values() for utt in utts]
    assert len(ids) == len(set(ids)) == 60
    assert 6 <= len(sets["dev"]) <= 9 and 6 <= len(sets["test"]) <= 9
    if num_speakers >= 10:
        speakers = [{utt.spk_id for utt in utts} for utts in sets.values()]
        assert not speakers[0] & speakers[1] and not speakers[0] & speakers[2]
    again = prepare(tmp_path, tmp_path / "again", "dev")
    assert again == sets["dev"]
    one = sets["train"][0]
    number = int(one.utt_id.rpartition("-")[2])
    assert one.text == f"привет мир {number}" and one.lang == "ru"
    assert Path(one.audio) == tmp_path / f"clips/{number:03}.wav"


def write_kaldi(folder: Path, texts: dict[str, str], **tables: dict[str, str]):
    write_table(folder / "text", texts)
    for name, table in tables.items():
        write_table(folder / name, table)


def test_a_kaldi_directory_with_segments_of_other_speakers(tmp_path, prepare):
    recording = audio(tmp_path / "audio/rec.flac")
    segments = {f"u{i}": f"rec {i}.0 {i}.5" for i in range(6)}
    spks = {f"u{i}": f"anna{i % 2}" for i in range(6)}
    write_kaldi(
        tmp_path, {f"u{i}": f"слово {i}" for i in range(6)}, segments=segments, utt2spk=spks
    )
    write_table(tmp_path / "wav.scp", {"rec": "audio/rec.flac"})
    utts = [u for name in SETS for u in prepare(tmp_path, tmp_path / "data" / name, name)]
    assert sorted(u.utt_id for u in utts) == [f"anna{i % 2}-u{i}" for i in (0, 2, 4, 1, 3, 5)]
    assert {(u.utt_id, u.start, u.end) for u in utts} >= {("anna0-u2", 2.0, 2.5)}
    assert {u.audio for u in utts} == {str(recording)}


def test_kaldi_sets_are_taken_as_they_are(tmp_path, prepare):
    for name in SETS:
        wavs = {f"{name}{i}": f"wav/{name}{i}.wav" for i in range(3)}
        for path in wavs.values():
            audio(tmp_path / name / path)
        texts = {u: "文字 と 音" for u in wavs if u != f"{name}2"}  # one has no text
        langs = dict.fromkeys(wavs, "ja")
        (tmp_path / name).mkdir(exist_ok=True)
        write_kaldi(tmp_path / name, texts, **{"wav.scp": wavs}, utt2lang=langs)
    for name in SETS:
        utts = prepare(tmp_path, tmp_path / "data" / name, name, langs="ja zh")
        assert [u.utt_id for u in utts] == [f"{name}0", f"{name}1"]
        assert {u.lang for u in utts} == {"ja"}


def test_commands_of_kaldi_recipes_stand_for_the_files_they_read(tmp_path, prepare, capsys):
    """Without segments and with them; paths are relative to the folder of the corpus, or absolute."""
    one, two = audio(tmp_path / "audio/one.flac"), audio(tmp_path / "audio/two.wav")
    for i in range(4):
        audio(tmp_path / f"audio/{i}.flac")
    commands = {f"u{i}": f"flac -c -d -s audio/{i}.flac |" for i in range(4)}
    write_kaldi(tmp_path, dict.fromkeys(commands, "слово"), **{"wav.scp": commands})
    utts = [u for name in SETS for u in prepare(tmp_path, tmp_path / "data" / name, name)]
    assert sorted((u.utt_id, u.audio) for u in utts) == [
        (f"u{i}", str(tmp_path / f"audio/{i}.flac")) for i in range(4)
    ]
    write_table(tmp_path / "segments", {f"u{i}": f"rec{i % 2} 0.0 0.05" for i in range(4)})
    recordings = {"rec0": f"flac -cd {one} |", "rec1": f"sox -t wav {two} -r 16000 -t wav - |"}
    write_table(tmp_path / "wav.scp", recordings)
    (tmp_path / "reco2file_and_channel").write_text("rec1 two A\nrec0 one A\n")
    utts = [u for name in SETS for u in prepare(tmp_path, tmp_path / "data" / name, name)]
    assert {(u.utt_id, u.audio) for u in utts} == {
        (f"u{i}", str([one, two][i % 2])) for i in range(4)
    }
    assert "reco2file_and_channel" not in capsys.readouterr().out
    (tmp_path / "reco2file_and_channel").write_text("rec0 one A\nrec1 one B\n")
    prepare(tmp_path, tmp_path / "data/train")
    said = [line for line in capsys.readouterr().out.splitlines() if "reco2file" in line]
    assert len(said) == 1 and "names the channels A B and is not read" in said[0]


@pytest.mark.parametrize("num_speakers", [1, 20])
def test_every_language_of_a_single_directory_is_in_every_set(tmp_path, prepare, num_speakers):
    """Ninety utterances of one language, five of another and three of one that nobody asked for."""
    langs = ["ru"] * 90 + ["uk"] * 5 + ["be"] * 3
    ids = [f"u{i:02}" for i in range(len(langs))]
    recording = {"wav.scp": dict.fromkeys(ids, str(audio(tmp_path / "a.wav")))}
    spks = {
        u: f"{lang}{i % num_speakers:02}"
        for i, (u, lang) in enumerate(zip(ids, langs, strict=True))
    }
    tables = {"utt2lang": dict(zip(ids, langs, strict=True)), "utt2spk": spks}
    write_kaldi(tmp_path, dict.fromkeys(ids, "слово"), **recording, **tables)
    sets = {n: prepare(tmp_path, tmp_path / "data" / n, n, langs="uk ru") for n in SETS}
    found = [u.utt_id for utts in sets.values() for u in utts]
    assert len(found) == len(set(found)) == 95
    for utts in (sets["dev"], sets["test"]):
        assert sum(u.lang == "uk" for u in utts) == 1
        assert 9 <= sum(u.lang == "ru" for u in utts) <= 13
    only = prepare(tmp_path, tmp_path / "only", "dev", langs="ru")  # other languages change nothing
    assert only == [u for u in sets["dev"] if u.lang == "ru"]
    (tmp_path / "utt2lang").write_text("".join(f"{u} ru\n" for u in ids), encoding="utf-8")
    assert "0 utterances of uk cannot be shared" in message(prepare, tmp_path, langs="ru uk")


def message(prepare, tmp_path, **options) -> str:
    with pytest.raises(UserError) as error:
        prepare(tmp_path, tmp_path / "data", **options)
    assert "\n" not in str(error.value)
    return str(error.value)


def test_wrong_corpora_are_one_clear_line(tmp_path, prepare):
    assert "has neither train/wav.scp nor wav.scp nor transcripts.tsv" in message(prepare, tmp_path)
    write_transcripts(tmp_path, 2, 1)
    assert "2 utterances of ru cannot be shared out" in message(prepare, tmp_path)
    write_transcripts(tmp_path, 5, 1)
    assert "holds one language, but --langs is 'ru uk'" in message(prepare, tmp_path, langs="ru uk")
    lines = (tmp_path / "transcripts.tsv").read_text(encoding="utf-8")
    path = tmp_path / "transcripts.tsv"
    path.write_text(lines + "clips/000.wav no tab\n", encoding="utf-8")
    assert "transcripts.tsv:6: 'clips/000.wav no tab' should be" in message(prepare, tmp_path)
    path.write_text(lines + "clips/none.wav\tтекст\n", encoding="utf-8")
    assert "no audio file 'clips/none.wav'" in message(prepare, tmp_path)
    path.write_text(lines.replace("Привет, мир 3!", "?!"), encoding="utf-8")
    wanted = [name for name in SETS if "says nothing" in try_all(prepare, tmp_path, name)]
    assert len(wanted) == 1  # the set that holds it
    path.write_text(lines + "clips/../clips/000.wav\tеще раз\n", encoding="utf-8")
    said = "transcripts.tsv:6: clips/../clips/000.wav stands in line 1 too"
    assert all(said in try_all(prepare, tmp_path, name) for name in SETS)
    path.write_text("path\tsentence\n" + lines, encoding="utf-8")
    assert "transcripts.tsv:1: no audio file 'path' in" in message(prepare, tmp_path)
    assert "; is that line a header? then take the line out" in message(prepare, tmp_path)
    for encoding in ("cp1251", "utf-16"):
        path.write_text(lines, encoding=encoding)
        assert "transcripts.tsv: not UTF-8 (" in message(prepare, tmp_path)
    path.unlink()
    write_kaldi(tmp_path, {"a": "б", "c": "д"}, **{"wav.scp": {"a": "clips/000.wav"}})
    assert "1 utterances have no audio, first: c" in message(prepare, tmp_path)
    write_table(tmp_path / "wav.scp", {"a": "sox x - gain 3 |", "c": "clips/000.wav"})
    said = message(prepare, tmp_path)
    assert (
        "wav.scp: a: 'sox x - gain 3 |': pipes are not run" in said and "(gain 3); convert" in said
    )
    write_table(tmp_path / "wav.scp", {"a": "clips/001.wav", "c": "clips/000.wav"})
    write_table(tmp_path / "utt2spk", {"a": "anna"})
    assert "utt2spk: 1 utterances are missing, first: c; add them" in message(prepare, tmp_path)
    (tmp_path / "utt2spk").unlink()
    write_table(tmp_path / "utt2lang", {"a": "uk", "c": "be"})
    assert "cannot be shared out among train, dev and test; there are utterances of be uk" in (
        message(prepare, tmp_path)
    )
    write_table(tmp_path / "wav.scp", {"a": "cat clips/none.wav |", "c": "clips/000.wav"})
    assert "no audio file 'clips/none.wav'" in message(prepare, tmp_path)


def test_a_file_of_an_editor_of_windows_is_read(tmp_path, prepare):
    write_transcripts(tmp_path, 12, 2)
    path = tmp_path / "transcripts.tsv"
    lines = path.read_text(encoding="utf-8")
    made = {}
    for name, text, encoding in (
        ("as it is", lines, "utf-8"),
        ("with a mark", lines.replace("\n", "\r\n"), "utf-8-sig"),
    ):
        path.write_text(text, encoding=encoding, newline="")
        for set_name in SETS:
            prepare(tmp_path, tmp_path / name / set_name, set_name)
        made[name] = [(tmp_path / name / s / "text").read_bytes() for s in SETS]
    assert made["as it is"] == made["with a mark"]


def test_what_is_left_out_or_taken_for_granted_is_said(tmp_path, prepare, capsys):
    write_transcripts(tmp_path, 5, 1)
    (tmp_path / "transcripts.tsv").unlink()
    ids = [f"u{i}" for i in range(5)]
    scp = {utt_id: f"clips/00{i}.wav" for i, utt_id in enumerate(ids)}
    langs = {utt_id: "uk" if utt_id in ("u1", "u3") else "ru" for utt_id in ids}
    write_kaldi(tmp_path, dict.fromkeys(ids, "да"), **{"wav.scp": scp, "utt2lang": langs})
    prepare(tmp_path, tmp_path / "data")
    told = capsys.readouterr().out
    assert "no utt2spk, so every utterance is taken for a speaker of its own" in told
    assert "left out, as --langs does not name their language: 2 of uk" in told


def try_all(prepare, tmp_path, set_name: str) -> str:
    """The message of a set, "" if it is made."""
    try:
        prepare(tmp_path, tmp_path / "data" / set_name, set_name)
    except UserError as error:
        return str(error)
    return ""
