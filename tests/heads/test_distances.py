"""Distances against loops, and their gradients where they are not smooth."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fsjax.heads.distances import cosine, euclidean, squared_euclidean

RNG = np.random.default_rng(0)
A, B = RNG.normal(size=(5, 3)), RNG.normal(size=(4, 3))
NAIVE = {
    squared_euclidean: lambda a, b: sum((x - y) ** 2 for x, y in zip(a, b, strict=True)),
    euclidean: lambda a, b: np.linalg.norm(a - b),
    cosine: lambda a, b: 1 - a @ b / np.linalg.norm(a) / np.linalg.norm(b),
}
DISTANCES = pytest.mark.parametrize("distance", NAIVE, ids=lambda f: f.__name__)


@pytest.mark.parametrize("jit", [False, True])
@DISTANCES
def test_distances_are_those_of_a_loop_over_pairs(distance, jit):
    expected = [[NAIVE[distance](a, b) for b in B] for a in A]
    ours = (jax.jit(distance) if jit else distance)(jnp.array(A), jnp.array(B))
    np.testing.assert_allclose(ours, expected, rtol=1e-5, atol=1e-5)


@DISTANCES
def test_a_row_is_at_distance_zero_from_itself(distance):
    np.testing.assert_allclose(jnp.diag(distance(jnp.array(A), jnp.array(A))), 0.0, atol=1e-6)


@DISTANCES
def test_no_precision_is_lost_far_from_the_origin(distance):
    far = jnp.array(A, jnp.float32) + 1000.0
    expected = [[NAIVE[distance](a, b) for b in np.float64(far)] for a in np.float64(far)]
    np.testing.assert_allclose(distance(far, far), expected, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("value", [0.0, 2.0])
@DISTANCES
def test_gradients_are_finite_at_identical_rows(distance, value):
    rows = jnp.full((3, 2), value)
    gradients = jax.grad(lambda a, b: distance(a, b).sum(), argnums=(0, 1))(rows, rows)
    assert all(jnp.isfinite(g).all() for g in gradients)
    if distance is not cosine:
        assert all((g == 0).all() for g in gradients)


def test_a_zero_row_is_as_far_as_an_orthogonal_one_by_cosine():
    np.testing.assert_array_equal(cosine(jnp.zeros((1, 3)), jnp.array(B)), np.ones((1, 4)))


@DISTANCES
def test_arrays_of_another_rank_are_refused(distance):
    with pytest.raises(AssertionError):
        distance(jnp.zeros(3), jnp.zeros((2, 3)))
