"""The error of generated rows in units of their variance, against NumPy."""

import jax
import jax.numpy as jnp
import numpy as np

from fsjax.objectives.regression import regression
from fsjax.types import Condition, Examples, Generator

RNG = np.random.default_rng(0)
KEY, STEP = jax.random.key(0), jnp.zeros((), jnp.int32)
WEIGHT = jnp.array([1.0, 1.0, 0.5, 0.0])
# Rows of weight zero may be anything that is finite.
ROWS = {
    m: jnp.array(RNG.normal(size=(4, d)) * d, jnp.float32).at[3].set(1e3)
    for m, d in (("a", 2), ("b", 5))
}
SHIFTED = Generator(None, lambda p, condition, key: condition.prototype + p)


def examples(params, episode, key):
    assert episode == "episode"
    of_none = {m: Condition(jnp.zeros_like(x), jnp.zeros((4, 0))) for m, x in ROWS.items()}
    return {m: Examples(x * params["network"], of_none[m], WEIGHT) for m, x in ROWS.items()}


PARAMS = {"generator": {"a": jnp.zeros(2), "b": jnp.ones(5)}, "network": jnp.array(1.0)}


def expected(params):
    shares = []
    for m, rows in ROWS.items():
        x, w = np.float64(rows[:3]), np.float64(WEIGHT[:3])
        mean = np.average(x, axis=0, weights=w)
        error = np.average(((x - params[m]) ** 2).sum(1), weights=w)
        shares.append(error / np.average(((x - mean) ** 2).sum(1), weights=w))
    return np.mean(shares)


def test_the_loss_is_the_share_that_is_not_explained_and_the_generator_alone_moves():
    gradients, metrics = jax.jit(regression(SHIFTED, examples), static_argnums=1)(
        PARAMS, "episode", KEY, STEP
    )
    of = {m: np.float64(x) for m, x in PARAMS["generator"].items()}
    np.testing.assert_allclose(metrics["loss"], expected(of), rtol=1e-5)
    for m, x in of.items():
        for i in range(len(x)):
            more, less = (of | {m: x + s * np.eye(len(x))[i]} for s in (1e-4, -1e-4))
            slope = (expected(more) - expected(less)) / 2e-4
            np.testing.assert_allclose(gradients["generator"][m][i], slope, rtol=1e-3, atol=1e-5)
    assert not gradients["network"]


def test_rows_that_are_all_alike_or_have_no_weight_leave_it_finite():
    def alike(params, episode, key):
        condition = Condition(jnp.zeros((2, 3)), jnp.zeros((2, 0)))
        rows = Examples(jnp.ones((2, 3)), condition, jnp.ones(2))
        return {"a": rows, "b": rows._replace(weight=jnp.zeros(2))}

    params = {"generator": {"a": jnp.zeros(3), "b": jnp.zeros(3)}}
    gradients, metrics = jax.jit(regression(SHIFTED, alike))(params, None, KEY, STEP)
    np.testing.assert_allclose(metrics["loss"], 1.5)
    assert all(np.isfinite(g).all() for g in jax.tree.leaves(gradients))
