"""Long recordings and the utterances they are made of are scored over the same words."""

import pytest
from audio_files import RATE, make_data_dir

from speechllm.bin import longform
from speechllm.data.audio import read_audio
from speechllm.data.data_dir import read_data_dir
from speechllm.data.tables import write_table


@pytest.mark.parametrize("minutes", [0.025, 0.05, 0.15])  # some utterances, some twice, all often
def test_a_decoder_that_errs_alike_has_the_same_wer_on_both(tmp_path, minutes):
    short, long = make_data_dir(tmp_path / "test"), tmp_path / "long"
    longform.extract(short, "")
    used = longform.record(short, long, minutes, 1, RATE)
    utts = {utt.utt_id: utt for utt in read_data_dir(short)}
    words = {utt_id: utt.text.split() for utt_id, utt in utts.items()}
    wrong = {}
    for i, (utt_id, own) in enumerate(words.items()):
        wrong[utt_id] = ["wrong"] * (i % 4) + own[i % 4 :]
    for name in ("hyp_short", "hyp_long"):
        (tmp_path / name).mkdir()
    write_table(tmp_path / "hyp_short/text", {u: " ".join(own) for u, own in wrong.items()})
    hyps = {}
    for recording in read_data_dir(long):
        own = [u for u in used if utts[u].lang == recording.lang]
        assert recording.text == " ".join(utts[u].text for u in own)
        seconds = sum(len(read_audio(utts[u].audio, RATE)) / RATE + longform.PAUSE for u in own)
        assert len(read_audio(recording.audio, RATE)) / RATE == pytest.approx(seconds, abs=1e-3)
        hyps[recording.utt_id] = " ".join(word for u in own for word in wrong[u])
    write_table(tmp_path / "hyp_long/text", hyps)
    wer = longform.error_rate(long, tmp_path / "hyp_long")
    assert wer > 0 and longform.error_rate(short, tmp_path / "hyp_short", used) == pytest.approx(
        wer
    )
    by_lang = []
    for lang in ("de", "en"):
        own = [u for u in words if utts[u].lang == lang]
        by_lang.append(sum(wrong[u].count("wrong") for u in own) / sum(len(words[u]) for u in own))
    once = longform.error_rate(short, tmp_path / "hyp_short")
    assert once == pytest.approx(100 * sum(by_lang) / 2)
