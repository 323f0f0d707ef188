import numpy as np
import pytest
from sacrebleu.metrics import BLEU, CHRF

from speechllm.errors import UserError
from speechllm.score.bleu import TranslationMetric
from speechllm.score.metrics import make_metric

REFS = ["The old man sells seven red apples.", "She reads a book by the river.", "Good night!", ""]
HYPS = ["The old man sold seven apples.", "She reads a book at the river.", "", "Hello there."]


@pytest.mark.parametrize(("name", "theirs"), [("bleu", BLEU()), ("chrf", CHRF())])
def test_sums_of_statistics_give_the_corpus_score(name, theirs):
    metric = TranslationMetric(name)
    stats = metric.stats(REFS, HYPS)
    assert len(stats) == len(REFS)
    expected = theirs.corpus_score(HYPS, [REFS])
    assert metric.value(stats.sum(axis=0)) == pytest.approx(expected.score, abs=1e-9)
    assert metric.signature == f"{name} {theirs.get_signature()}"


def test_samples_are_scored_as_corpora():
    metric = TranslationMetric("bleu")
    stats = metric.stats(REFS, HYPS)
    twice = np.stack([stats[[0, 0, 1]].sum(axis=0), stats.sum(axis=0)])
    picked = [0, 0, 1]
    expected = BLEU().corpus_score([HYPS[i] for i in picked], [[REFS[i] for i in picked]]).score
    assert metric.value(twice)[0] == pytest.approx(expected)


def test_tokenizer_of_the_target_language():
    refs, hyps = ["我喜欢读书。"], ["我喜欢看书。"]
    metric = make_metric("bleu", tokenize="zh")
    expected = BLEU(tokenize="zh").corpus_score(hyps, [refs]).score
    assert metric.value(metric.stats(refs, hyps, "").sum(axis=0)) == pytest.approx(expected)
    assert "tok:zh" in metric.signature


def test_unknown_names_are_refused():
    with pytest.raises(UserError, match="'14a' is none of 13a"):
        make_metric("bleu", tokenize="14a")
    with pytest.raises(UserError, match="metric 'meteor' is none of wer cer bleu chrf"):
        make_metric("meteor")
