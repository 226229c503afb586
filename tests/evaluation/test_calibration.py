"""Temperatures: they undo a known overconfidence, and are those of a search in NumPy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fsjax.evaluation.calibration import (
    TEMPERATURES,
    at_temperature,
    choose_temperature,
    likelihood_by_temperature,
)
from fsjax.evaluation.figures import (
    accuracy,
    expected_calibration_error,
    negative_log_likelihood,
    reliability,
)

EPISODES, QUERIES, WAYS = 30, 100, 4
HOT = 2.0**1.5  # by which the logits are too large


def drawn(seed):
    """Logits whose softmax at temperature HOT is the law of the targets."""
    rng = np.random.default_rng(seed)
    logits = HOT * rng.normal(size=(EPISODES, QUERIES, WAYS))
    noise = rng.gumbel(size=logits.shape)
    return jnp.array(logits, jnp.float32), jnp.eye(WAYS)[(logits / HOT + noise).argmax(-1)]


def naive_nll(logits, targets, temperature):
    z = np.float64(logits) / temperature
    return (np.log(np.exp(z).sum(-1)) - (z * targets).sum(-1)).mean()


@pytest.mark.parametrize("jit", [False, True])
def test_likelihoods_are_those_of_divided_logits(jit):
    f = jax.jit(likelihood_by_temperature) if jit else likelihood_by_temperature
    logits, targets = (x[0] for x in drawn(0))
    some = targets.at[:5].set(0.0)  # rows without a target are ignored
    expected = [naive_nll(logits[5:], targets[5:], t) for t in TEMPERATURES]
    np.testing.assert_allclose(f(logits, some), expected, rtol=1e-4)


def test_the_temperature_chosen_is_the_one_that_was_applied_and_calibrates_others():
    found = choose_temperature(jax.vmap(likelihood_by_temperature)(*drawn(0)))
    assert found == pytest.approx(HOT)
    logits, targets = drawn(1)
    raw = expected_calibration_error(jax.vmap(reliability)(logits, targets))
    mended = jax.vmap(at_temperature(reliability, found))(logits, targets)
    assert expected_calibration_error(mended) < 0.03 < 0.1 < raw


def test_a_figure_at_a_temperature_keeps_its_name_and_the_ranking():
    logits, targets = (x[0] for x in drawn(2))
    calibrated = at_temperature(negative_log_likelihood, 2.0)
    assert calibrated.__name__ == "calibrated_negative_log_likelihood"
    np.testing.assert_allclose(
        calibrated(logits, targets), naive_nll(logits, targets, 2.0), rtol=1e-5
    )
    assert at_temperature(accuracy, 9.0)(logits, targets) == accuracy(logits, targets)


def test_episodes_that_are_not_finite_choose_no_temperature():
    likelihoods = np.tile(np.square(np.arange(len(TEMPERATURES)) - 30.0), (3, 1))
    likelihoods[0, 2] = np.nan
    assert choose_temperature(likelihoods) == TEMPERATURES[30]
    assert choose_temperature(likelihoods[:1]) == 1.0
