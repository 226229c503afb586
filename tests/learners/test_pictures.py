"""Synthetic pictures beside real ones, seen by one network, against doing it by hand."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fsjax import heads
from fsjax.encoders.transfer import scaled
from fsjax.learners import pictures
from fsjax.learners.hallucinate import by_both, equal_weights
from fsjax.types import Episode, Generator, Inputs, Network, Support

RNG = np.random.default_rng(0)
KEY = jax.random.key(0)
WAYS, MADE, SHAPE, FEATURES = 3, 2, (2, 3, 1), 4


def apply(params, inputs, *, weight=None, stats=None, key=None, train=False):
    x = inputs.values["drawing"]
    return jnp.tanh(x.reshape(len(x), -1) @ params), {}


NETWORK = Network(lambda key, inputs: jax.random.normal(key, (6, FEATURES)), apply)
# Pictures are those of their class, moved by something learned, something noisy and the side.
GENERATOR = Generator(
    lambda key, examples: {"move": jnp.full(examples.rows.shape[1:], 0.1)},
    lambda params, condition, key: (
        condition.prototype
        + params["move"]
        + condition.side.sum(1).reshape(-1, 1, 1, 1)
        + jax.random.normal(key, condition.prototype.shape)
    ),
)


def inputs(rows):
    x = jnp.array(RNG.integers(0, 256, (rows, *SHAPE)), jnp.uint8)
    return Inputs({"drawing": x}, {"drawing": jnp.ones(rows)})


EYE = jnp.eye(WAYS)
TEXT = jnp.array(RNG.normal(size=(WAYS, 2)), jnp.float32)
SIDE = Inputs({"text": TEXT}, {"text": jnp.ones(WAYS)})
SUPPORT = Support(inputs(5), EYE[jnp.array([0, 1, 2, 1, 0])].at[4].set(0.0), SIDE)
EPISODE = Episode(SUPPORT, inputs(4), EYE[jnp.array([0, 1, 2, 0])].at[3].set(0.0))


def learner_of(rows=MADE, share=0.5):
    return pictures(
        scaled("drawing"),
        NETWORK,
        heads.prototype(),
        GENERATOR,
        modality="drawing",
        weights=equal_weights(rows, total=0.5),
        describe=by_both("text"),
        share=share,
    )


@pytest.fixture(scope="module")
def made():
    learner = learner_of()
    return learner, jax.jit(learner.init)(KEY, SUPPORT)


def as_seen(inputs):
    return np.float32(inputs.values["drawing"]) / 127.5 - 1


def embedded(params, x):
    return np.tanh(x.reshape(len(x), -1) @ np.asarray(params["network"]))


def test_prototypes_are_means_of_features_of_real_and_of_synthetic_pictures(made):
    learner, params = made
    noise = jax.random.normal(jax.random.split(KEY, 3)[2], (WAYS * MADE, *SHAPE))
    x, prototypes = as_seen(SUPPORT.inputs), []
    for way in range(WAYS):
        real = x[np.asarray(SUPPORT.labels[:, way]) == 1]
        fake = real.mean(0) + 0.1 + np.sum(TEXT[way]) + noise[MADE * way :][:MADE]
        total = embedded(params, real).sum(0) + 0.5 * embedded(params, np.array(fake)).mean(0)
        prototypes.append(total / (len(real) + 0.5))
    query = embedded(params, as_seen(EPISODE.query))
    apart = ((query[:, None] - np.array(prototypes)) ** 2).sum(-1)
    expected = -apart / np.exp(params["learner"]["head"]["log_temperature"])

    @jax.jit
    def logits(params):
        return learner.predict(params, learner.adapt(params, SUPPORT), EPISODE.query)

    np.testing.assert_allclose(logits(params), expected, rtol=1e-4, atol=1e-5)


def test_examples_are_pictures_in_the_range_that_encoders_see(made):
    learner, params = made
    examples = jax.jit(learner.examples)(params, EPISODE, KEY)
    np.testing.assert_allclose(examples.rows[:3], as_seen(EPISODE.query)[:3], rtol=1e-6)
    assert not np.any(examples.rows[3])
    x = as_seen(SUPPORT.inputs)
    means = [x[0], (x[1] + x[3]) / 2, x[2]]
    np.testing.assert_allclose(examples.condition.prototype[:3], means, rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(examples.weight, [1, 1, 1, 0])


def test_rows_are_features_of_all_the_synthetic_ones_in_their_share(made):
    learner, params = made
    z, y = jax.jit(learner.rows)(params, EPISODE, KEY)
    assert z.shape == (5 + 4 + WAYS * MADE, FEATURES)
    real = np.concatenate([as_seen(SUPPORT.inputs)[:4], as_seen(EPISODE.query)[:3]])
    kept = np.r_[:4, 5:8]
    np.testing.assert_allclose(z[kept], embedded(params, real), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(y[9:].sum() / y.sum(), 0.5, rtol=1e-5)


def test_one_network_learns_from_real_and_from_synthetic_pictures_and_so_does_the_generator(made):
    learner, params = made

    def loss(params):
        task = learner.adapt(params, SUPPORT, key=KEY, train=True)
        logits = learner.predict(params, task, EPISODE.query, key=KEY, train=True)
        return jnp.square(logits).sum()

    gradients = jax.jit(jax.grad(loss))(params)
    assert set(gradients) == {"network", "learner", "generator"}
    assert all(np.any(x) for x in jax.tree.leaves(gradients))


def test_an_absent_picture_is_grey_whatever_it_holds():
    x = jnp.array(RNG.normal(size=(2, *SHAPE)), jnp.float32).at[1].set(jnp.nan)
    z, _ = scaled("x").apply({}, Inputs({"x": x}, {"x": jnp.array([1.0, 0.0])}))
    np.testing.assert_array_equal(z[0], x[0])
    assert not np.any(z[1])
