"""Losses after every inner step, and what changes in the course of training."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fsjax.objectives.losses import cross_entropy
from fsjax.objectives.multi_step import annealed, annealed_importance, multi_step_loss
from fsjax.types import Episode, Inputs, Learner, Support

RNG = np.random.default_rng(0)
X = jnp.asarray(RNG.normal(size=(5, 3)), jnp.float32)
TARGETS = jnp.eye(2)[jnp.array([0, 1, 1, 0, 1])]
EPISODE = Episode(Support(None, None, None), Inputs({"x": X}, {}), TARGETS)
PARAMS = jnp.asarray(RNG.normal(size=(3, 2)), jnp.float32)
STEPS = 3


def predict(params, task, query, *, key=None, train=False):
    """As if each inner step had doubled the parameters."""
    doubled = params * 2.0 ** jnp.arange(STEPS + 1)[:, None, None]
    return query.values["x"] @ doubled


LEARNER = Learner(None, lambda params, support, **options: None, predict)


@pytest.mark.parametrize("step", [0, 25, 50, 1000])
def test_weights_fall_along_a_line_to_a_hundredth_and_sum_to_one(step):
    found = jax.jit(annealed_importance(100), static_argnums=1)(jnp.asarray(step), STEPS)
    others = max((1 - step / 100) / STEPS, 0.03 / STEPS)
    np.testing.assert_allclose(found, [others, others, 1 - 2 * others], rtol=1e-5)


@pytest.mark.parametrize("jitted", [False, True])
def test_the_loss_is_the_weighted_sum_after_each_step(jitted):
    weights = jnp.array([0.5, 0.2, 0.3])
    watch = {"same": cross_entropy}
    objective = multi_step_loss(LEARNER, lambda step, steps: weights * step, watch=watch)
    run = jax.jit(objective) if jitted else objective
    gradients, metrics = run(PARAMS, EPISODE, jax.random.key(0), jnp.asarray(2.0))

    def total(params):
        each = [cross_entropy(X @ params * 2.0**k, TARGETS) for k in (1, 2, 3)]
        return 2 * (0.5 * each[0] + 0.2 * each[1] + 0.3 * each[2])

    np.testing.assert_allclose(gradients, jax.grad(total)(PARAMS), rtol=1e-4, atol=1e-6)
    last = cross_entropy(X @ PARAMS * 8, TARGETS)
    np.testing.assert_allclose([metrics["loss"], metrics["same"]], [last, last], rtol=1e-5)


def test_one_objective_before_a_step_and_another_from_there_on():
    def constant(value):
        return lambda params, batch, key, step: (params * value, {"loss": jnp.asarray(value)})

    objective = jax.jit(annealed(constant(1.0), constant(2.0), at=5))
    found = [objective(PARAMS, EPISODE, jax.random.key(0), jnp.asarray(i)) for i in (4, 5)]
    np.testing.assert_array_equal([m["loss"] for _, m in found], [1.0, 2.0])
    np.testing.assert_array_equal(found[1][0], PARAMS * 2)


def test_weights_that_never_change_are_refused():
    with pytest.raises(ValueError, match="until some step, got 0"):
        annealed_importance(0)
