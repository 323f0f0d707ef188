import kaldiio
import numpy as np
import pytest
from audio_files import make_data_dir

from speechllm.bin import compute_cmvn, extract_fbank
from speechllm.data.ark import read_matrix
from speechllm.data.cmvn import accumulate, load_cmvn, save_cmvn
from speechllm.data.rows import parse_position
from speechllm.data.tables import read_table
from speechllm.errors import UserError


def test_command_normalises_the_features_of_a_data_dir(tmp_path):
    make_data_dir(tmp_path / "train")
    extract_fbank.main(["--data_dir", str(tmp_path / "train")])
    compute_cmvn.main([str(tmp_path / "train")])
    positions = read_table(tmp_path / "train" / "feats.scp").values()
    frames = np.concatenate([read_matrix(*parse_position(p)) for p in positions])
    mean, istd = load_cmvn(tmp_path / "train" / "cmvn.ark")
    assert mean.dtype == istd.dtype == np.float32 and mean.shape == istd.shape == (80,)
    normalised = (frames - mean) * istd
    np.testing.assert_allclose(normalised.mean(axis=0), 0, atol=1e-4)
    np.testing.assert_allclose(normalised.std(axis=0), 1, atol=1e-4)
    stats = kaldiio.load_mat(str(tmp_path / "train" / "cmvn.ark"))
    assert stats.shape == (2, 81) and stats[0, -1] == len(frames)


def test_a_spread_subset_is_read_on_request(tmp_path, capsys):
    make_data_dir(tmp_path / "dev")
    extract_fbank.main(["--data_dir", str(tmp_path / "dev")])
    compute_cmvn.main([str(tmp_path / "dev"), "--max_utts", "2"])
    frames = [int(n) for n in read_table(tmp_path / "dev" / "utt2num_frames").values()]
    assert f"over {frames[0] + frames[3]} frames" in capsys.readouterr().out


def test_processes_do_not_change_the_result(tmp_path, monkeypatch):
    make_data_dir(tmp_path / "train")
    extract_fbank.main(["--data_dir", str(tmp_path / "train")])
    monkeypatch.setattr(compute_cmvn, "PART_UTTS", 2)
    found = []
    for nj in ("1", "3"):
        compute_cmvn.main([str(tmp_path / "train"), "--nj", nj])
        found.append((tmp_path / "train" / "cmvn.ark").read_bytes())
    assert found[0] == found[1]


def test_large_means_do_not_swallow_the_variance(tmp_path):
    rng = np.random.default_rng(0)
    chunks = [(1000 + 0.01 * rng.standard_normal((5000, 3))).astype(np.float32) for _ in range(4)]
    save_cmvn(tmp_path / "cmvn.ark", accumulate(chunks))
    _, istd = load_cmvn(tmp_path / "cmvn.ark")
    np.testing.assert_allclose(istd, 1 / np.concatenate(chunks).astype(float).std(0), rtol=1e-2)


def test_bins_that_never_change_stay_finite(tmp_path):
    save_cmvn(tmp_path / "cmvn.ark", accumulate([np.ones((10, 2), np.float32)]))
    mean, istd = load_cmvn(tmp_path / "cmvn.ark")
    assert np.isfinite(istd).all() and mean.tolist() == [1, 1]


def test_features_of_different_width_are_refused():
    with pytest.raises(UserError, match="some features have 2 bins and some 3"):
        accumulate([np.ones((4, 2)), np.ones((4, 3))])
    with pytest.raises(UserError, match="no features"):
        accumulate([])


@pytest.mark.parametrize("content", [b"", b"text", b"\0BDM " + b"\4" * 60, b"touch x |"])
def test_other_files_are_refused(tmp_path, content):
    (tmp_path / "cmvn.ark").write_bytes(content)
    with pytest.raises(UserError, match="cmvn.ark: .*run speechllm.bin.compute_cmvn again"):
        load_cmvn(tmp_path / "cmvn.ark")
    with pytest.raises(UserError, match="none.ark: No such file"):
        load_cmvn(tmp_path / "none.ark")
