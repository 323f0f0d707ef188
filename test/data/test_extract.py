import os
import shutil
import signal
import subprocess
import sys

import numpy as np
import pytest
from audio_files import RATE, make_data_dir, noise, write_audio

from speechllm.bin import extract_fbank, merge_feats
from speechllm.data.ark import read_matrix
from speechllm.data.audio import read_audio
from speechllm.data.fbank import Fbank
from speechllm.data.rows import parse_position
from speechllm.data.tables import read_table
from speechllm.data.validate import validate_data_dir
from speechllm.errors import UserError


def extract(data_dir, *args):
    extract_fbank.main(["--data_dir", str(data_dir), *args])


def features(data_dir) -> dict[str, np.ndarray]:
    table = read_table(data_dir / "feats.scp")
    return {utt_id: read_matrix(*parse_position(p)) for utt_id, p in table.items()}


def fbank_of(data_dir) -> dict[str, np.ndarray]:
    return {u: Fbank()(read_audio(p)).numpy() for u, p in read_table(data_dir / "wav.scp").items()}


def audio_path(data_dir, index: int) -> str:
    return list(read_table(data_dir / "wav.scp").values())[index]


@pytest.mark.parametrize("compress, atol", [("false", 0), ("true", 0.2)])
def test_features_are_those_of_the_audio(tmp_path, compress, atol):
    data_dir = make_data_dir(tmp_path / "train")
    extract(data_dir, "--compress", compress)
    expected = fbank_of(data_dir)
    found = features(data_dir)
    assert list(found) == list(expected)
    for utt_id, feats in found.items():
        np.testing.assert_allclose(feats, expected[utt_id], atol=atol)
    frames = {utt_id: str(len(feats)) for utt_id, feats in expected.items()}
    assert read_table(data_dir / "utt2num_frames") == frames
    assert validate_data_dir(data_dir) == {"de": 3, "en": 3}


def test_segments_are_cut_out_of_their_recordings(tmp_path):
    from speechllm.data.data_dir import Utterance, write_data_dir

    path = str(write_audio(tmp_path / "a.wav", noise(3.0)))
    pieces = [(0.0, 1.0), (1.0, 1.5), (1.5, None)]
    utts = [Utterance(f"s_{i}", "s", "x", path, "en", a, b) for i, (a, b) in enumerate(pieces)]
    write_data_dir(tmp_path / "dev", utts)
    extract(tmp_path / "dev", "--compress", "false")
    for (start, end), feats in zip(pieces, features(tmp_path / "dev").values(), strict=True):
        expected = Fbank()(read_audio(path, start=start, end=end)).numpy()
        np.testing.assert_array_equal(feats, expected)


@pytest.mark.parametrize("num_parts", [2, 4, 9])
def test_job_arrays_give_the_same_features(tmp_path, num_parts):
    data_dir = make_data_dir(tmp_path / "train")
    extract(data_dir)
    alone = features(data_dir)
    for part in range(num_parts, 0, -1):
        extract(data_dir, "--num_parts", str(num_parts), "--part", str(part))
    assert not (data_dir / "feats.scp").exists()
    merge_feats.main(["--data_dir", str(data_dir), "--num_parts", str(num_parts)])
    together = features(data_dir)
    assert list(together) == list(alone)
    assert all(np.array_equal(together[u], alone[u]) for u in alone)


def test_pool_of_processes_and_progress(tmp_path, capfd):
    data_dir = make_data_dir(tmp_path / "train")
    extract(data_dir, "--nj", "2", "--feats_dir", str(tmp_path / "feats"))
    out = capfd.readouterr().out
    assert f"{data_dir} 1/2: 3/3 utterances" in out and f"{data_dir} 2/2: 3/3 utterances" in out
    assert f"{data_dir}: features of 6 utterances" in out
    assert f"{tmp_path}/feats/feats.0.ark:" in (data_dir / "feats.scp").read_text()
    with pytest.raises(UserError, match="--part 3 should be one of 1..2"):
        extract(data_dir, "--num_parts", "2", "--part", "3")


def test_merging_unfinished_parts_is_an_error(tmp_path):
    data_dir = make_data_dir(tmp_path / "train")
    extract(data_dir, "--num_parts", "2", "--part", "1")
    with pytest.raises(UserError, match="feats.1.json: this shard is missing or unfinished"):
        merge_feats.main(["--data_dir", str(data_dir), "--num_parts", "2"])
    assert not (data_dir / "feats.scp").exists()


