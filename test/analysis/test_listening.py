"""Audio that is not the utterance's own."""

import pytest
import torch

from speechllm.analysis.listening import silenced, with_other_audio
from speechllm.bin.analyse import listening
from speechllm.bin.decode import Output, load_feats
from speechllm.data.fbank import Fbank
from speechllm.data.rows import Row


@pytest.mark.parametrize("num_rows", [2, 3, 8])
def test_all_keep_their_text_and_none_its_audio(num_rows):
    rows = [
        Row(f"u{i}", "s", f"text {i}", None, None, "en", f"{i}.ark", 10 + i, 100 + i)
        for i in range(num_rows)
    ]
    heard = with_other_audio(rows)
    assert [r.text for r in heard] == [r.text for r in rows]
    assert all(a.ark != b.ark for a, b in zip(rows, heard, strict=True))
    audio = {(r.ark, r.offset, r.num_frames) for r in rows}
    assert {(r.ark, r.offset, r.num_frames) for r in heard} == audio


def test_silence_is_the_filterbank_of_zeros():
    loaded = torch.randn(2, 50, 80), torch.tensor([50, 31])
    feats, lens = silenced(lambda rows, device: loaded)([], "cpu")
    assert lens.tolist() == [50, 31]
    zeros = Fbank()(torch.zeros(16000))
    torch.testing.assert_close(feats[0], zeros[:50], atol=1e-3, rtol=0)


def test_one_utterance_has_no_other():
    with pytest.raises(ValueError, match="one utterance"):
        with_other_audio([Row("u", "s", "text", None, None, "en", "a.ark", 0, 100)])


def test_words_are_compared_with_the_utterances_own_text():
    """A recognizer that reads the name of the archive and writes the text that belongs to it."""
    rows = [
        Row(f"u{i}", "s", f"text {i}", None, None, "en", f"{i}.ark", 0, 100 + i) for i in range(4)
    ]

    def make_recognizer(load):
        silent = load is not load_feats
        texts = ["" if silent else f"text {i}" for i in range(4)]
        return lambda batch: [Output(texts[int(row.ark[0])], "ok") for row in batch]

    report = listening(make_recognizer, rows, batch_frames=150)
    assert report == {"num_utts": 4, "own": 0.0, "shuffled": 50.0, "silent": 100.0}
