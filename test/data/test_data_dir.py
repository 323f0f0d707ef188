import pytest
from audio_files import make_data_dir

from speechllm.bin import validate_data_dir as command
from speechllm.data.data_dir import Utterance, read_data_dir, write_data_dir
from speechllm.data.subset import part_bounds, split_data_dir, subset_data_dir
from speechllm.data.tables import read_table
from speechllm.data.validate import validate_data_dir
from speechllm.errors import UserError


def utterance(i: int, **kwargs) -> Utterance:
    spk_id = f"pl_{i // 3:06}"
    values = {"text": f"zażółć gęślą {i}", "audio": f"/a b/{i // 4}.flac", "lang": "pl"}
    return Utterance(f"{spk_id}_9_{i:03}", spk_id, **(values | kwargs))


def test_what_is_written_is_read_back(tmp_path):
    utts = [utterance(i, text_src=f"source {i}", prompt="") for i in range(8)]
    assert write_data_dir(tmp_path, iter(utts)) == 8
    assert read_data_dir(tmp_path) == utts
    assert validate_data_dir(tmp_path) == {"pl": 8}
    assert read_table(tmp_path / "spk2utt")["pl_000001"].split() == [u.utt_id for u in utts[3:6]]


def test_segments_are_written_and_read_back(tmp_path):
    utts = [utterance(i, start=i / 4, end=None if i % 4 == 3 else i / 4 + 0.2) for i in range(8)]
    write_data_dir(tmp_path, utts)
    assert read_data_dir(tmp_path) == utts
    assert validate_data_dir(tmp_path) == {"pl": 8}
    assert sorted(read_table(tmp_path / "wav.scp").values()) == ["/a b/0.flac", "/a b/1.flac"]


def test_writing_again_removes_optional_tables(tmp_path):
    write_data_dir(tmp_path, [utterance(0, text_src="x", start=0.0)])
    write_data_dir(tmp_path, [utterance(0)])
    assert not (tmp_path / "text.src").exists() and not (tmp_path / "segments").exists()
    assert read_data_dir(tmp_path) == [utterance(0)]


@pytest.mark.parametrize(
    "utts, says",
    [
        ([], "no utterances to write"),
        ([utterance(1), utterance(1)], "two utterances have this id"),
        ([utterance(2), utterance(1)], "pl_000000_9_001 comes after pl_000000_9_002"),
        ([Utterance("a 1", "a", "x", "y", "z")], "without spaces"),
        ([Utterance("a1", "b", "x", "y", "z")], "must start with its speaker b"),
        ([Utterance("a1", "a", "x\ny", "y", "z")], "a1: a value has a line break"),
        (
            [Utterance("a-b1", "a-b", "x", "y", "z"), Utterance("a-c", "a", "x", "y", "z")],
            "speaker a comes after a-b",
        ),
    ],
)
def test_unfit_utterances_are_named_and_nothing_is_written(tmp_path, utts, says):
    with pytest.raises(UserError, match=says):
        write_data_dir(tmp_path, utts)
    assert not (tmp_path / "text").exists()


def corrupt(path, old: str, new: str):
    content = path.read_text()
    assert old in content
    path.write_text(content.replace(old, new))


@pytest.mark.parametrize(
    "name, old, new, says",
    [
        (
            "text",
            "de_000000_7_000001 text number 1\n",
            "",
            "text:2: de_000000_7_000001 is not here",
        ),
        ("text", "number 5\n", "number 5\nzz more\n", "wav.scp:7: zz is not here, but in text"),
        ("text", "text number 3", "", "text:4: en_000001_7_000003 has no text"),
        ("utt2spk", "en_000002_7_000005 en_000002\n", "", "utt2spk:6: en_000002_7_000005"),
        ("utt2spk", "0005 en_000002", "0005 en_000009", "utt2spk:6: en_000002_7_000005 does not"),
        ("utt2lang", "000004 en", "000004", "utt2lang:5: en_000002_7_000004"),
        ("spk2utt", " en_000002_7_000005", "", "spk2utt: should go on with en_000002_7_000005"),
        ("wav.scp", ".wav\n", ".wav |\n", "wav.scp: de_000000_7_000000: .* is not a path"),
        ("wav.scp", "de_000000_7_000001", "de_000000_7_000000", "wav.scp:2: .* stands twice"),
    ],
)
def test_validator_names_file_line_and_utterance(tmp_path, name, old, new, says):
    make_data_dir(tmp_path)
    corrupt(tmp_path / name, old, new)
    with pytest.raises(UserError, match=says):
        validate_data_dir(tmp_path)


