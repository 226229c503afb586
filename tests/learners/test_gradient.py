"""The inner loop against closed forms on quadratics, and against finite differences."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fsjax.learners.gradient import (
    constant,
    extended,
    inner_loop,
    per_layer_and_step,
    per_parameter,
)

RNG = np.random.default_rng(0)
SIZE, STEPS, RATE = 3, 4, 0.1
ROOT = RNG.normal(size=(SIZE, SIZE))
A = ROOT @ ROOT.T / SIZE  # of the loss p'Ap/2 - b'p
B, START, GOAL = RNG.normal(size=(3, SIZE))
BOTH = pytest.mark.parametrize("jitted", [False, True])


def quadratic(p, i):
    return p @ jnp.asarray(A) @ p / 2 - jnp.asarray(B) @ p


def outer(p, first_order=False):
    rates = constant(RATE, steps=STEPS)
    sizes = rates.of(rates.init(p), p)
    adapted = inner_loop(quadratic, p, sizes, first_order=first_order)
    return jnp.square(adapted.params - jnp.asarray(GOAL)).sum() / 2


def naive_path():
    path, p = [], START
    for _ in range(STEPS):
        p = p - RATE * (A @ p - B)
        path.append(p)
    return np.array(path)


@BOTH
def test_the_path_is_that_of_gradient_descent(jitted):
    start = jnp.asarray(START, jnp.float32)
    rates = constant(RATE, steps=STEPS).of({}, start)
    run = partial(inner_loop, quadratic)
    last, path = (jax.jit(run) if jitted else run)(start, rates)
    np.testing.assert_allclose(path, naive_path(), rtol=1e-4, atol=1e-5)
    np.testing.assert_array_equal(last, path[-1])


@BOTH
def test_first_and_second_order_differ_by_the_curvature(jitted):
    """p_K = (I - rA)^K p + const, so the gradient is (I - rA)^K (p_K - goal), or without it."""
    for first_order in (False, True):
        gradient = jax.grad(partial(outer, first_order=first_order))
        found = (jax.jit(gradient) if jitted else gradient)(jnp.asarray(START, jnp.float32))
        flow = np.linalg.matrix_power(np.eye(SIZE) - RATE * A, 0 if first_order else STEPS)
        np.testing.assert_allclose(found, flow @ (naive_path()[-1] - GOAL), rtol=1e-4, atol=1e-5)


def test_the_gradient_through_a_network_is_that_of_finite_differences():
    with jax.enable_x64(True):
        x, y, query, target = (jnp.asarray(RNG.normal(size=s)) for s in ((6, 3), 6, (4, 3), 4))

        def predict(p, x):
            return jnp.tanh(x @ p["a"]) @ p["b"]

        def loss(learned):
            rates, p = learned["rates"], learned["params"]
            inner = inner_loop(lambda p, i: jnp.square(predict(p, x) - y).mean(), p, rates)
            return jnp.square(predict(inner.params, query) - target).mean()

        params = {"a": jnp.asarray(RNG.normal(size=(3, 5))), "b": jnp.asarray(RNG.normal(size=5))}
        learned = {"params": params, "rates": per_layer_and_step(0.1, steps=3).init(params)}
        gradient = jax.jit(jax.grad(loss))(learned)
        leaves, structure = jax.tree.flatten(learned)
        for turn in range(3):
            way = [jnp.asarray(np.random.default_rng(turn).normal(size=x.shape)) for x in leaves]
            ends = [
                loss(
                    jax.tree.unflatten(
                        structure, [x + e * w for x, w in zip(leaves, way, strict=True)]
                    )
                )
                for e in (1e-5, -1e-5)
            ]
            slope = sum(jnp.vdot(g, w) for g, w in zip(jax.tree.leaves(gradient), way, strict=True))
            np.testing.assert_allclose((ends[0] - ends[1]) / 2e-5, slope, rtol=1e-5)


def test_rematerialised_steps_give_the_same_gradient_in_less_memory():
    x = jnp.asarray(RNG.normal(size=(400, SIZE)), jnp.float32)

    def loss(p, i):
        hidden = x @ p
        for _ in range(6):
            hidden = jnp.tanh(hidden) + x
        return jnp.square(hidden).mean()

    def compiled(rematerialise):
        def outer(p):
            rates = constant(RATE, steps=20).of({}, p)
            return jnp.sum(inner_loop(loss, p, rates, rematerialise=rematerialise).params ** 3)

        return jax.jit(jax.grad(outer)).lower(start).compile()

    start = jnp.asarray(RNG.normal(size=(SIZE, SIZE)), jnp.float32)
    plain, again = compiled(False), compiled(True)
    np.testing.assert_allclose(again(start), plain(start), rtol=1e-4)
    sizes = [run.memory_analysis().temp_size_in_bytes for run in (again, plain)]
    assert sizes[0] < sizes[1] / 4


def test_rates_are_learned_in_the_shapes_of_the_papers_and_the_last_goes_on():
    params = {"w": jnp.zeros((2, 3)), "b": jnp.zeros(3)}
    for make, learned, used in (
        (constant, {}, {"w": (4,), "b": (4,)}),
        (per_parameter, {"w": (2, 3), "b": (3,)}, {"w": (4, 2, 3), "b": (4, 3)}),
        (per_layer_and_step, {"w": (4,), "b": (4,)}, {"w": (4,), "b": (4,)}),
    ):
        rates = make(0.5, steps=4)
        start = rates.init(params)
        assert jax.tree.map(jnp.shape, start) == learned
        assert jax.tree.map(jnp.shape, rates.of(start, params)) == used
        assert all((x == 0.5).all() for x in jax.tree.leaves(rates.of(start, params)))
        with pytest.raises(ValueError, match="a step at least"):
            make(0.5, steps=0)
    some = jnp.array([[1.0, 2], [3, 4]])
    np.testing.assert_array_equal(extended(some, 4), some[jnp.array([0, 1, 1, 1])])
    np.testing.assert_array_equal(extended(some, 1), some[:1])


def test_the_loss_is_told_the_step():
    def loss(p, i):
        return p * jnp.where(i == 1, 10.0, 1.0)

    path = inner_loop(loss, jnp.zeros(()), jnp.ones(3)).path
    np.testing.assert_array_equal(path, [-1, -11, -12])
