"""Reptile against its definition, and where descending by it leads."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fsjax.objectives.losses import cross_entropy
from fsjax.objectives.reptile import reptile
from fsjax.types import Episode, Inputs, Learner, Support

RNG = np.random.default_rng(0)
RATE, STEPS = 0.3, 3


def rows(number):
    return Inputs({"x": jnp.asarray(RNG.normal(size=(number, 4)), jnp.float32)}, {})


EPISODE = Episode(
    Support(rows(4), jnp.eye(2)[jnp.array([0, 1, 1, 0])], None),
    rows(3),
    jnp.eye(2)[jnp.array([1, 0, 1])],
)
PARAMS = {"w": jnp.asarray(RNG.normal(size=(4, 2)), jnp.float32), "other": jnp.ones(2)}


def logits(w, inputs):
    return inputs.values["x"] @ w


def adapt(params, support, *, key=None, train=False):
    w = params["w"]
    for _ in range(STEPS):
        w -= RATE * jax.grad(lambda w: cross_entropy(logits(w, support.inputs), support.labels))(w)
    return w


LEARNER = Learner(None, adapt, lambda params, w, query, **options: logits(w, query))


@pytest.mark.parametrize("jitted", [False, True])
def test_the_gradient_is_the_difference_to_what_all_rows_adapt_to(jitted):
    objective = reptile(
        LEARNER, lambda w: {"w": w}, watch={"twice": lambda z, y: 2 * cross_entropy(z, y)}
    )
    objective = jax.jit(objective) if jitted else objective
    gradients, metrics = objective(PARAMS, EPISODE, jax.random.key(0), 0)
    x = np.concatenate([EPISODE.support.inputs.values["x"], EPISODE.query.values["x"]])
    y = np.concatenate([EPISODE.support.labels, EPISODE.targets])
    w = np.array(PARAMS["w"], np.float64)
    for _ in range(STEPS):
        p = np.exp(x @ w)
        w -= RATE * x.T @ (p / p.sum(1, keepdims=True) - y) / len(x)
    np.testing.assert_allclose(gradients["w"], PARAMS["w"] - w, rtol=1e-4, atol=1e-6)
    assert not np.any(gradients["other"])
    p = np.exp(x @ w)
    loss = -(y * np.log(p / p.sum(1, keepdims=True))).sum(1).mean()
    np.testing.assert_allclose([metrics["loss"], metrics["twice"]], [loss, 2 * loss], rtol=1e-4)
