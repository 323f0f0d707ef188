"""Audio of any length in windows: everything is covered, and words at the seams are neither lost nor said twice."""

import random

import numpy as np
import pytest
import torch

from helpers import FRAMES_PER_WORD, make_number_set
from speechllm.bin import decode as bin_decode
from speechllm.bin import recognize as bin_recognize
from speechllm.bin.recognize import Output, split_output
from speechllm.config import DecodeConfig
from speechllm.data.compile import compile_manifest
from speechllm.data.data_dir import Utterance, write_data_dir
from speechllm.data.tables import read_table
from speechllm.decode.windows import common_words, find_pauses, join_windows, window_bounds
from speechllm.errors import UserError
from speechllm.train.distributed import Setup


@pytest.mark.parametrize("num_frames", [1, 99, 100, 101, 250, 1000, 1_080_000])
@pytest.mark.parametrize("overlap", [0, 20, 50])
def test_windows_cover_every_frame_and_overlap_as_asked(num_frames, overlap):
    bounds = window_bounds(num_frames, 100, overlap)
    assert bounds[0][0] == 0 and sum(bounds[-1]) == num_frames
    for (first, length), (later, _) in zip(bounds, bounds[1:], strict=False):
        assert length == 100 and first < later <= first + 100 - overlap
    assert len(bounds) <= max(1, -(-(num_frames - overlap) // (100 - overlap)))


def test_no_window_is_the_whole():
    assert window_bounds(5000, 0, 0) == [(0, 5000)]


def test_pauses_are_long_quiet_stretches():
    rng = np.random.default_rng(0)
    loudness = rng.normal(0.0, 1.0, 3000)
    loudness[400:440] = loudness[2000:2100] = -12.0
    loudness[1000:1010] = -12.0  # the closure of a stop is none
    assert find_pauses(loudness) == [(420, 40), (2050, 100)]
    assert find_pauses(rng.normal(0.0, 1.0, 3000)) == []
    assert find_pauses(np.zeros(500)) == []


def test_windows_end_in_the_longest_pause():
    pauses = [(30, 20), (60, 25), (80, 40), (95, 20), (130, 30), (320, 20)]
    bounds = window_bounds(400, 100, 20, pauses)
    assert bounds[:2] == [(0, 80), (80, 50)]  # the second has one in its first half alone
    assert bounds[2:] == [(130, 100), (210, 100), (290, 30), (320, 80)]


@pytest.mark.parametrize("seed", range(20))
def test_windows_between_pauses_cover_every_frame(seed):
    rng = random.Random(seed)
    middles = sorted(rng.sample(range(1, 5000), rng.randrange(60)))
    pauses = [(middle, rng.randrange(20, 90)) for middle in middles]
    bounds = window_bounds(5000, 300, 50, pauses)
    assert bounds[0][0] == 0 and sum(bounds[-1]) == 5000
    for (first, length), (later, _) in zip(bounds, bounds[1:], strict=False):
        assert 0 < length <= 300
        assert later == first + length in middles or (length == 300 and later <= first + 250)


def heard(words: list[str], first: int, length: int) -> list[str]:
    """The words of a window in which a word lasts 40 frames; those cut at its ends are misheard."""
    out = []
    for i, word in enumerate(words):
        begin, end = i * FRAMES_PER_WORD, (i + 1) * FRAMES_PER_WORD
        if begin >= first and end <= first + length:
            out.append(word)
        elif begin < first + length and end > first:
            out.append(f"{word[:2]}~{first}")
    return out


@pytest.mark.parametrize("num_words", [3, 25, 26, 60, 61, 200])
@pytest.mark.parametrize("vocabulary", [12, 5000])
def test_joined_words_are_those_that_were_said(num_words, vocabulary):
    rng = random.Random(num_words)
    words = [f"w{rng.randrange(vocabulary)}" for _ in range(num_words)]
    bounds = window_bounds(num_words * FRAMES_PER_WORD, 1000, 300)
    assert join_windows(bounds, [heard(words, *bound) for bound in bounds]) == words


def test_a_word_that_one_window_misheard_does_not_move_the_seam():
    left, right = "a b c d e f X h i".split(), "d e f g h i j k".split()
    joined = join_windows([(0, 900), (300, 900)], [left, right])
    assert joined in ("a b c d e f X h i j k".split(), "a b c d e f g h i j k".split())


def test_windows_that_agree_on_nothing_keep_their_halves():
    left, right = [f"l{i}" for i in range(10)], [f"r{i}" for i in range(10)]
    joined = join_windows([(0, 100), (60, 100)], [left, right])
    assert joined == left[:8] + right[2:]
    assert join_windows([(0, 100), (60, 100)], [[], []]) == []


@pytest.mark.parametrize(
    ("left", "right"),
    [((0, 30), (20, 12)), ((0, 12), (2, 30)), ((0, 30), (20, 30)), ((5, 20), (9, 16))],
)
def test_windows_of_two_lengths_that_agree_on_nothing_cover_the_time_once(left, right):
    """A word for each frame: as many are kept as there are frames, and the seam is in the middle of the overlap."""
    words = [
        [f"{name}{i}" for i in range(first, first + n)]
        for name, (first, n) in zip("lr", (left, right), strict=True)
    ]
    joined = join_windows([left, right], words)
    middle = (right[0] + sum(left)) // 2
    assert joined == words[0][: middle - left[0]] + words[1][middle - right[0] :]
    assert [int(word[1:]) for word in joined] == list(range(left[0], sum(right)))


def test_common_words_of_known_lists():
    assert common_words("x a b c y".split(), "z a b c".split()) == [(1, 1), (2, 2), (3, 3)]
    assert common_words(["a"], ["b"]) == []


def recognize(rows):
    """Writes the numbers that last for at least half a word; beams have a second guess."""
    feats, lens = bin_recognize.load_feats(rows, "cpu")
    outputs = []
    for row, n in zip(feats, lens.tolist(), strict=True):
        ids, counts = torch.unique_consecutive(row[:n, 0], return_counts=True)
        words = [str(int(i)) for i, c in zip(ids, counts, strict=True) if c >= FRAMES_PER_WORD / 2]
        text = " ".join(words)
        outputs.append(Output(text, "ok", (text, "?"), {"llm": [-1.0, -2.0]}))
    return outputs


def test_decoding_hears_long_utterances_in_windows(tmp_path):
    rng = random.Random(0)
    texts = {"s-long": rng.sample(range(1000), 900), "s-short": [5, 6, 7], "s-mid": range(20, 60)}
    texts = {u: " ".join(map(str, words)) for u, words in sorted(texts.items())}
    make_number_set(tmp_path / "set", texts)
    config = DecodeConfig(window=5.0, overlap=1.0, pauses=False, batch_frames=2000)
    seen = []

    def counted(rows):
        seen.extend(row.num_frames for row in rows)
        return recognize(rows)

    setup = Setup(rank=0, world_size=1, device=torch.device("cpu"))
    bin_decode.decode(counted, tmp_path / "set", tmp_path / "out", config, setup)
    assert read_table(tmp_path / "out/text") == texts
    assert max(seen) == 500  # nothing longer than a window was ever heard
    assert set(read_table(tmp_path / "out/utt2status").values()) == {"ok"}
    assert (tmp_path / "out/nbest/text").read_text().count("s-long") == 1
    assert (tmp_path / "out/nbest/text").read_text().count("s-short") == 2


def test_decoding_ends_windows_in_pauses(tmp_path):
    rng = random.Random(1)
    words = [rng.randrange(500, 1000) for _ in range(300)]
    for i in range(4, 300, 5):
        words[i] = 1  # quiet, and as long as a word
    make_number_set(tmp_path / "set", {"s-long": " ".join(map(str, words))})
    config, seen = DecodeConfig(window=5.0, overlap=1.0, batch_frames=2000), []

    def noted(rows):
        seen.extend((row.first, row.num_frames) for row in rows)
        return recognize(rows)

    setup = Setup(rank=0, world_size=1, device=torch.device("cpu"))
    bin_decode.decode(noted, tmp_path / "set", tmp_path / "out", config, setup)
    ends = [first + length for first, length in sorted(seen)]
    assert all(end % 200 == 180 for end in ends[:-1]) and ends[-1] == 12_000
    assert [first for first, _ in sorted(seen)][1:] == ends[:-1]
    said = [word for word in read_table(tmp_path / "out/text")["s-long"].split() if word != "1"]
    assert said == [str(word) for word in words if word != 1]


@pytest.mark.parametrize(("window", "overlap"), [(4.0, 3.0), (4.0, -1.0)])
def test_an_overlap_of_more_than_half_is_refused(window, overlap):
    with pytest.raises(UserError, match="between 0 and half of window"):
        bin_decode.check(DecodeConfig(window=window, overlap=overlap))


def in_a_chain(rows):
    """What ``recognize`` hears, and then the same numbers with a letter, as an LLM writes a chain; beams too."""

    def chain(text):
        return f"{text} => {' '.join(f'x{word}' for word in text.split())}"

    outputs = recognize(rows)
    outputs = [o._replace(text=chain(o.text), nbest=(chain(o.text), "? => x?")) for o in outputs]
    return [split_output(output) for output in outputs]


def test_a_chain_keeps_the_transcripts_of_windows_and_its_nbest_are_texts(tmp_path):
    words = random.Random(2).sample(range(1000), 200)
    texts = {"s-long": " ".join(map(str, words)), "s-short": "5 6 7"}
    make_number_set(tmp_path / "set", texts)
    config = DecodeConfig(task="chain", window=5.0, overlap=1.0, pauses=False, batch_frames=2000)
    setup = Setup(rank=0, world_size=1, device=torch.device("cpu"))
    bin_decode.decode(in_a_chain, tmp_path / "set", tmp_path / "out", config, setup)
    assert read_table(tmp_path / "out/text.src") == texts
    written = {u: " ".join(f"x{word}" for word in text.split()) for u, text in texts.items()}
    assert read_table(tmp_path / "out/text") == written
    nbest = (tmp_path / "out/nbest/text").read_text()
    assert "=>" not in nbest and "x5 x6 x7" in nbest


def test_only_a_chain_leaves_transcripts(tmp_path):
    make_number_set(tmp_path / "set", {"s-short": "5 6 7"})
    setup = Setup(rank=0, world_size=1, device=torch.device("cpu"))

    def decode(recognizer, task):
        config = DecodeConfig(task=task)
        bin_decode.decode(recognizer, tmp_path / "set", tmp_path / "out", config, setup)
        return (tmp_path / "out/text.src").exists()

    assert decode(in_a_chain, "chain")
    assert not decode(recognize, "text")  # what another task has left is gone
    assert not decode(recognize, "chain")  # as a CTC model does, which writes no chain


def test_nbest_of_a_chain_that_read_alike_are_one():
    chain = Output("a => b", "ok", ("a => b", "c => b", "a => d"), {"llm": [-1.0, -2.0, -3.0]})
    output = split_output(chain)
    assert (output.transcript, output.text, output.nbest) == ("a", "b", ("b", "d"))
    assert output.scores == {"llm": [-1.0, -3.0]}
    assert split_output(Output("a => b", "ok")) == Output("b", "ok", transcript="a")


def test_windows_of_a_language_without_spaces_are_joined_as_it_is_written():
    outputs = [Output("你好世界", "ok"), Output("界和平", "ok")]
    bounds = [(0, 400), (300, 300)]
    assert " " not in bin_decode.joined(outputs, bounds, "zh-CN").text
    assert " " in bin_decode.joined(outputs, bounds, "").text


@pytest.mark.parametrize(("transcribes", "gap"), [(True, ""), (False, " ")])
def test_the_spoken_language_says_nothing_about_a_translation(tmp_path, transcribes, gap):
    words = "1 2 3 4 5 6 7 8"
    utt = Utterance("s-a", "s", words, "a.wav", "zh", text_src="x")
    make_number_set(tmp_path / "set", {"s-a": words})
    write_data_dir(tmp_path / "set", [utt])
    compile_manifest(tmp_path / "set", tmp_path / "set/manifest.arrow")
    config = DecodeConfig(window=2.0, overlap=0.0, pauses=False)
    setup = Setup(rank=0, world_size=1, device=torch.device("cpu"))
    out = tmp_path / "out"
    bin_decode.decode(recognize, tmp_path / "set", out, config, setup, transcribes)
    assert read_table(out / "text")["s-a"] == gap.join(words.split())
