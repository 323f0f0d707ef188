import os
import threading

import kaldiio
import numpy as np
import pytest
import torch
from audio_files import noise

from speechllm.data.ark import MAX_OPEN_FILES, compressed_bytes, plain_bytes, read_ark, read_matrix
from speechllm.data.fbank import Fbank
from speechllm.data.rows import parse_position
from speechllm.errors import UserError


def real_feats(seconds=3.0, seed=0) -> np.ndarray:
    return Fbank()(noise(seconds, seed)).numpy()


def write(path, *matrices: bytes) -> list[int]:
    """Write matrices under the ids utt0, utt1, ...; returns their offsets."""
    offsets = []
    with open(path, "wb") as file:
        for i, data in enumerate(matrices):
            file.write(f"utt{i} ".encode())
            offsets.append(file.tell())
            file.write(data)
    return offsets


@pytest.mark.parametrize("to_bytes", [plain_bytes, compressed_bytes])
def test_kaldiio_reads_what_we_write(tmp_path, to_bytes):
    matrices = [real_feats(0.5 + i, seed=i) for i in range(3)]
    offsets = write(tmp_path / "a.ark", *(to_bytes(m) for m in matrices))
    theirs = dict(kaldiio.load_ark(str(tmp_path / "a.ark")))
    for i, offset in enumerate(offsets):
        ours = read_matrix(str(tmp_path / "a.ark"), offset)
        np.testing.assert_allclose(ours, theirs[f"utt{i}"], atol=1e-5)
        np.testing.assert_allclose(ours, matrices[i], atol=0 if to_bytes is plain_bytes else 0.15)


@pytest.mark.parametrize("method", [None, 2])
def test_we_read_what_kaldiio_writes(tmp_path, method):
    feats = real_feats()
    kaldiio.save_ark(str(tmp_path / "a.ark"), {"utt": feats}, compression_method=method)
    theirs = kaldiio.load_mat(f"{tmp_path}/a.ark:4")
    np.testing.assert_allclose(read_matrix(str(tmp_path / "a.ark"), 4), theirs, atol=1e-5)


def test_compression_is_as_exact_as_kaldiio(tmp_path):
    feats = real_feats(10.0)
    kaldiio.save_ark(str(tmp_path / "k.ark"), {"utt": feats}, compression_method=2)
    theirs = np.abs(kaldiio.load_mat(f"{tmp_path}/k.ark:4") - feats)
    write(tmp_path / "o.ark", compressed_bytes(feats))
    ours = np.abs(read_matrix(str(tmp_path / "o.ark"), 5) - feats)
    assert ours.mean() <= theirs.mean() * 1.01 and ours.max() <= theirs.max() * 1.01


@pytest.mark.parametrize("num_frames", [1, 2, 3, 4, 5, 6, 9])
def test_few_frames_are_compressed(tmp_path, num_frames):
    feats = real_feats()[:num_frames]
    write(tmp_path / "a.ark", compressed_bytes(feats))
    read = read_matrix(str(tmp_path / "a.ark"), 5)
    np.testing.assert_allclose(read, feats, atol=0.1)
    np.testing.assert_allclose(kaldiio.load_mat(f"{tmp_path}/a.ark:5"), read, atol=1e-5)


@pytest.mark.parametrize(
    "feats",
    [
        np.full((50, 4), -15.9, np.float32),
        np.zeros((50, 4), np.float32),
        np.nextafter(np.full((50, 4), 15.0, np.float32), np.eye(50, 4, dtype=np.float32) * 99),
        np.repeat(np.float32([[-15.9], [12.0]]), 25, axis=0) * np.ones((1, 4), np.float32),
        np.where(np.arange(200)[:, None] == 7, 1e6, np.ones((200, 4))).astype(np.float32),
    ],
)
def test_unusual_values_are_compressed(tmp_path, feats):
    write(tmp_path / "a.ark", compressed_bytes(feats))
    read = read_matrix(str(tmp_path / "a.ark"), 5)
    assert np.isfinite(read).all()
    np.testing.assert_allclose(read, feats, atol=np.ptp(feats) * 3e-5 + 1e-3)


