"""The best single modality of each query, against a choice by hand."""

import numpy as np
import pytest

from fsjax.evaluation.present import best_present


def test_each_query_is_answered_by_the_modality_with_the_best_hope():
    right = {"image": [[1, 0, 1, 0, 1]], "text": [[0, 1, 0, 1, 1]]}
    covered = {"image": [[1.0, 1.0, 0.5, 0.0, 0.0]], "text": [[1.0, 0.0, 1.0, 1.0, 0.0]]}
    # image, image, text (0.7 > 0.45), text, a guess of 1 in 4
    found = best_present(right, covered, {"image": 0.9, "text": 0.7}, ways=4)
    assert found == pytest.approx([(1 + 0 + 0 + 1 + 0.25) / 5])


def test_against_one_query_after_the_other():
    rng = np.random.default_rng(0)
    names, skill = ("a", "b", "c"), {"a": 0.5, "b": 0.8, "c": 0.6}
    right = {name: rng.integers(0, 2, (6, 7)) for name in names}
    covered = {name: rng.integers(0, 3, (6, 7)) / 2 for name in names}
    expected = np.zeros((6, 7))
    for place in np.ndindex(6, 7):
        hopes = {name: covered[name][place] * skill[name] for name in names}
        best = max(hopes, key=hopes.get)
        expected[place] = right[best][place] if hopes[best] else 1 / 5
    assert (expected == 1 / 5).any()
    found = best_present(right, covered, skill, ways=5)
    np.testing.assert_allclose(found, expected.mean(1))
