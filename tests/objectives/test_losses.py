"""Losses against loops and optax; rows without a target."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from fsjax.heads.matching import matching
from fsjax.objectives.losses import cross_entropy, squared_error

RNG = np.random.default_rng(0)
LOGITS = jnp.array(3 * RNG.normal(size=(6, 4)), jnp.float32)
HARD = jnp.eye(4)[RNG.integers(0, 4, 6)]
SOFT = jnp.array(RNG.dirichlet(np.ones(4), 6), jnp.float32)
value_and_gradient = jax.jit(lambda loss, *x: jax.value_and_grad(loss)(*x), static_argnums=0)
LOSSES = pytest.mark.parametrize("loss", [cross_entropy, squared_error])


def naive(loss, logits, targets) -> float:
    """A loop over the rows that have a target."""
    rows = [(a, t) for a, t in zip(np.float64(logits), np.float64(targets), strict=True) if t.any()]
    if loss is squared_error:
        return np.mean([np.sum((1 / (1 + np.exp(-a)) - t) ** 2) for a, t in rows])
    return np.mean([-np.sum(t * (a - np.log(np.exp(a).sum()))) for a, t in rows])


@pytest.mark.parametrize("jit", [False, True])
@pytest.mark.parametrize("targets", [HARD, SOFT, HARD.at[1].set(0).at[4].set(0)])
@LOSSES
def test_losses_are_those_of_a_loop_over_rows_with_a_target(loss, targets, jit):
    value = (jax.jit(loss) if jit else loss)(LOGITS, targets)
    assert float(value) == pytest.approx(naive(loss, LOGITS, targets), rel=1e-5)


@pytest.mark.parametrize("targets", [HARD, SOFT])
def test_cross_entropy_is_that_of_optax(targets):
    expected = optax.softmax_cross_entropy(LOGITS, targets).mean()
    np.testing.assert_allclose(cross_entropy(LOGITS, targets), expected, rtol=1e-6)


@pytest.mark.parametrize("garbage", [1e30, np.inf, -np.inf, np.nan])
@LOSSES
def test_ignored_rows_change_neither_loss_nor_gradient_even_if_infinite(loss, garbage):
    value, gradient = value_and_gradient(loss, LOGITS, HARD)
    more = jnp.concatenate([LOGITS, jnp.full((2, 4), garbage)])
    padded = jnp.concatenate([HARD, jnp.zeros((2, 4))])
    value_more, gradient_more = value_and_gradient(loss, more, padded)
    np.testing.assert_allclose(value_more, value, rtol=1e-6)
    expected = jnp.concatenate([gradient, jnp.zeros((2, 4))])
    np.testing.assert_allclose(gradient_more, expected, rtol=1e-6)


@LOSSES
def test_a_class_that_is_no_answer_changes_neither_loss_nor_gradient(loss):
    value, gradient = value_and_gradient(loss, LOGITS, HARD)
    more = jnp.concatenate([LOGITS, jnp.full((6, 1), jnp.finfo(jnp.float32).min / 2)], axis=1)
    value_more, gradient_more = value_and_gradient(loss, more, jnp.pad(HARD, [(0, 0), (0, 1)]))
    np.testing.assert_allclose(value_more, value, rtol=1e-6)
    np.testing.assert_allclose(gradient_more, jnp.pad(gradient, [(0, 0), (0, 1)]), rtol=1e-6)


@LOSSES
def test_queries_of_a_class_that_was_no_answer_teach_nothing(loss):
    support, labels = jnp.eye(3), jnp.eye(3)[:, :2].at[2].set(0)
    labels = jnp.concatenate([labels, jnp.zeros((3, 1))], axis=1)  # no row of the last class
    head = matching()
    params = head.init(None, support, labels)

    def of_queries(z, targets):
        return loss(head.score(params, head.fit(params, support, labels), z), targets)

    z, targets = jnp.array(RNG.normal(size=(6, 3)), jnp.float32), jnp.eye(3)[jnp.arange(6) // 2]
    value, gradient = jax.value_and_grad(of_queries)(z, targets)
    np.testing.assert_allclose(value, of_queries(z[:4], targets[:4]), rtol=1e-6)
    assert jnp.isfinite(gradient).all() and (gradient[4:] == 0).all()


@LOSSES
def test_the_loss_without_any_target_is_zero(loss):
    value, gradient = value_and_gradient(loss, LOGITS, jnp.zeros((6, 4)))
    assert value == 0 and (gradient == 0).all()


@LOSSES
def test_arrays_of_another_rank_are_refused(loss):
    with pytest.raises(AssertionError):
        loss(LOGITS[None], HARD[None])


@LOSSES
def test_a_logit_that_is_nan_is_not_passed_over(loss):
    assert np.isnan(loss(LOGITS.at[0].set(jnp.nan), HARD))
