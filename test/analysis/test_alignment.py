"""Numbers and picture of the alignment."""

import numpy as np
import pytest

from speechllm.analysis.alignment import cosine_matrix, monotonicity, plot_alignment, sharpness


def test_cosine_matrix_against_the_definition():
    rng = np.random.default_rng(0)
    speech, text = rng.normal(size=(5, 7)), rng.normal(size=(3, 7))
    matrix = cosine_matrix(speech, text)
    for i in range(3):
        for j in range(5):
            want = text[i] @ speech[j] / np.sqrt((text[i] ** 2).sum() * (speech[j] ** 2).sum())
            assert matrix[i, j] == pytest.approx(want)


def test_monotonicity_of_known_orders():
    assert monotonicity(np.eye(6)) == 1
    assert monotonicity(np.eye(6)[::-1]) == -1
    assert monotonicity(np.eye(4)[[1, 0, 2, 3]]) == pytest.approx((5 - 1) / 6)
    assert np.isnan(monotonicity(np.eye(1)))
    random = [monotonicity(np.random.default_rng(s).normal(size=(8, 30))) for s in range(200)]
    assert abs(np.mean(random)) < 0.06


def test_sharpness_is_larger_for_a_clear_band():
    rng = np.random.default_rng(0)
    noise = rng.normal(size=(10, 40))
    band = noise + 8 * (np.arange(40)[None] // 4 == np.arange(10)[:, None])
    assert (
        sharpness(np.eye(10, 40)) > sharpness(band) > 0 and sharpness(band) > sharpness(noise) - 1
    )


def test_plot_is_written(tmp_path):
    plot_alignment(np.eye(3, 9), ["a", "b", "c"], "title", tmp_path / "a.png")
    assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")
