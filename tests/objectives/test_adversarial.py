"""Losses of generator and critic, against formulas and finite differences."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from fsjax.objectives.adversarial import adversarial, gradient_penalty, in_turns
from fsjax.types import Condition, Critic, Examples, Generator

RNG = np.random.default_rng(0)
KEY, STEP = jax.random.key(0), jnp.zeros((), jnp.int32)
ROWS = jnp.array(RNG.normal(size=(4, 3)), jnp.float32)
WEIGHT = jnp.array([1.0, 2.0, 0.5, 0.0])
CONDITION = Condition(jnp.array(RNG.normal(size=(4, 3)), jnp.float32), jnp.zeros((4, 0)))


def hidden(params, rows):
    return jnp.tanh(rows @ params["in"])


CRITIC = Critic(None, lambda p, rows, condition: (hidden(p, rows) * p["out"]).sum(-1))
MOVED = Generator(None, lambda p, condition, key: condition.prototype + p["move"])
PARAMS = {
    "critic": {
        "in": jnp.array(RNG.normal(size=(3, 5)), jnp.float32),
        "out": jnp.array(RNG.normal(size=5), jnp.float32),
    },
    "generator": {"move": jnp.array([0.5, -1.0, 2.0])},
    "network": jnp.ones(2),
}


def examples(params, episode, key):
    return Examples(ROWS * params["network"].sum() / 2, CONDITION, WEIGHT)


def test_the_slope_of_a_linear_critic_is_the_length_of_its_weights_wherever():
    w = jnp.array([3.0, 4.0])
    rows = jnp.array(RNG.normal(size=(6, 2)), jnp.float32)
    far, slope = jax.jit(lambda w: gradient_penalty(lambda rows: rows @ w, rows))(w)
    np.testing.assert_allclose(slope, np.full(6, 5.0), rtol=1e-6)
    np.testing.assert_allclose(far, np.full(6, 16.0), rtol=1e-6)


def test_a_critic_without_slope_has_a_finite_gradient():
    def penalty(w):
        return gradient_penalty(lambda rows: rows @ w, ROWS)[0].sum()

    assert np.isfinite(jax.grad(penalty)(jnp.zeros(3))).all()


def test_the_gradient_of_the_penalty_which_is_of_second_order_is_that_of_differences():
    with jax.enable_x64(True):
        params = jax.tree.map(lambda x: jnp.asarray(x, jnp.float64), PARAMS["critic"])
        rows = jnp.asarray(ROWS, jnp.float64)
        direction = jax.tree.map(lambda x: jnp.asarray(RNG.normal(size=x.shape)), params)

        @jax.jit
        def penalty(t):
            moved = jax.tree.map(lambda p, d: p + t * d, params, direction)
            return gradient_penalty(lambda rows: CRITIC.score(moved, rows, None), rows)[0].sum()

        expected = (penalty(1e-5) - penalty(-1e-5)) / 2e-5
        np.testing.assert_allclose(jax.grad(penalty)(0.0), expected, rtol=1e-7)


@pytest.fixture(scope="module")
def found():
    objective = jax.jit(adversarial(MOVED, CRITIC, examples, penalty=0.0))
    return objective(PARAMS, None, KEY, STEP)


def test_the_distance_is_how_much_higher_real_rows_score(found):
    fake = CONDITION.prototype + PARAMS["generator"]["move"]
    scores = [CRITIC.score(PARAMS["critic"], rows, CONDITION) for rows in (ROWS, fake)]
    distance = np.average(scores[0] - scores[1], weights=WEIGHT)
    np.testing.assert_allclose(found[1]["distance"], distance, rtol=1e-5)
    np.testing.assert_allclose(found[1]["loss"], -distance, rtol=1e-5)


def test_the_generator_climbs_and_the_critic_tells_apart_and_nothing_else_moves(found):
    def score(move, critic):
        rows = CONDITION.prototype + move
        return np.average(np.tanh(rows @ critic["in"]) @ critic["out"], weights=WEIGHT)

    move = np.float64(PARAMS["generator"]["move"])
    steps = 1e-4 * np.eye(3)
    slopes = [
        (score(move + e, PARAMS["critic"]) - score(move - e, PARAMS["critic"])) / 2e-4
        for e in steps
    ]
    np.testing.assert_allclose(found[0]["generator"]["move"], -np.array(slopes), rtol=2e-2)
    fake = np.average(hidden(PARAMS["critic"], CONDITION.prototype + move), axis=0, weights=WEIGHT)
    real = np.average(hidden(PARAMS["critic"], ROWS), axis=0, weights=WEIGHT)
    np.testing.assert_allclose(found[0]["critic"]["out"], fake - real, rtol=1e-4, atol=1e-5)
    assert not np.any(found[0]["network"])


def test_the_generator_moves_at_every_nth_step_and_sees_the_gradient_of_that_step_alone():
    one = {"generator": jnp.array(0.0), "critic": jnp.array(0.0), "network": {"a": jnp.array(0.0)}}
    optimizer = in_turns(optax.sgd(1.0), optax.sgd(0.1), optax.sgd(0.01), critic_steps=3)
    state, params, seen = optimizer.init(one), one, []
    for step in range(1, 7):
        gradients = jax.tree.map(lambda x, step=step: jnp.full_like(x, step), params)
        updates, state = optimizer.update(gradients, state, params)
        params = optax.apply_updates(params, updates)
        seen.append(float(params["generator"]))
    assert seen == [0, 0, -3, -3, -3, -9]
    np.testing.assert_allclose(params["critic"], -2.1, rtol=1e-6)
    np.testing.assert_allclose(params["network"]["a"], -0.21, rtol=1e-6)


def test_a_critic_that_takes_no_step_is_refused():
    with pytest.raises(ValueError, match="critic_steps=0"):
        in_turns(optax.sgd(1.0), optax.sgd(1.0), optax.sgd(1.0), critic_steps=0)
