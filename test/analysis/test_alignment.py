"""Numbers and picture of the alignment."""

from itertools import combinations_with_replacement

import numpy as np
import pytest

from speechllm.analysis import alignment
from speechllm.analysis.alignment import (
    cosine_matrix,
    drawable,
    monotonicity,
    path_similarity,
    plot_alignment,
    sharpness,
)


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


def test_the_best_way_against_trying_all():
    matrix = np.random.default_rng(1).normal(size=(4, 5))
    ways = combinations_with_replacement(range(5), 4)
    want = max(np.mean([matrix[i, j] for i, j in enumerate(way)]) for way in ways)
    assert path_similarity(matrix) == pytest.approx(want)


@pytest.mark.parametrize("num_positions", [5, 20, 60])
def test_scores_do_not_depend_on_the_number_of_positions_alone(num_positions):
    at = np.arange(20) * num_positions // 20
    perfect = (np.arange(num_positions)[None] == at[:, None]).astype(float)
    assert monotonicity(perfect) == 1
    assert sharpness(perfect, np.zeros_like(perfect)) == 1
    rng = np.random.default_rng(0)
    noise = [rng.normal(size=(2, 20, num_positions)) for _ in range(300)]
    assert abs(np.mean([monotonicity(own) for own, _ in noise])) < 0.05
    assert abs(np.mean([sharpness(own, other) for own, other in noise])) < 0.05
    band = [sharpness(own + 2 * perfect, other) for own, other in noise]
    assert np.mean(band) > 0.5


def test_characters_without_a_font_are_drawn_as_code_points(monkeypatch, tmp_path, recwarn):
    monkeypatch.setattr(alignment, "MORE_FONTS", ())
    families, drawn = drawable(["a\u017c", "\u2581\u6211\u7684", "\u0434\u0430"])
    assert families == ["DejaVu Sans"]
    assert drawn == ["a\u017c", "\u2581U+6211 U+7684", "\u0434\u0430"]
    plot_alignment(np.eye(2, 9), ["\u6211", "\u7684"], "\u4f60", tmp_path / "a.png")
    assert not [w for w in recwarn if "missing from font" in str(w.message)]


def test_plot_is_written(tmp_path):
    plot_alignment(np.eye(3, 9), ["a", "b", "c"], "title", tmp_path / "a.png")
    assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")
