"""Audio that is not the utterance's own, text without audio, and how both are alike."""

import pytest
import torch

from speechllm.analysis.listening import silenced, with_other_audio
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


def test_the_other_audio_is_of_the_same_language_where_there_is_some():
    langs = ["de", "de", "en", "en", "en", "fr"]
    rows = [
        Row(f"u{i}", "s", "", None, None, lang, f"{lang} {i}", i, 9) for i, lang in enumerate(langs)
    ]
    heard = [row.ark for row in with_other_audio(rows)]
    assert [ark.split()[0] for ark in heard[:5]] == langs[:5]
    assert sorted(heard[:5]) == [row.ark for row in rows[:5]]
    assert heard[5] != rows[5].ark
    alone = [Row(f"u{i}", "s", "", None, None, lang, lang, i, 9) for i, lang in enumerate("abc")]
    assert sorted(row.ark for row in with_other_audio(alone)) == ["a", "b", "c"]
    assert all(a.ark != b.ark for a, b in zip(alone, with_other_audio(alone), strict=True))


def test_silence_is_the_filterbank_of_zeros():
    loaded = torch.randn(2, 50, 80), torch.tensor([50, 31])
    feats, lens = silenced(lambda rows, device: loaded)([], "cpu")
    assert lens.tolist() == [50, 31]
    zeros = Fbank()(torch.zeros(16000))
    torch.testing.assert_close(feats[0], zeros[:50], atol=1e-3, rtol=0)


def test_one_utterance_has_no_other():
    with pytest.raises(ValueError, match="one utterance"):
        with_other_audio([Row("u", "s", "text", None, None, "en", "a.ark", 0, 100)])
