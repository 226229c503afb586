"""Prototypes against loops; padding, soft labels and temperature."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fsjax.heads.distances import cosine, euclidean, squared_euclidean
from fsjax.heads.prototype import class_means, prototype

RNG = np.random.default_rng(0)
KEY = jax.random.key(0)
DISTANCES = pytest.mark.parametrize("distance", [squared_euclidean, euclidean, cosine])


compiled_means = jax.jit(class_means)


def support(counts=(1, 3, 2), features=4):
    labels = np.repeat(np.arange(len(counts)), counts)
    return jnp.array(RNG.normal(size=(len(labels), features))), jnp.eye(len(counts))[labels]


@pytest.mark.parametrize("jit", [False, True])
@settings(max_examples=20, deadline=None)
@given(labels=st.lists(st.integers(0, 2), min_size=5, max_size=5))
def test_prototypes_are_the_means_of_each_class_also_with_unequal_shots(labels, jit):
    labels = np.array([0, 1, 2, *labels])  # every class, one shape: one compilation
    z = RNG.normal(size=(8, 4)).astype(np.float32)
    expected = [z[labels == w].mean(0) for w in range(3)]
    means = (compiled_means if jit else class_means)(z, np.eye(3, dtype=np.float32)[labels])
    np.testing.assert_allclose(means, expected, rtol=1e-5, atol=1e-6)


def test_soft_labels_weigh_the_rows():
    z, y = support()[0], jnp.array(RNG.dirichlet([1, 1, 1], size=6))
    expected = [sum(y[i, w] * z[i] for i in range(6)) / y[:, w].sum() for w in range(3)]
    np.testing.assert_allclose(class_means(z, y), expected, rtol=1e-5, atol=1e-6)


def test_a_class_without_rows_has_the_prototype_zero():
    z, y = support()
    np.testing.assert_array_equal(class_means(z, jnp.c_[y, jnp.zeros(6)])[3], np.zeros(4))


@DISTANCES
@pytest.mark.parametrize("jit", [False, True])
def test_logits_are_distances_to_the_means_over_the_temperature(distance, jit):
    head = prototype(distance=distance)
    z, y = support()
    query = jnp.array(RNG.normal(size=(5, 4)))
    params = {"log_temperature": jnp.log(0.3)}

    def logits(z, y, query):
        return head.score(params, head.fit(params, z, y), query)

    means = [z[0], z[1:4].mean(0), z[4:].mean(0)]
    expected = -distance(query, jnp.stack(means)) / 0.3
    ours = (jax.jit(logits) if jit else logits)(z, y, query)
    np.testing.assert_allclose(ours, expected, rtol=1e-5, atol=1e-5)


@DISTANCES
def test_padding_rows_change_nothing(distance):
    head = prototype(distance=distance)
    z, y = support()
    more_z = jnp.concatenate([z[:2], jnp.full((2, 4), 1e3), z[2:]])
    more_y = jnp.concatenate([y[:2], jnp.zeros((2, 3)), y[2:]])
    params = head.init(KEY, z, y)
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5),
        (params, head.fit(params, z, y)),
        (head.init(KEY, more_z, more_y), head.fit(params, more_z, more_y)),
    )


@DISTANCES
def test_gradients_are_finite_when_all_embeddings_are_one(distance):
    head = prototype(distance=distance)
    _, y = support()

    def total(params, z, query):
        log_p = jax.nn.log_softmax(head.score(params, head.fit(params, z, y), query))
        return log_p[:, 0].sum()

    z = jnp.ones((6, 4))
    gradients = jax.jit(jax.grad(total, argnums=(0, 1, 2)))(head.init(KEY, z, y), z, z)
    assert all(jnp.isfinite(g).all() for g in jax.tree.leaves(gradients))


@pytest.mark.parametrize("distance", [squared_euclidean, euclidean])
@pytest.mark.parametrize("scale", [1e-3, 1e3])
def test_the_first_logits_do_not_depend_on_the_scale_of_the_encoder(distance, scale):
    head = prototype(distance=distance)
    z, y = support()

    def first_logits(z):
        params = head.init(KEY, z, y)
        return head.score(params, head.fit(params, z, y), z)

    np.testing.assert_allclose(first_logits(scale * z), first_logits(z), rtol=1e-4, atol=1e-3)


def test_the_first_temperature_is_in_units_of_the_mean_distance_between_rows():
    z, y = support()
    pairs = [np.square(z[i] - z[j]).sum() for i in range(6) for j in range(6) if i != j]
    params = prototype(temperature=0.5).init(KEY, z, y)
    assert np.exp(params["log_temperature"]) == pytest.approx(0.5 * np.mean(pairs), rel=1e-4)


@pytest.mark.parametrize("z", [np.ones((6, 4)), np.ones((1, 4))])
def test_the_first_temperature_is_finite_without_any_distance(z):
    params = prototype(temperature=0.5).init(KEY, jnp.array(z), jnp.ones((len(z), 1)))
    assert np.exp(params["log_temperature"]) == pytest.approx(0.5)


@DISTANCES
def test_the_first_temperature_of_a_single_row_is_not_what_rounding_leaves_of_its_distance(
    distance,
):
    head, y = prototype(temperature=0.5, distance=distance), jnp.eye(3)[:, :1]
    rows = jnp.array(RNG.normal(size=(20, 3, 17)))  # the others are padding
    params = jax.vmap(lambda z: head.init(KEY, z, y))(rows)
    np.testing.assert_allclose(jnp.exp(params["log_temperature"]), 0.5, rtol=1e-6)


@pytest.mark.parametrize("temperature", [0.0, -1.0])
def test_a_temperature_that_is_not_positive_is_refused(temperature):
    with pytest.raises(ValueError, match="temperature must be positive, got"):
        prototype(temperature=temperature)