@pytest.mark.parametrize("to_bytes", [plain_bytes, compressed_bytes])
@pytest.mark.parametrize("stretch", [(0, 3), (7, 20), (90, 1000), (200, 5)])
def test_a_stretch_of_frames_is_that_of_the_whole(tmp_path, to_bytes, stretch):
    (offset, _) = write(tmp_path / "a.ark", *(to_bytes(real_feats(1.0, seed)) for seed in (0, 1)))
    path, (first, count) = str(tmp_path / "a.ark"), stretch
    whole = read_matrix(path, offset)
    np.testing.assert_array_equal(
        read_matrix(path, offset, first, count), whole[first : first + count]
    )


def test_tensors_are_float32_and_may_be_changed(tmp_path):
    feats = real_feats()
    offsets = write(tmp_path / "a.ark", plain_bytes(feats), compressed_bytes(feats))
    for offset in offsets:
        tensor = read_ark(str(tmp_path / "a.ark"), offset)
        assert tensor.dtype == torch.float32 and tensor.is_contiguous()
        tensor += 1.0
        assert not torch.equal(read_ark(str(tmp_path / "a.ark"), offset), tensor)


def test_threads_and_forks_read_the_same_file(tmp_path):
    path = str(tmp_path / "a.ark")
    matrices = [real_feats(0.5, seed=i) for i in range(8)]
    offsets = write(path, *(plain_bytes(m) for m in matrices))
    wrong = []

    def read_all():
        for _ in range(50):
            for offset, matrix in zip(offsets, matrices, strict=True):
                if not np.array_equal(read_matrix(path, offset), matrix):
                    wrong.append(offset)

    read_matrix(path, offsets[0])
    child = os.fork()
    if child == 0:
        read_all()
        os._exit(len(wrong) > 0)
    threads = [threading.Thread(target=read_all) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong and os.waitpid(child, 0)[1] == 0


def test_many_files_do_not_stay_open(tmp_path):
    before = len(os.listdir("/proc/self/fd"))
    feats = np.ones((2, 3), np.float32)
    for i in range(MAX_OPEN_FILES + 50):
        write(tmp_path / f"{i}.ark", plain_bytes(feats * i))
    for i in range(MAX_OPEN_FILES + 50):
        assert read_matrix(str(tmp_path / f"{i}.ark"), 5)[0, 0] == i
    assert len(os.listdir("/proc/self/fd")) <= before + MAX_OPEN_FILES


def test_file_that_was_replaced_is_read_anew(tmp_path):
    for value in (1.0, 2.0):
        write(tmp_path / "new.ark", plain_bytes(np.full((2, 3), value)))
        os.replace(tmp_path / "new.ark", tmp_path / "a.ark")
        assert read_matrix(str(tmp_path / "a.ark"), 5)[0, 0] == value


def test_damaged_ark_is_named(tmp_path):
    path = tmp_path / "a.ark"
    for data in (plain_bytes(real_feats()), compressed_bytes(real_feats())):
        write(path, data)
        path.write_bytes(path.read_bytes()[:-1])
        with pytest.raises(UserError, match="a.ark:.*ends too early; extract the features again"):
            read_matrix(str(path), 5)
    with pytest.raises(UserError, match="a.ark:3: no feature matrix here"):
        read_matrix(str(path), 3)
    with pytest.raises(UserError, match="none.ark: No such file"):
        read_matrix(str(tmp_path / "none.ark"), 0)


def test_positions_are_parsed():
    assert parse_position("/data/my feats:2/feats.0.ark:1234") == (
        "/data/my feats:2/feats.0.ark",
        1234,
    )
    with pytest.raises(UserError, match="should be <ark path>:<offset>"):
        parse_position("feats.ark")
