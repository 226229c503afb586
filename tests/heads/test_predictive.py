"""Posterior predictive densities against conjugate inference by SciPy, and what they are worth."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.stats import multivariate_normal

from fsjax.heads import predictive, prototype

KEY = jax.random.key(0)
DIMENSIONS, SPREAD, PRIOR = 8, 0.7, 0.8
TRUE = {
    "log_temperature": jnp.log(2 * SPREAD),
    "log_prior": jnp.log(PRIOR),
    "log_dimensions": jnp.log(float(DIMENSIONS)),
}


def logits(head, params, z, y, queries):
    return head.score(params, head.fit(params, z, y), queries)


def drawn(rng, counts, queries=1):
    """Rows of classes of so many and queries of each, of the model that the head believes in."""
    means = rng.normal(size=(len(counts), DIMENSIONS)) * np.sqrt(SPREAD / PRIOR)
    labels, asked = np.repeat(range(len(counts)), counts), np.repeat(range(len(counts)), queries)
    z, q = (means[x] + rng.normal(size=(len(x), DIMENSIONS)) * SPREAD**0.5 for x in (labels, asked))
    return jnp.float32(z), jnp.eye(len(counts))[labels], jnp.float32(q), asked


def test_logits_are_the_log_densities_of_a_joint_gaussian_given_the_rows():
    """Rows and query of a class are jointly Gaussian: the density is a ratio of two joint ones."""
    z, y, queries, _ = drawn(np.random.default_rng(0), (1, 4, 2))
    middle = np.mean([z[:1].mean(0), z[1:5].mean(0), z[5:].mean(0)], axis=0)

    def joint(rows):
        n = len(rows)
        covariance = SPREAD * (np.eye(n) + np.ones((n, n)) / PRIOR)
        density = multivariate_normal(np.zeros(n), covariance).logpdf
        return sum(density(column) for column in np.float64(rows - middle).T)

    classes = [z[:1], z[1:5], z[5:]]
    expected = np.array(
        [[joint(np.vstack([rows, q])) - joint(rows) for rows in classes] for q in queries]
    )
    # The number of dimensions that is learned is such that beside the rows it is the true one.
    within = sum(np.square(rows - rows.mean(0)).sum() for rows in classes)
    learned = jnp.log(DIMENSIONS * (1 + len(z) - len(classes)) - within / SPREAD)
    for run in (logits, jax.jit(logits, static_argnums=0)):
        ours = run(predictive(), TRUE | {"log_dimensions": learned}, z, y, queries)
        np.testing.assert_allclose(
            jax.nn.log_softmax(ours), jax.nn.log_softmax(expected), rtol=1e-4, atol=1e-5
        )


def test_a_class_of_no_rows_is_what_lies_far_from_the_others():
    z = jnp.array([[0.0, 0.0], [2.0, 0.0]])
    y = jnp.eye(3)[:2]
    queries = jnp.array([[0.0, 0.1], [2.0, 0.1], [1.0, 9.0]])
    ours = logits(predictive(), predictive().init(KEY, z, y), z, y, queries)
    np.testing.assert_array_equal(ours.argmax(-1), [0, 1, 2])


def test_with_as_many_rows_of_each_class_it_decides_as_prototypes_do():
    z, y, queries, _ = drawn(np.random.default_rng(1), (3, 3, 3), queries=20)
    flat = TRUE | {"log_prior": jnp.log(1e-6)}
    np.testing.assert_array_equal(
        logits(predictive(), flat, z, y, queries).argmax(-1),
        logits(prototype(), TRUE, z, y, queries).argmax(-1),
    )


def test_it_is_right_more_often_than_prototypes_where_classes_have_unequal_rows():
    rng, run = np.random.default_rng(2), jax.jit(logits, static_argnums=0)
    heads, right = (predictive(), prototype()), np.zeros(2)
    for _ in range(50):
        z, y, queries, asked = drawn(rng, (1, 8, 1, 8), queries=25)
        right += [np.mean(run(head, TRUE, z, y, queries).argmax(-1) == asked) for head in heads]
    assert right[0] / 50 > right[1] / 50 + 0.02


def test_the_number_of_dimensions_is_that_of_the_rows_where_there_are_many():
    z, y, *_ = drawn(np.random.default_rng(3), (40, 40))
    _, _, dimensions = predictive().fit(TRUE | {"log_dimensions": jnp.log(90.0)}, z, y)
    assert dimensions == pytest.approx(DIMENSIONS + 90 / 79, rel=0.1)
    _, _, dimensions = predictive().fit(TRUE, z[::40], y[::40])
    assert dimensions == pytest.approx(DIMENSIONS)