def test_what_is_up_to_date_is_not_made_again(tmp_path):
    data_dir = make_data_dir(tmp_path / "train")

    def run(*args):
        """Which of three arks were written."""
        folder = data_dir / "fbank"
        arks = [folder / f"feats.{i}.ark" for i in range(3)]
        before = [ark.stat().st_ino if ark.exists() else 0 for ark in arks]
        extract(data_dir, "--num_parts", "3", *args)
        return [ark.stat().st_ino != old for ark, old in zip(arks, before, strict=True)]

    assert run() == [True, True, True]
    assert run() == [False, False, False]
    write_audio(data_dir / "wav" / os.path.basename(audio_path(data_dir, 2)), noise(1.0, seed=99))
    assert run() == [False, True, False]
    assert run("--num_mel_bins", "40") == [True, True, True]
    assert next(iter(features(data_dir).values())).shape[1] == 40
    (data_dir / "fbank" / "feats.2.json").unlink()
    assert run("--num_mel_bins", "40") == [False, False, True]


def test_changed_division_leaves_no_old_shards(tmp_path):
    data_dir = make_data_dir(tmp_path / "train")
    extract(data_dir, "--num_parts", "4")
    extract(data_dir, "--num_parts", "2")
    arks = {path.name for path in (data_dir / "fbank").glob("*.ark")}
    assert arks == {"feats.0.ark", "feats.1.ark"}
    assert len(features(data_dir)) == 6


def test_speeds_are_further_utterances_of_the_training_set_only(tmp_path):
    data_dir = make_data_dir(tmp_path / "train")
    extract(data_dir, "--speeds", "[0.9, 1.0, 1.1]", "--num_parts", "2")
    natural = list(read_table(data_dir / "text"))
    found = features(data_dir)
    assert sorted(found) == sorted(p + u for p in ("", "sp0.9-", "sp1.1-") for u in natural)
    assert list(found) == sorted(found)
    for utt_id in natural:
        num_frames = len(found[utt_id])
        assert len(found[f"sp0.9-{utt_id}"]) == pytest.approx(num_frames / 0.9, abs=2)
        assert len(found[f"sp1.1-{utt_id}"]) == pytest.approx(num_frames / 1.1, abs=2)
    assert validate_data_dir(data_dir) == {"de": 3, "en": 3}
    shutil.copytree(data_dir, tmp_path / "dev")
    extract(tmp_path / "dev", "--speeds", "[0.9, 1.0, 1.1]")
    assert list(features(tmp_path / "dev")) == natural


