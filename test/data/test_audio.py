import numpy as np
import pytest
import soundfile
from audio_files import RATE, noise, write_audio

from speechllm.data.audio import read_audio
from speechllm.data.speed import change_speed
from speechllm.errors import UserError

LOSSLESS = ["wav", "flac"]
FORMATS = [*LOSSLESS, "mp3", "ogg", "opus"]


def sine(hertz: float, rate: int, seconds: float = 1.0) -> np.ndarray:
    return 0.5 * np.sin(2 * np.pi * hertz * np.arange(int(rate * seconds)) / rate)


def loudest_frequency(samples: np.ndarray, rate: int = RATE) -> float:
    return np.abs(np.fft.rfft(samples)).argmax() * rate / len(samples)


@pytest.mark.parametrize("extension", FORMATS)
def test_every_format_gives_the_samples_back(tmp_path, extension):
    samples = sine(440, RATE)
    path = write_audio(tmp_path / f"a.{extension}", samples)
    read = read_audio(str(path))
    assert read.dtype == np.float32 and read.shape == samples.shape
    if extension in LOSSLESS:
        np.testing.assert_allclose(read, samples, atol=1.5 / 32768)
    assert loudest_frequency(read) == pytest.approx(440, abs=1)
    np.testing.assert_allclose(read[2000:14000], samples[2000:14000], atol=0.03)


def test_stretches_are_cut_out(tmp_path):
    samples = noise(1.0)
    path = write_audio(tmp_path / "a.flac", samples)
    whole = read_audio(str(path))
    np.testing.assert_array_equal(read_audio(str(path), start=0.25, end=0.5), whole[4000:8000])
    np.testing.assert_array_equal(read_audio(str(path), start=0.75), whole[12000:])
    np.testing.assert_array_equal(read_audio(str(path), end=9.0), whole)
    with pytest.raises(UserError, match="a.flac: no samples from 1.5 s on"):
        read_audio(str(path), start=1.5)


def test_stereo_becomes_the_mean_of_its_channels(tmp_path):
    left, right = noise(0.3, seed=1), noise(0.3, seed=2)
    path = write_audio(tmp_path / "a.wav", np.stack([left, right], axis=1), subtype="FLOAT")
    np.testing.assert_allclose(read_audio(str(path)), (left + right) / 2, atol=1e-7)


@pytest.mark.parametrize("rate", [8000, 22050, 44100])
def test_other_rates_are_resampled(tmp_path, rate):
    path = write_audio(tmp_path / "a.wav", sine(440, rate), rate)
    read = read_audio(str(path))
    assert abs(len(read) - RATE) <= 1
    middle = slice(2000, 14000)
    np.testing.assert_allclose(read[middle], sine(440, RATE)[: len(read)][middle], atol=2e-3)


def test_other_rate_is_an_error_where_resampling_is_off(tmp_path):
    path = write_audio(tmp_path / "a.wav", sine(440, 8000), 8000)
    with pytest.raises(UserError, match=r"a.wav: audio is 8,000 Hz.*16,000.*set resample: true"):
        read_audio(str(path), resample=False)


@pytest.mark.parametrize("extension", FORMATS)
@pytest.mark.parametrize("share", [0.3, 0.6, 0.95])
def test_truncated_files_are_errors(tmp_path, extension, share):
    path = write_audio(tmp_path / f"a.{extension}", noise(3.0))
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])
    with pytest.raises(UserError, match=f"a.{extension}: (truncated|not readable)"):
        read_audio(str(path))


@pytest.mark.parametrize(
    "name, content, says",
    [
        ("a.wav", b"", "empty file"),
        ("a.flac", b"this is not audio, whatever its name says", "audio .Format not recognised.$"),
        ("a.mp3", b"this is not audio, whatever its name says", "audio .no audio format that is"),
        ("a.raw", b"\0" * 3200, "audio .raw samples do not tell their rate"),
        ("a.opus", b"OggS", "truncated|not readable"),
        ("a.wav", b"RIFF\0\0", "not readable|truncated"),
    ],
)
def test_files_that_are_no_audio_are_errors(tmp_path, name, content, says):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(UserError, match=f"{tmp_path}/{name}: .*({says})"):
        read_audio(str(tmp_path / name))


def test_missing_file_and_folder_are_errors(tmp_path):
    with pytest.raises(UserError, match="none.flac: cannot be read .No such file"):
        read_audio(str(tmp_path / "none.flac"))
    with pytest.raises(UserError, match="cannot be read .Is a directory"):
        read_audio(str(tmp_path))


def test_file_without_samples_is_an_error(tmp_path):
    path = write_audio(tmp_path / "a.wav", np.zeros(0))
    with pytest.raises(UserError, match="a.wav: no samples"):
        read_audio(str(path))


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_samples_that_are_no_numbers_are_errors(tmp_path, value):
    samples = noise(0.3)
    samples[100] = value
    path = write_audio(tmp_path / "a.wav", samples, subtype="FLOAT")
    with pytest.raises(UserError, match="a.wav: has samples that are not numbers"):
        read_audio(str(path))


def test_wav_of_unknown_length_is_read(tmp_path):
    path = write_audio(tmp_path / "a.wav", noise(0.3))
    content = bytearray(path.read_bytes())
    at = content.index(b"data") + 4
    content[at : at + 4] = b"\xff\xff\xff\xff"  # as written into a pipe
    path.write_bytes(content)
    assert len(read_audio(str(path))) == len(noise(0.3))


@pytest.mark.parametrize("speed", [0.9, 1.1])
def test_speed_changes_length_and_pitch(speed):
    fast = change_speed(sine(440, RATE).astype(np.float32), speed)
    assert len(fast) == pytest.approx(RATE / speed, abs=2)
    assert loudest_frequency(fast) == pytest.approx(440 * speed, abs=2)


def test_real_recordings_are_complete(shared):
    paths = list((shared / "corpora").glob("*/*/dev/audio/*/*/*"))[::20]
    assert paths
    for path in paths:
        assert len(read_audio(str(path))) == pytest.approx(
            soundfile.info(str(path)).duration * RATE, abs=1
        )
