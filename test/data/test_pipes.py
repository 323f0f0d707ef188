"""Commands in wav.scp that only read a file stand for it; no command is run."""

import subprocess
from pathlib import Path

import numpy as np
import pytest
from audio_files import noise, write_audio

from speechllm.data.audio import read_audio
from speechllm.data.pipes import audio_path
from speechllm.errors import UserError

READ = [
    ("flac -c -d -s a.flac |", "a.flac"),
    ("flac -cds a.flac|", "a.flac"),
    ("/opt/flac/bin/flac --decode --stdout --totally-silent a.flac |", "a.flac"),
    ("flac -s -d -c 'a b (1).flac' |", "a b (1).flac"),
    (r"flac -s -d -c a\ b\ \(1\).flac |", "a b (1).flac"),
    ("cat a.wav |", "a.wav"),
    ("sph2pipe -f wav -p -c 1 a.sph |", "a.sph"),
    ("../../tools/sph2pipe_v2.5/sph2pipe a.sph |", "a.sph"),
    ("sox a.mp3 -t wav - |", "a.mp3"),
    ("sox a.wav -t wav -r 16k -b 16 -e signed - |", "a.wav"),
    ("sox -V1 -c 1 -t wavpcm -s a.wav -t wavpcm -r 16000 - |", "a.wav"),
    ("ffmpeg -i a.mp3 -f wav -ar 16000 -ab 16 - |", "a.mp3"),
    ("ffmpeg -nostdin -loglevel error -i a.ogg -ac 1 -acodec pcm_s16le -f wav pipe:1 |", "a.ogg"),
]
OTHER = [
    ("gunzip -c a.wav.gz |", "gunzip is none of cat, flac, sph2pipe, sox, ffmpeg"),
    ("flac -c -d -s a.flac | sox -t wav - -r 8000 -t wav - |", "| needs a shell"),
    ("cat a.wav; touch ran |", "; needs a shell"),
    ("cat `touch ran` |", "`touch needs a shell"),
    ("cat $(touch ran) |", "$ needs a shell"),
    ('cat "$HOME/a.wav" |', "$HOME/a.wav needs a shell"),
    ("cat < a.wav |", "< needs a shell"),
    ("cat 'a.wav |", "no closing quotation"),
    ("cat a.wav b.wav |", "b.wav"),
    ("cat - |", "cat without a file"),
    ("|", "nothing is none of"),
    ("flac -c -d -s --skip=100 a.flac |", "--skip=100"),
    ("flac -c -s a.wav |", "flac without -d"),
    ("sph2pipe -f wav -p -c 2 a.sph |", "-c 2"),
    ("sph2pipe -f wav -c |", "-c "),
    ("sph2pipe -f wav -t 1:2 a.sph |", "-t"),
    ("sph2pipe -f wav -p -c 1 two.wav |", "two.wav has 2 channels, not 1"),
    ("sph2pipe -f wav -p shortened.sph |", "shortened.sph by itself is no audio"),
    ("sox -t raw -r 16000 -b 16 -e signed a.raw -t wav - |", "-t raw"),
    ("sox a.wav -t wav - speed 0.9 |", "speed 0.9"),
    ("sox a.wav -t wav - remix 1 |", "remix 1"),
    ("sox -v 0.5 a.wav -t wav - |", "-v"),
    ("sox a.wav b.wav -t wav - |", "b.wav -"),
    ("sox a.wav -t mp3 - |", "it writes mp3"),
    ("sox a.wav -b 8 -t wav - |", "-b 8"),
    ("sox a.wav -r fast -t wav - |", "-r fast"),
    ("sox a.wav -t wav -r 8000 - |", "a.wav has 16,000 Hz, not 8,000"),
    ("sox two.wav -c 1 -t wav - |", "two.wav has 2 channels, not 1"),
    ("ffmpeg -ss 3 -i a.mp3 -f wav - |", "-ss"),
    ("ffmpeg -i a.mp3 -af volume=2 -f wav - |", "-af"),
    ("ffmpeg -i a.mp3 -i a.ogg -f wav - |", "a.ogg -"),
    ("ffmpeg -i a.mp3 -f wav b.wav |", "b.wav"),
    ("ffmpeg -i clip.mp4 -f wav - |", "clip.mp4 by itself is no audio"),
    ("cat a.raw |", "a.raw by itself is no audio"),
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """One sound in several formats, the same with two channels, and files that libsndfile does not read."""
    folder = tmp_path_factory.mktemp("audio")
    sound = noise(0.5)
    for name in ("a.wav", "a.flac", "a b (1).flac", "a.mp3", "a.ogg"):
        write_audio(folder / name, sound)
    write_audio(folder / "a.sph", sound, format="NIST")
    write_audio(folder / "two.wav", np.stack([sound, -sound], axis=1))
    head = (folder / "a.sph").read_bytes()
    kind = b"sample_coding -s26 pcm,embedded-shorten-v2.00"  # as most of the LDC's are
    (folder / "shortened.sph").write_bytes(head.replace(b"sample_coding -s3 pcm", kind))
    (folder / "clip.mp4").write_bytes(b"\0\0\0\x20ftypisom" + bytes(100))
    (folder / "a.raw").write_bytes(bytes(100))
    return folder


@pytest.fixture
def find(folder, monkeypatch):
    """Paths in commands are looked up in the folder; any command that is run fails the test."""

    def run(*args, **kwargs):
        raise AssertionError(f"ran {args}")

    monkeypatch.setattr(subprocess, "Popen", run)
    monkeypatch.setattr("os.system", run)
    return lambda path: str(folder / path)


@pytest.mark.parametrize(("command", "name"), READ)
def test_a_command_that_only_reads_a_file_stands_for_it(command, name, folder, find):
    path = audio_path(Path("wav.scp"), "utt1", command, find)
    assert path == str(folder / name)
    found, sound = read_audio(path), noise(0.5)
    assert found.shape == sound.shape
    if path.endswith(("mp3", "ogg")):
        assert np.corrcoef(found, sound)[0, 1] > 0.9
    else:
        np.testing.assert_allclose(found, sound, atol=2 / 2**15)


@pytest.mark.parametrize(("command", "reason"), OTHER)
def test_any_other_command_is_refused_with_the_reason(command, reason, folder, find):
    with pytest.raises(UserError) as error:
        audio_path(Path("data/wav.scp"), "utt1", command, find)
    message = str(error.value)
    where = f"data/wav.scp: utt1: {command!r}: pipes are not run"
    assert message.startswith(where) and "\n" not in message
    assert reason in message.replace(f"{folder}/", "").removeprefix(where)
    assert "convert the audio to files" in message
    assert not (folder / "ran").exists() and not Path("ran").exists()


def test_paths_are_taken_as_they_are(find):
    for path in ("a.wav", "no such file.flac", "cat.wav"):
        assert audio_path(Path("wav.scp"), "utt1", path, find) == path
    with pytest.raises(UserError, match="'' is not a path"):
        audio_path(Path("wav.scp"), "utt1", "", find)