BAD = {
    "truncated": lambda path: os.truncate(path, os.path.getsize(path) // 2),
    "empty file": lambda path: open(path, "w").close(),
    "no samples": lambda path: write_audio(path, np.zeros(0)),
    "not readable as audio": lambda path: path.write_text("words"),
    "not numbers": lambda path: write_audio(path, np.full(RATE, np.nan), subtype="FLOAT"),
    "No such file": lambda path: path.unlink(),
}
ODD = {
    "silent": lambda path: write_audio(path, np.zeros(RATE)),
    "too few": lambda path: write_audio(path, noise(0.02)),
}


@pytest.mark.parametrize("kind", [*BAD, *ODD])
def test_bad_audio_of_a_training_set_is_counted_and_named(tmp_path, capsys, kind):
    data_dir = make_data_dir(tmp_path / "train", num_utts=40, seconds=0.05)
    path = audio_path(data_dir, 20)
    (BAD | ODD)[kind](type(data_dir)(path))
    extract(data_dir, "--num_parts", "3")
    bad = read_table(data_dir / "bad_utts")
    utt_id = list(read_table(data_dir / "text"))[20]
    assert list(bad) == [utt_id] and kind in bad[utt_id] and path in bad[utt_id]
    out = capsys.readouterr().out
    assert "features of 39 utterances; 1 of 40 utterances are bad" in out and utt_id in out
    assert len(features(data_dir)) == 39
    assert validate_data_dir(data_dir) == {"de": 20, "en": 20}
    write_audio(type(data_dir)(path), noise(0.5))  # repaired
    extract(data_dir, "--num_parts", "3")
    assert len(features(data_dir)) == 40 and not (data_dir / "bad_utts").exists()


def test_too_much_bad_audio_stops_training_data(tmp_path):
    data_dir = make_data_dir(tmp_path / "train", num_utts=10, seconds=0.1)
    BAD["empty file"](audio_path(data_dir, 3))
    says = "1 of 10 utterances are bad, first: de_000001_7_000003 .*empty file.*at most 5%"
    with pytest.raises(UserError, match=says):
        extract(data_dir)
    assert not (data_dir / "feats.scp").exists()


@pytest.mark.parametrize("kind", BAD)
def test_bad_audio_of_a_test_set_is_an_error(tmp_path, kind):
    data_dir = make_data_dir(tmp_path / "test", num_utts=40, seconds=0.05)
    BAD[kind](type(data_dir)(audio_path(data_dir, 20)))
    utt_id = list(read_table(data_dir / "text"))[20]
    says = f"1 of 40 utterances are bad, first: {utt_id} .*{kind}.*none of a test set"
    with pytest.raises(UserError, match=says):
        extract(data_dir)
    assert not (data_dir / "feats.scp").exists()


@pytest.mark.parametrize("kind", ODD)
def test_silent_and_short_audio_of_a_test_set_is_kept(tmp_path, capsys, kind):
    data_dir = make_data_dir(tmp_path / "test")
    ODD[kind](type(data_dir)(audio_path(data_dir, 2)))
    extract(data_dir)
    utt_id = list(read_table(data_dir / "text"))[2]
    out = capsys.readouterr().out
    assert f"1 kept though odd, first: {utt_id}" in out and kind in out
    assert len(features(data_dir)) == 6 and len(features(data_dir)[utt_id]) >= 1


def test_other_rates_are_bad_where_resampling_is_off(tmp_path):
    data_dir = make_data_dir(tmp_path / "test")
    write_audio(type(data_dir)(audio_path(data_dir, 0)), noise(0.5), rate=8000)
    with pytest.raises(UserError, match="audio is 8,000 Hz.*set resample: true"):
        extract(data_dir, "--resample", "false")
    extract(data_dir)
    assert len(next(iter(features(data_dir).values()))) == 98


def test_name_of_the_set_can_be_given(tmp_path):
    data_dir = make_data_dir(tmp_path / "other", num_utts=40, seconds=0.05)
    BAD["empty file"](audio_path(data_dir, 20))
    with pytest.raises(UserError, match="none of a test set"):
        extract(data_dir)
    extract(data_dir, "--set", "train")
    assert len(features(data_dir)) == 39


BLOCKED = """
import sys, time
import speechllm.data.extract as extract
from speechllm.bin import extract_fbank
read_audio, count = extract.read_audio, [0]
def blocking(*args):
    count[0] += 1
    if count[0] == 5:
        print("blocked", flush=True)
        time.sleep(600)
    return read_audio(*args)
extract.read_audio = blocking
extract_fbank.main(sys.argv[1:])
"""


def test_killed_extraction_goes_on_where_it_was(tmp_path):
    data_dir = make_data_dir(tmp_path / "train")
    extract(data_dir, "--num_parts", "3")
    names = ["feats.scp", "utt2num_frames", *(f"fbank/feats.{i}.ark" for i in range(3))]
    expected = {name: (data_dir / name).read_bytes() for name in names}
    shutil.rmtree(data_dir / "fbank")

    args = ["--data_dir", str(data_dir), "--num_parts", "3"]
    child = subprocess.Popen(
        [sys.executable, "-c", BLOCKED, *args], stdout=subprocess.PIPE, text=True
    )
    assert any("blocked" in line for line in child.stdout)  # it is within the third shard
    os.kill(child.pid, signal.SIGKILL)
    assert child.wait() == -signal.SIGKILL
    assert not (data_dir / "feats.scp").exists()
    assert not (data_dir / "fbank" / "feats.2.ark").exists()
    done = (data_dir / "fbank" / "feats.1.ark").stat().st_mtime_ns

    extract(data_dir, "--num_parts", "3")
    assert {name: (data_dir / name).read_bytes() for name in names} == expected
    assert (data_dir / "fbank" / "feats.1.ark").stat().st_mtime_ns == done
    assert not list((data_dir / "fbank").glob("*.tmp"))


def test_real_corpus(shared, tmp_path):
    from speechllm.data.data_dir import Utterance, write_data_dir

    paths = sorted((shared / "corpora").glob("*/*/dev/audio/*/*/*"))[::10]
    utts = [Utterance(f"x{i:04}", "x", "text", str(p), "en") for i, p in enumerate(paths)]
    write_data_dir(tmp_path / "dev", utts)
    extract(tmp_path / "dev")
    for utt, feats in zip(utts, features(tmp_path / "dev").values(), strict=True):
        expected = Fbank()(read_audio(utt.audio)).numpy()
        assert np.abs(feats - expected).mean() < 0.03
