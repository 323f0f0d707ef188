import pickle

import numpy as np
import pyarrow as pa
import pytest
from audio_files import make_data_dir

from speechllm.bin import compile_manifest as command
from speechllm.bin import extract_fbank
from speechllm.data.ark import read_matrix
from speechllm.data.compile import compile_manifest
from speechllm.data.data_dir import Utterance, read_data_dir, write_data_dir
from speechllm.data.manifest import Manifest
from speechllm.data.rows import parse_position
from speechllm.data.tables import read_table, write_table
from speechllm.errors import UserError


def add_features(path, skip=(), prefixes=("",)) -> None:
    """Tables as extract_fbank writes them, without features."""
    utt_ids = [p + u for p in prefixes for u in read_table(path / "text") if u not in skip]
    write_table(path / "feats.scp", {u: f"/f {i % 3}.ark:{i * 7}" for i, u in enumerate(utt_ids)})
    write_table(path / "utt2num_frames", {u: str(10 + i) for i, u in enumerate(utt_ids)})


def texts_dir(path, texts, **kwargs):
    """A data directory without audio files, languages by turns."""
    langs = ["de", "en", "pl"]
    utts = []
    for i, text in enumerate(texts):
        lang = langs[i * 3 // len(texts)]
        fields = {name: values[i] for name, values in kwargs.items()}
        utts.append(Utterance(f"{lang}_1_{i:06}", f"{lang}_1", text, f"/{i}.wav", lang, **fields))
    write_data_dir(path, utts)
    add_features(path)
    return path


def test_rows_are_the_utterances_of_the_tables(tmp_path):
    make_data_dir(tmp_path / "train")
    extract_fbank.main(["--data_dir", str(tmp_path / "train")])
    command.main([str(tmp_path / "train")])
    manifest = Manifest(tmp_path / "train" / "manifest.arrow")
    utts = read_data_dir(tmp_path / "train")
    positions = read_table(tmp_path / "train" / "feats.scp")
    assert len(manifest) == len(utts) == 6
    for i, utt in enumerate(utts):
        row = manifest.row(i)
        assert (row.utt_id, row.spk_id, row.text, row.lang) == (
            utt.utt_id,
            utt.spk_id,
            utt.text,
            utt.lang,
        )
        assert (row.text_src, row.prompt, row.transcript) == (None, None, utt.text)
        assert (row.ark, row.offset) == parse_position(positions[utt.utt_id])
        assert manifest.langs[manifest.lang_ids[i]] == utt.lang
        feats = read_matrix(row.ark, row.offset)
        assert len(feats) == row.num_frames == manifest.num_frames[i]


def test_columns_lie_in_the_file_and_are_not_copied(tmp_path):
    path = texts_dir(tmp_path, [f"text {i}" for i in range(300)])
    compile_manifest(path, path / "manifest.arrow")
    before = pa.total_allocated_bytes()
    manifest = Manifest(path / "manifest.arrow")
    assert pa.total_allocated_bytes() - before < 1000  # the few names of languages and arks
    assert not manifest.num_frames.flags.owndata and not manifest.num_frames.flags.writeable
    assert manifest.num_frames.tolist() == list(range(10, 310))


def test_more_rows_than_one_write_and_odd_texts(tmp_path, monkeypatch):
    monkeypatch.setattr("speechllm.data.compile.BUFFER_ROWS", 7)
    texts = [["", "ß", "zażółć gęślą", "x" * 1000, "猫 \U0001f600"][i % 5] for i in range(50)]
    path = texts_dir(tmp_path, texts, prompt=[f"p{i % 2}" for i in range(50)])
    compile_manifest(path, path / "manifest.arrow")
    manifest = Manifest(path / "manifest.arrow")
    assert [manifest.row(i).text for i in range(50)] == texts
    assert [manifest.row(i).prompt for i in range(50)] == [f"p{i % 2}" for i in range(50)]
    assert manifest.transcript_lens().tolist() == [len(text) for text in texts]
    assert manifest.characters() == set("".join(texts))
    assert manifest.containing("猫").tolist() == list(range(4, 50, 5))


def test_transcript_is_the_source_text_where_there_is_one(tmp_path):
    path = texts_dir(tmp_path, ["drei", "vier"], text_src=["three", "four!"])
    compile_manifest(path, path / "manifest.arrow")
    manifest = Manifest(path / "manifest.arrow")
    assert [manifest.row(i).text for i in range(2)] == ["drei", "vier"]
    assert [manifest.row(i).transcript for i in range(2)] == ["three", "four!"]
    assert manifest.transcript_lens().tolist() == [5, 5]
    assert manifest.characters() == set("threefour!")


def test_pickling_passes_the_path_on(tmp_path):
    path = texts_dir(tmp_path, [f"text {i}" for i in range(2000)])
    compile_manifest(path, path / "manifest.arrow")
    manifest = Manifest(path / "manifest.arrow")
    data = pickle.dumps(manifest)
    assert len(data) < 1000
    assert pickle.loads(data).row(7) == manifest.row(7)


def test_other_speeds_are_further_utterances_of_further_speakers(tmp_path):
    path = texts_dir(tmp_path, [f"text {i}" for i in range(4)])
    add_features(path, prefixes=("", "sp0.9-", "sp1.1-"))
    compile_manifest(path, path / "manifest.arrow")
    manifest = Manifest(path / "manifest.arrow")
    rows = [manifest.row(i) for i in range(len(manifest))]
    assert len(rows) == 12
    natural = [r for r in rows if not r.utt_id.startswith("sp")]
    slow = [r for r in rows if r.utt_id.startswith("sp0.9-")]
    assert [r.text for r in slow] == [r.text for r in natural] == [f"text {i}" for i in range(4)]
    assert {r.spk_id for r in slow} == {f"sp0.9-{r.spk_id}" for r in natural}
    assert [r.utt_id for r in slow] == [f"sp0.9-{r.utt_id}" for r in natural]


def test_utterances_without_features_must_be_known_as_bad(tmp_path):
    path = texts_dir(tmp_path, ["a", "b", "c"])
    utt_ids = list(read_table(path / "text"))
    for missing in utt_ids:
        add_features(path, skip=[missing], prefixes=("", "sp0.9-"))
        with pytest.raises(UserError, match=f"feats.scp: no features of {missing}; run extract"):
            compile_manifest(path, path / "manifest.arrow")
        assert not (path / "manifest.arrow").exists()
    write_table(path / "bad_utts", {utt_ids[-1]: "empty file"})
    assert compile_manifest(path, path / "manifest.arrow") == 4


def test_tables_that_disagree_are_named(tmp_path):
    path = texts_dir(tmp_path, ["a", "b"])
    write_table(path / "utt2num_frames", {"other": "5"})
    with pytest.raises(UserError, match="utt2num_frames:1: other '5' should be the frames of de_1"):
        compile_manifest(path, path / "manifest.arrow")
    write_table(path / "feats.scp", {})
    write_table(path / "utt2num_frames", {})
    with pytest.raises(UserError, match="feats.scp: no features"):
        compile_manifest(path, path / "manifest.arrow")


def test_other_files_are_refused(tmp_path):
    with pytest.raises(UserError, match="manifest.arrow: no such file; run .*compile_manifest"):
        Manifest(tmp_path / "manifest.arrow")
    (tmp_path / "manifest.arrow").write_bytes(b"not arrow")
    with pytest.raises(UserError, match="manifest.arrow: not a manifest"):
        Manifest(tmp_path / "manifest.arrow")
    table = pa.table({"x": np.arange(3)})
    with pa.ipc.new_file(str(tmp_path / "manifest.arrow"), table.schema) as out:
        out.write_table(table)
    with pytest.raises(UserError, match="manifest.arrow: not a manifest"):
        Manifest(tmp_path / "manifest.arrow")


def test_a_manifest_can_take_the_text_for_what_is_to_be_written(tmp_path):
    path = texts_dir(tmp_path / "train", ["Good day.", "No."], text_src=["guten tag", "nee"])
    command.main([str(path)])
    spoken = Manifest(path / "manifest.arrow")
    written = Manifest(path / "manifest.arrow", "text")
    assert [spoken.row(i).transcript for i in range(2)] == ["guten tag", "nee"]
    for manifest in (written, pickle.loads(pickle.dumps(written))):
        assert [manifest.row(i).transcript for i in range(2)] == ["Good day.", "No."]
        assert manifest.transcript_lens().tolist() == [9, 3]
    assert "G" in written.characters() and "G" not in spoken.characters()


def test_a_repeated_manifest_is_as_long_and_spoken_alike(tmp_path):
    path = texts_dir(tmp_path / "train", ["a", "b", "c"])
    command.main([str(path)])
    manifest = Manifest(path / "manifest.arrow")
    repeated = manifest.repeated(2)
    assert repeated.num_frames.tolist() == manifest.num_frames.tolist() * 2
    assert repeated.lang_ids.tolist() == manifest.lang_ids.tolist() * 2
    assert repeated.langs == manifest.langs
