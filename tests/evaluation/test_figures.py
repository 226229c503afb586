"""Figures of an episode against loops."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fsjax.evaluation.abstention import confidences
from fsjax.evaluation.figures import (
    accuracy,
    accuracy_by_step,
    auroc,
    confusion,
    correct,
    expected_calibration_error,
    negative_log_likelihood,
    reliability,
)

RNG = np.random.default_rng(0)
QUERIES, WAYS = 40, 3
LOGITS = jnp.array(2 * RNG.normal(size=(QUERIES, WAYS)), jnp.float32)
LABELS = RNG.integers(0, WAYS, QUERIES)
GIVEN = np.arange(QUERIES) % 5 != 0
TARGETS = jnp.array(np.eye(WAYS)[LABELS] * GIVEN[:, None], jnp.float32)
JIT = pytest.mark.parametrize("jit", [False, True])


def softmax(logits) -> np.ndarray:
    e = np.exp(np.float64(logits))
    return e / e.sum(-1, keepdims=True)


def naive_ece(logits, labels, bins: int = 15) -> float:
    """Over the bins: share of the queries times |mean confidence - accuracy|."""
    p = softmax(logits)
    confidence, right = p.max(-1), p.argmax(-1) == labels
    error = 0.0
    for k in range(bins):
        inside = (confidence >= k / bins) & (confidence < (k + 1) / bins)
        if inside.any():
            gap = abs(confidence[inside].mean() - right[inside].mean())
            error += inside.mean() * gap
    return error


@JIT
def test_figures_are_those_of_a_loop_over_queries_with_a_target(jit):
    f = jax.jit if jit else lambda f: f
    right = [LOGITS[i].argmax() == LABELS[i] for i in range(QUERIES) if GIVEN[i]]
    loss = [-np.log(softmax(LOGITS)[i, LABELS[i]]) for i in range(QUERIES) if GIVEN[i]]
    np.testing.assert_allclose(f(accuracy)(LOGITS, TARGETS), np.mean(right), rtol=1e-6)
    ours = f(negative_log_likelihood)(LOGITS, TARGETS)
    np.testing.assert_allclose(ours, np.mean(loss), rtol=1e-5)


@JIT
def test_reliability_sums_queries_confidences_and_hits_by_confidence(jit):
    sums = (jax.jit(reliability) if jit else reliability)(LOGITS, TARGETS)
    count, confidence, right = np.asarray(sums)
    p = softmax(LOGITS)[GIVEN]
    place = (p.max(-1) * 15).astype(int)
    np.testing.assert_array_equal(count, np.bincount(place, minlength=15))
    np.testing.assert_allclose(confidence, np.bincount(place, p.max(-1), 15), rtol=1e-5)
    hits = p.argmax(-1) == LABELS[GIVEN]
    np.testing.assert_array_equal(right, np.bincount(place, hits, 15))


def test_the_calibration_error_of_episodes_is_that_of_all_their_queries():
    halves = map(jax.jit(reliability), jnp.split(LOGITS, 2), jnp.split(TARGETS, 2))
    expected = naive_ece(LOGITS[GIVEN], LABELS[GIVEN])
    assert expected_calibration_error(np.stack(list(halves))) == pytest.approx(expected, rel=1e-5)


def test_certain_and_right_is_calibrated_and_certain_and_wrong_is_not():
    certain = 100.0 * np.eye(WAYS, dtype=np.float32)
    right = reliability(certain, np.eye(WAYS))
    assert right[0, -1] == WAYS
    assert expected_calibration_error(right[None]) == expected_calibration_error(right) == 0.0
    wrong = reliability(certain, np.roll(np.eye(WAYS), 1, axis=0))
    assert expected_calibration_error(wrong[None]) == expected_calibration_error(wrong) == 1.0


def test_confusion_counts_targets_by_predictions():
    expected = np.zeros((WAYS, WAYS))
    for i in np.flatnonzero(GIVEN):
        expected[LABELS[i], LOGITS[i].argmax()] += 1
    np.testing.assert_array_equal(confusion(LOGITS, TARGETS), expected)
    first = np.flatnonzero(GIVEN)[0]
    expected[LABELS[first], LOGITS[first].argmax()] -= 1
    unanswered = LOGITS.at[first, 0].set(jnp.nan)
    np.testing.assert_array_equal(confusion(unanswered, TARGETS), expected)


@pytest.mark.parametrize("garbage", [np.inf, np.nan])
@pytest.mark.parametrize("figure", [accuracy, negative_log_likelihood, reliability, confusion])
def test_rows_without_a_target_change_nothing_even_if_infinite(figure, garbage):
    bad = jnp.where(GIVEN[:, None], LOGITS, garbage)
    np.testing.assert_array_equal(figure(bad, TARGETS), figure(LOGITS, TARGETS))


@pytest.mark.parametrize("figure", [accuracy, negative_log_likelihood, reliability, confusion])
def test_figures_of_no_targets_are_zero(figure):
    assert (figure(LOGITS, jnp.zeros_like(TARGETS)) == 0).all()


def test_a_class_that_is_no_answer_costs_nothing_and_nan_is_never_right():
    unknown = np.pad(LOGITS, ((0, 0), (0, 1)), constant_values=-np.inf)
    targets = np.pad(TARGETS, ((0, 0), (0, 1)))
    for figure in (accuracy, negative_log_likelihood):
        np.testing.assert_allclose(figure(unknown, targets), figure(LOGITS, TARGETS), rtol=1e-6)
    assert accuracy(jnp.full_like(TARGETS, jnp.nan), TARGETS) == 0


def test_a_query_that_has_no_answer_is_a_guess():
    none = jnp.full_like(TARGETS, -jnp.inf)
    others = jnp.where(TARGETS > 0, -jnp.inf, 0.0)
    np.testing.assert_allclose(negative_log_likelihood(others, TARGETS), np.log(WAYS), rtol=1e-6)
    np.testing.assert_allclose(negative_log_likelihood(none, TARGETS), np.log(WAYS), rtol=1e-6)
    for figure in (reliability, confidences, auroc):
        found, expected = figure(none, TARGETS), figure(jnp.zeros_like(TARGETS), TARGETS)
        np.testing.assert_array_equal(found, expected)


@JIT
@pytest.mark.parametrize("decimals", [0, 6])
def test_auroc_is_the_share_of_pairs_in_order_ties_by_half(jit, decimals):
    logits = jnp.round(LOGITS, decimals)
    score = np.asarray(logits).max(-1)
    pairs = [(a > b) + 0.5 * (a == b) for a in score[GIVEN] for b in score[~GIVEN]]
    ours = (jax.jit(auroc) if jit else auroc)(logits, TARGETS)
    np.testing.assert_allclose(ours, np.mean(pairs), rtol=1e-5)


def test_auroc_of_what_is_told_apart_and_of_what_is_not():
    far = LOGITS + 100.0 * GIVEN[:, None]
    assert auroc(far, TARGETS) == 1.0 and auroc(-far, TARGETS) == 0.0
    assert auroc(jnp.zeros_like(LOGITS), TARGETS) == 0.5
    assert auroc(LOGITS, jnp.ones_like(TARGETS)) == 0.0


def test_accuracies_by_step_are_those_of_each_step():
    steps = jnp.stack([LOGITS, -LOGITS, 2 * LOGITS])
    expected = [accuracy(z, TARGETS) for z in steps]
    np.testing.assert_array_equal(accuracy_by_step(steps, TARGETS), expected)


@pytest.mark.parametrize(
    "figure", [accuracy, correct, negative_log_likelihood, reliability, confusion, auroc]
)
def test_numbers_of_classes_are_no_targets(figure):
    with pytest.raises(AssertionError, match="rank"):
        figure(LOGITS, LABELS)
