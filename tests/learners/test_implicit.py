"""The implicit gradient against closed forms on quadratics, and against a long unrolled loop."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fsjax.learners.gradient import constant, inner_loop
from fsjax.learners.implicit import implicit

RNG = np.random.default_rng(0)
SIZE, STRENGTH = 3, 0.7
ROOT = RNG.normal(size=(SIZE, SIZE))
A = ROOT @ ROOT.T / SIZE  # of the loss p'Ap/2 - b'p
B, START, GOAL = RNG.normal(size=(3, SIZE))


@pytest.fixture(autouse=True)
def double_precision():
    with jax.enable_x64(True):
        yield


def distance_to_goal(start, b, loop, steps):
    def loss(p, i):
        return p @ jnp.asarray(A) @ p / 2 - b @ p

    end = loop(loss, start, constant(0.3, steps=steps).of({}, start)).params
    return jnp.square(end - jnp.asarray(GOAL)).sum() / 2


@pytest.mark.parametrize("jitted", [False, True])
def test_gradients_are_those_of_the_minimum(jitted):
    """p = (A + s I)^-1 (b + s start), whatever of the loss is differentiated."""
    loop = implicit(strength=STRENGTH, iterations=SIZE)
    gradient = jax.grad(partial(distance_to_goal, loop=loop, steps=200), (0, 1))
    of_start, of_b = (jax.jit(gradient) if jitted else gradient)(jnp.array(START), jnp.array(B))
    inverse = np.linalg.inv(A + STRENGTH * np.eye(SIZE))
    u = inverse @ (inverse @ (B + STRENGTH * START) - GOAL)
    np.testing.assert_allclose(of_start, STRENGTH * u, rtol=1e-6)
    np.testing.assert_allclose(of_b, u, rtol=1e-6)


def network_loss(learned, loop, task):
    """Of queries, after adapting a and b to the support rows; c does not adapt."""
    x, y, query, target = task

    def predict(p, x):
        return jnp.tanh(x @ p["a"] + learned["c"]) @ p["b"]

    def loss(p, i):
        return jnp.square(predict(p, x) - y).mean()

    start = {"a": learned["a"], "b": learned["b"]}
    end = loop(loss, start, constant(0.2, steps=400).of({}, start)).params
    return jnp.square(predict(end, query) - target).mean()


def pulled(loss_fn, params, rates):
    """The same steps, each of which the outer gradient goes through."""

    def loss(p, i):
        apart = jax.tree.map(lambda p, q: jnp.square(p - q).sum(), p, params)
        return loss_fn(p, i) + STRENGTH / 2 * sum(jax.tree.leaves(apart))

    return inner_loop(loss, params, rates)


def test_it_agrees_with_a_long_unrolled_loop_over_tasks():
    learned = {"a": RNG.normal(size=(3, 4)), "b": RNG.normal(size=4), "c": RNG.normal(size=4)}
    tasks = [jnp.asarray(RNG.normal(size=(2, *s))) for s in ((6, 3), (6,), (5, 3), (5,))]

    def mean_loss(learned, loop):
        return jax.vmap(lambda *task: network_loss(learned, loop, task))(*tasks).mean()

    found, expected = (
        jax.jit(jax.grad(partial(mean_loss, loop=loop)))(jax.tree.map(jnp.asarray, learned))
        for loop in (implicit(strength=STRENGTH, iterations=30), pulled)
    )
    jax.tree.map(partial(np.testing.assert_allclose, rtol=1e-5, atol=1e-7), found, expected)
    assert all(np.abs(g).max() > 1e-3 for g in jax.tree.leaves(found))


def test_memory_does_not_grow_with_the_steps():
    def needed(loop, steps):
        def loss(start):
            x = jnp.ones((64, 64))
            end = loop(
                lambda p, i: jnp.square(jnp.tanh(x @ p) - 1).mean(),
                start,
                constant(0.1, steps=steps).of({}, start),
            ).params
            return jnp.square(end).sum()

        compiled = jax.jit(jax.grad(loss)).lower(jnp.ones((64, 64))).compile()
        return compiled.memory_analysis().temp_size_in_bytes

    of_matrix = 8 * 64 * 64
    loop = implicit(strength=1.0)
    assert needed(loop, 40) - needed(loop, 4) < of_matrix
    assert needed(inner_loop, 40) - needed(inner_loop, 4) > 36 * of_matrix


def test_what_cannot_converge_is_refused():
    for options in ({"strength": 0.0}, {"strength": 1.0, "iterations": 0}):
        with pytest.raises(ValueError, match="must be positive"):
            implicit(**options)
