"""Abstention beside a loop over all thresholds, and what is left out of it."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fsjax.evaluation import abstention

RNG = np.random.default_rng(0)


@given(
    st.lists(st.tuples(st.sampled_from([0.2, 0.5, 0.7, 0.9]), st.booleans()), min_size=1),
    st.floats(0, 1),
)
def test_the_least_confidence_is_the_first_of_all_that_keep_the_risk(rows, risk):
    confidence, right = map(np.array, zip(*rows, strict=True))
    kept = [
        c for c in sorted(set(confidence)) if 1 - np.mean(right[confidence >= c]) <= risk + 1e-12
    ]
    found = abstention.least_confidence(confidence, right, risk + 1e-12)
    assert found == (kept[0] if kept else math.inf)


def test_the_least_confidence_is_that_of_the_rows_that_count():
    confidence, right = np.array([0.7, np.nan, 0.9, 0.8]), np.array([1, 0, 1, 1])
    assert abstention.least_confidence(confidence, right, 0.0) == 0.7
    assert abstention.least_confidence(confidence[1:2], right[1:2], 0.0) == math.inf


@pytest.mark.parametrize("jit", [False, True])
def test_confidences_are_the_largest_probabilities_of_rows_that_count(jit):
    logits = RNG.normal(size=(5, 3)).astype(np.float32)
    targets = np.eye(3, dtype=np.float32)[[0, 1, 2, 0, 1]]
    targets[3] = 0
    figure = jax.jit(abstention.confidences) if jit else abstention.confidences
    confidence, right = figure(jnp.asarray(logits), jnp.asarray(targets))
    for i in range(5):
        p = np.exp(logits[i]) / np.exp(logits[i]).sum()
        if i == 3:
            assert np.isnan(confidence[i])
        else:
            assert confidence[i] == pytest.approx(p.max(), abs=1e-6)
            assert right[i] == (p.argmax() == targets[i].argmax())


def test_a_query_whose_logits_are_nan_counts_and_is_not_answered():
    logits = jnp.array([[2.0, 0.0], [jnp.nan, 0.0], [0.0, 0.0]])
    figures = abstention.confidences(logits, jnp.array([[1.0, 0.0], [0.0, 1.0], [0.0, 0.0]]))
    np.testing.assert_array_equal(abstention.answered(figures[None], 0.5), [[2, 1, 0]])


def test_shares_are_counted_over_all_episodes_and_ignore_padding():
    figures = np.array(
        [
            [[0.9, 0.6, np.nan], [1, 0, 1]],
            [[0.8, 0.7, 0.3], [0, 1, 1]],
        ]
    )
    counts = abstention.answered(figures, 0.6)
    assert counts.tolist() == [[2, 2, 1], [3, 2, 1]]
    assert abstention.share_answered(counts) == 4 / 5
    assert abstention.share_wrong(counts) == 2 / 4
    none = abstention.answered(figures, math.inf)
    assert abstention.share_answered(none) == 0 and abstention.share_wrong(none) == 0


def test_a_threshold_of_one_half_of_the_queries_keeps_the_risk_on_others():
    right = RNG.random(40000) < (p := RNG.uniform(0.3, 1, 40000))
    least = abstention.least_confidence(p[:20000], right[:20000], 0.1)
    figures = np.stack([p[20000:], right[20000:]])[None]
    counts = abstention.answered(figures, least)
    assert abstention.share_wrong(counts) == pytest.approx(0.1, abs=0.01)
    # Calibrated, so errors average 0.1 from the least confidence c on, where (1 - c) / 2 = 0.1.
    assert least == pytest.approx(0.8, abs=0.02)
    assert abstention.share_answered(counts) == pytest.approx(0.2 / 0.7, abs=0.02)