def test_validator_finds_features_that_disagree(tmp_path):
    make_data_dir(tmp_path)
    utt_ids = list(read_table(tmp_path / "text"))
    frames = {u: "50" for u in utt_ids}
    positions = {u: f"/x.ark:{i}" for i, u in enumerate(utt_ids)}

    def says(text):
        for name, table in (("utt2num_frames", frames), ("feats.scp", positions)):
            lines = "".join(f"{k} {v}\n" for k, v in sorted(table.items()))
            (tmp_path / name).write_text(lines)
        if not text:
            return validate_data_dir(tmp_path)
        with pytest.raises(UserError, match=text):
            validate_data_dir(tmp_path)

    assert says("") == {"de": 3, "en": 3}
    frames[utt_ids[2]] = "0"
    says(f"utt2num_frames:3: {utt_ids[2]} has no frames")
    frames[utt_ids[2]] = "many"
    says(f"utt2num_frames:3: {utt_ids[2]} 'many'")
    frames[utt_ids[2]] = "50"
    frames["zz"], positions["zz"] = "50", "/x.ark:9"
    says("feats.scp:7: zz is not in text")
    del frames["zz"], positions["zz"], frames[utt_ids[0]], positions[utt_ids[0]]
    says(f"feats.scp: no features of {utt_ids[0]}")
    (tmp_path / "bad_utts").write_text(f"{utt_ids[0]} empty file\n")
    assert says("") == {"de": 3, "en": 3}


def test_segments_must_be_stretches_of_known_recordings(tmp_path):
    utts = [utterance(i, start=0.0, end=1.0) for i in range(2)]
    for old, new, says in (
        (" 0.0000 1.0000", " 1.0000 0.5000", "from 1.0 to 0.5 seconds"),
        ("rec000000000", "other", "recording other is not in wav.scp"),
        (" 0.0000 1.0000", " 0.0000", "should be a recording, start and end"),
    ):
        write_data_dir(tmp_path, utts)
        corrupt(tmp_path / "segments", old, new)
        with pytest.raises(UserError, match=f"segments:1: pl_000000_9_000: .*{says}"):
            validate_data_dir(tmp_path)


def test_parts_are_contiguous_and_hold_everything_once(tmp_path):
    make_data_dir(tmp_path, num_utts=7)
    parts = split_data_dir(tmp_path, 3)
    assert [len(read_data_dir(p)) for p in parts] == [2, 2, 3]
    assert [u for p in parts for u in read_data_dir(p)] == read_data_dir(tmp_path)
    with pytest.raises(UserError, match="7 utterances cannot be shared out among 8"):
        split_data_dir(tmp_path, 8)


@pytest.mark.parametrize("count, num_parts", [(10, 3), (3, 3), (2, 5), (5000001, 64)])
def test_part_bounds_cover_all(count, num_parts):
    bounds = [part_bounds(count, num_parts, part + 1) for part in range(num_parts)]
    assert bounds[0][0] == 0 and bounds[-1][1] == count
    assert all(a[1] == b[0] for a, b in zip(bounds, bounds[1:], strict=False))
    sizes = [last - first for first, last in bounds]
    assert max(sizes) - min(sizes) <= 1


def test_subsets_by_language_and_list(tmp_path):
    make_data_dir(tmp_path / "all")
    everything = read_data_dir(tmp_path / "all")
    assert subset_data_dir(tmp_path / "all", tmp_path / "en", ["en"]) == 3
    assert read_data_dir(tmp_path / "en") == everything[3:]
    chosen = {everything[1].utt_id, everything[4].utt_id}
    subset_data_dir(tmp_path / "all", tmp_path / "list", utt_ids=chosen)
    assert {u.utt_id for u in read_data_dir(tmp_path / "list")} == chosen
    with pytest.raises(UserError, match="no utterance in language 'fr'"):
        subset_data_dir(tmp_path / "all", tmp_path / "fr", ["fr", "en"])
    with pytest.raises(UserError, match="1 of 3 listed utterances are not here, first: other"):
        subset_data_dir(tmp_path / "all", tmp_path / "x", utt_ids=chosen | {"other"})


def test_command_counts_utterances_per_language(tmp_path, capsys):
    make_data_dir(tmp_path)
    command.main([str(tmp_path)])
    assert capsys.readouterr().out == f"{tmp_path}: valid, 6 utterances (de 3, en 3)\n"


def test_command_looks_for_audio(tmp_path):
    make_data_dir(tmp_path)
    corrupt(tmp_path / "wav.scp", ".wav", ".flac")
    with pytest.raises(
        UserError, match="wav.scp: 6 of the first 6 audio files do not exist, first"
    ):
        command.main([str(tmp_path)])


def test_an_unsorted_table_is_called_unsorted(tmp_path):
    make_data_dir(tmp_path)
    lines = (tmp_path / "text").read_text().splitlines(keepends=True)
    (tmp_path / "text").write_text("".join([lines[1], lines[0], *lines[2:]]))
    with pytest.raises(UserError, match="text:2: .* comes after .*LC_ALL=C sort"):
        validate_data_dir(tmp_path)


def test_missing_languages_are_asked_for(tmp_path):
    make_data_dir(tmp_path)
    (tmp_path / "utt2lang").unlink()
    with pytest.raises(UserError, match="utt2lang: no such file.*awk"):
        validate_data_dir(tmp_path)
