"""Episodic objectives against loops and finite differences, on a linear network."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fsjax.evaluation.figures import accuracy
from fsjax.heads.prototype import prototype
from fsjax.learners.metric import metric
from fsjax.objectives.episodic import over_tasks, query_loss
from fsjax.objectives.losses import cross_entropy, squared_error
from fsjax.types import Episode, Inputs, Learner, Network, Support

TASKS, STEP, KEY = 3, jnp.zeros((), jnp.int32), jax.random.key(0)


def linear() -> Network:
    return Network(
        lambda key, inputs: jax.random.normal(key, (inputs.values["x"].shape[-1], 2)),
        lambda params, inputs, **_: (inputs.values["x"] @ params, {}),
    )


def tasks() -> Episode:
    """Three tasks of two ways, two shots and two queries, one of them ignored."""
    rng = np.random.default_rng(0)
    labels = jnp.tile(jnp.repeat(jnp.eye(2), 2, axis=0), (TASKS, 1, 1))

    def inputs():
        x = jnp.array(rng.normal(size=(TASKS, 4, 3)), jnp.float32)
        return Inputs({"x": x}, {"x": jnp.ones((TASKS, 4))})

    support = Support(inputs(), labels, Inputs({}, {}))
    return Episode(support, inputs(), labels.at[:, -1].set(0.0))


BATCH = tasks()
EPISODES = [jax.tree.map(lambda x, i=i: x[i], BATCH) for i in range(TASKS)]
LEARNER = metric(linear(), prototype(temperature=1.0))
PARAMS = LEARNER.init(KEY, EPISODES[0].support)


def loss_of(params, episode, loss=cross_entropy):
    logits = LEARNER.predict(params, LEARNER.adapt(params, episode.support), episode.query)
    return loss(logits, episode.targets)


@pytest.mark.parametrize("loss", [cross_entropy, squared_error])
def test_the_gradient_is_that_of_finite_differences(loss):
    objective = jax.jit(query_loss(LEARNER, loss))
    gradients, metrics = objective(PARAMS, EPISODES[0], KEY, STEP)
    flat, unflatten = jax.flatten_util.ravel_pytree(PARAMS)
    value = jax.jit(lambda p: loss_of(unflatten(p), EPISODES[0], loss))
    h = 1e-2
    steps = h * np.eye(len(flat), dtype=np.float32)
    differences = [(value(flat + s) - value(flat - s)) / (2 * h) for s in steps]
    ours = jax.flatten_util.ravel_pytree(gradients)[0]
    np.testing.assert_allclose(ours, differences, rtol=1e-2, atol=1e-3)
    np.testing.assert_allclose(metrics["loss"], value(flat), rtol=1e-5)


@pytest.mark.parametrize("block", [None, 1, 2, 5])
def test_over_tasks_is_the_mean_of_a_loop(block):
    one = jax.jit(query_loss(LEARNER, watch={"accuracy": accuracy}))
    ours = jax.jit(over_tasks(one, block=block))(PARAMS, BATCH, KEY, STEP)
    each = [one(PARAMS, episode, KEY, STEP) for episode in EPISODES]
    expected = jax.tree.map(lambda *x: sum(x) / TASKS, *each)
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6), ours, expected
    )


def test_watched_figures_are_reported_and_not_optimised():
    plain, metrics = jax.jit(query_loss(LEARNER))(PARAMS, EPISODES[1], KEY, STEP)
    assert set(metrics) == {"loss"}
    watch = {"accuracy": accuracy, "error": squared_error}
    watched, metrics = jax.jit(query_loss(LEARNER, watch=watch))(PARAMS, EPISODES[1], KEY, STEP)
    jax.tree.map(np.testing.assert_array_equal, watched, plain)
    np.testing.assert_allclose(metrics["loss"], loss_of(PARAMS, EPISODES[1]), rtol=1e-5)
    expected = loss_of(PARAMS, EPISODES[1], squared_error)
    np.testing.assert_allclose(metrics["error"], expected, rtol=1e-5)
    np.testing.assert_allclose(metrics["accuracy"], loss_of(PARAMS, EPISODES[1], accuracy))


def test_every_task_has_a_key_of_its_own_and_is_told_that_it_trains():
    def record(params, *args, key, train):
        assert train
        return jax.random.normal(key, (4, 2)) + params

    learner = Learner(None, record, record)

    def first(logits, targets):
        return logits[0, 0]

    def noise(key):
        return query_loss(learner, first)(jnp.zeros(()), EPISODES[0], key, STEP)[1]["loss"]

    @jax.jit
    def objective(batch, key):
        return over_tasks(query_loss(learner, first))(jnp.zeros(()), batch, key, STEP)[1]["loss"]

    def copies(number):
        return jax.tree.map(lambda x: jnp.stack([x] * number), EPISODES[0])

    twice = objective(copies(2), KEY)
    assert twice == objective(copies(2), KEY) != objective(copies(2), jax.random.key(1))
    # Two copies of a task do not share their noise: their mean is that of two keys.
    alone = [noise(k) for k in jax.random.split(KEY)]
    assert alone[0] != alone[1]
    np.testing.assert_allclose(twice, sum(alone) / 2, rtol=1e-5)
