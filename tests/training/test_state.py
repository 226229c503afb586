"""A chunk of steps against single steps and against a loop in Python; compiled once."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from fsjax.encoders.multimodal import multimodal
from fsjax.encoders.tabular import MLP
from fsjax.fusion.pooled import Concat
from fsjax.heads.prototype import prototype
from fsjax.learners.metric import metric
from fsjax.objectives.episodic import over_tasks, query_loss
from fsjax.training.loop import keep_best
from fsjax.training.state import init_state, train_chunk
from fsjax.types import Episode, Inputs, Support

KEY = jax.random.key(7)
PARAMS = {"w": jnp.array([1.0, -2.0, 3.0]), "b": jnp.array(0.5, jnp.float32)}
OPTIMIZER = optax.adam(optax.linear_schedule(0.1, 0.0, 20))
TRACES = []


@jax.tree_util.Partial
def sample(key):
    return jax.random.normal(key, (4, 3))


@pytest.fixture(autouse=True, scope="module")
def all_optimizations():
    """Bits are compared as the compiler makes them in a run, not as in quick tests."""
    jax.config.update("jax_disable_most_optimizations", False)
    yield
    jax.config.update("jax_disable_most_optimizations", True)


def quadratic(params, batch, key, step):
    """Noisy, annealed by the step, and counting how often it is traced."""
    TRACES.append(step)
    target = batch + jax.random.normal(key, (3,)) / (1.0 + step)

    def loss(params):
        return jnp.square(params["w"] + params["b"] - target).sum(-1).mean()

    value, gradients = jax.value_and_grad(loss)(params)
    return gradients, {"loss": value, "step": step}


def fresh(key=KEY):
    return init_state(key, PARAMS, OPTIMIZER)


def advance(state, steps, objective=quadratic):
    return train_chunk(
        state, sample=sample, objective=objective, optimizer=OPTIMIZER, num_steps=steps
    )


def bits(tree):
    """The leaves as NumPy, keys as the numbers that they are."""

    def plain(x):
        is_key = jnp.issubdtype(x.dtype, jax.dtypes.prng_key)
        return np.asarray(jax.random.key_data(x) if is_key else x)

    return jax.tree.map(plain, tree)


def assert_same(a, b):
    jax.tree.map(np.testing.assert_array_equal, bits(a), bits(b))


def test_a_fresh_state_has_done_nothing_and_anything_is_better_than_its_best():
    state = fresh()
    assert (int(state.step), float(state.best.figure), int(state.best.misses)) == (0, -np.inf, 0)
    assert_same((state.params, state.best.params, state.key), (PARAMS, PARAMS, KEY))


@pytest.mark.parametrize(("steps", "rounding"), [(2, 0.0), (3, 0.0), (1, 1e-5)])
def test_steps_are_the_same_in_one_chunk_or_several(steps, rounding):
    """To the bit, but that a compiler may take the loop off a chunk of a single step."""
    whole, metrics = advance(fresh(), 6)
    state, parts = fresh(), []
    for _ in range(0, 6, steps):
        state, one = advance(state, steps)
        parts.append(one)
    parts = jax.tree.map(lambda *x: jnp.concatenate(x), *parts)
    same = partial(np.testing.assert_allclose, rtol=rounding, atol=rounding)
    jax.tree.map(same, bits((state, parts)), bits((whole, metrics)))
    assert metrics["loss"].shape == (6,) and metrics["step"].tolist() == list(range(6))


def test_the_step_is_traced_once_for_all_chunks_of_one_length():
    state, metrics = advance(fresh(), 4)
    before = len(TRACES)
    # A new best must not differ in its types from the first one, which would compile again.
    validate = keep_best(lambda state: (state.params, float(state.step)), lambda *_: None)
    for _ in range(3):
        state, metrics = advance(validate(state, metrics), 4)
    advance(fresh(jax.random.key(1)), 4)
    assert len(TRACES) == before and int(state.best.step) == 12
    advance(state, 5)
    assert len(TRACES) > before


def test_a_chunk_equals_a_loop_in_python():
    params, opt_state, losses = PARAMS, OPTIMIZER.init(PARAMS), []
    for step in range(6):
        key_batch, key_objective = jax.random.split(jax.random.fold_in(KEY, step))
        batch = sample(key_batch)
        gradients, metrics = quadratic(params, batch, key_objective, jnp.asarray(step))
        updates, opt_state = OPTIMIZER.update(gradients, opt_state, params)
        params = optax.apply_updates(params, updates)
        losses.append(metrics["loss"])
    state, metrics = advance(fresh(), 6)
    np.testing.assert_allclose(metrics["loss"], losses, rtol=1e-5)
    for ours, expected in ((state.params, params), (state.opt_state, opt_state)):
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, 1e-5, 1e-6), ours, expected)


def test_a_chunk_leaves_the_key_and_the_best_as_they_were():
    state, _ = advance(fresh(), 6)
    assert_same((state.key, state.best), (fresh().key, fresh().best))
    assert int(state.step) == 6


def test_one_seed_gives_one_run_and_other_seeds_others():
    losses = [np.asarray(advance(fresh(jax.random.key(seed)), 6)[1]["loss"]) for seed in (0, 0, 1)]
    np.testing.assert_array_equal(losses[0], losses[1])
    assert not np.isclose(losses[0], losses[2]).any()


def test_seeds_are_a_vmap():
    keys = jax.random.split(KEY, 2)
    states = jax.vmap(fresh)(keys)
    together, _ = jax.vmap(lambda state: advance(state, 6))(states)
    for i in range(2):
        alone, _ = advance(fresh(keys[i]), 6)
        np.testing.assert_allclose(together.params["w"][i], alone.params["w"], rtol=1e-5)


@jax.tree_util.Partial
def episodes(key) -> Episode:
    """Two tasks of two ways with one draw of random numbers."""
    labels = jnp.eye(2)[jnp.array([0, 1, 0, 0, 1, 1])]
    x = jax.random.normal(key, (2, 6, 3)) + 2 * labels @ jnp.eye(2, 3)

    def inputs(x):
        return Inputs({"x": x}, {"x": jnp.ones(x.shape[:2])})

    y = jnp.broadcast_to(labels, (2, 6, 2))
    support = Support(inputs(x[:, :2]), y[:, :2], Inputs({}, {}))
    return Episode(support, inputs(x[:, 2:]), y[:, 2:])


@pytest.mark.parametrize("parts", [(2, 2, 2), (4, 2)])
def test_a_learner_trained_in_parts_is_the_one_trained_at_once_bit_for_bit(parts):
    """From two steps a chunk on: a loop of one step is compiled as no loop, and rounds its own."""
    learner = metric(multimodal({"x": MLP((8,), 4)}, Concat()), prototype())
    objective = over_tasks(query_loss(learner))

    def run(steps):
        episode = jax.tree.map(lambda x: x[0], episodes(KEY))
        state = init_state(KEY, learner.init(KEY, episode.support), OPTIMIZER)
        losses = []
        for n in steps:
            state, metrics = train_chunk(
                state, sample=episodes, objective=objective, optimizer=OPTIMIZER, num_steps=n
            )
            losses.extend(metrics["loss"].tolist())
        return state, losses

    (whole, losses), (state, others) = run((6,)), run(parts)
    assert losses == others
    assert_same(state, whole)
