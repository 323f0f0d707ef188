import math

import numpy as np
import pytest

from speechllm.score.perplexity import perplexity, perplexity_of_sums


def test_every_token_weighs_the_same():
    # one utterance of 1 token with p = 1/16, one of 3 tokens with p = 1/2
    nlls = [[math.log(16)], [math.log(2)] * 3]
    assert perplexity(nlls) == pytest.approx((16 * 2**3) ** (1 / 4))


def test_uniform_model_has_the_vocabulary_size():
    assert perplexity([[math.log(50)] * 7, []]) == pytest.approx(50)


def test_resampled_sums_give_the_perplexity_of_each_sample():
    sums = np.array([[3 * math.log(2), 3], [math.log(16) + 3 * math.log(2), 4], [0, 0]])
    found = perplexity_of_sums(sums)
    assert found[:2] == pytest.approx([2, (16 * 2**3) ** (1 / 4)]) and np.isnan(found[2])


def test_no_token_is_refused():
    with pytest.raises(ValueError, match="no token"):
        perplexity([[], []])
