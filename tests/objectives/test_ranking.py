"""Triplets and their loss, against loops over anchors, positives and negatives."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fsjax.objectives.ranking import (
    all_triplets,
    hard_triplets,
    ranking,
    relation_ranking_loss,
    semi_hard_triplets,
    triplet_weights,
)

RNG = np.random.default_rng(0)
Y = (
    np.eye(3)[[0, 1, 2, 0, 1, 0, 0]] * np.array([1, 1, 1, 1, 0.5, 0.25, 0])[:, None]
)  # last: padding
SCORES = RNG.normal(size=(7, 7))
STEP = jnp.zeros((), jnp.int32)


def test_the_loss_is_minus_the_log_of_the_sigmoid_of_the_difference():
    a, b = RNG.normal(size=(2, 20))
    expected = -np.log(1 / (1 + np.exp(-(a - b))))
    np.testing.assert_allclose(relation_ranking_loss(a, b), expected, rtol=1e-5)


@given(st.floats(-1e4, 1e4, width=32), st.floats(-1e4, 1e4, width=32))
@settings(max_examples=30, deadline=None)
def test_the_loss_and_its_gradient_are_finite_for_large_differences(a, b):
    loss, slopes = jax.value_and_grad(relation_ranking_loss, argnums=(0, 1))(a, b)
    assert np.isfinite(loss) and np.isfinite(slopes).all()
    assert loss >= max(b - a, 0) - 1e-3 and slopes[0] == -slopes[1]


def naive_weights(y):
    """A row's weight times the chance that two rows are, or are not, of one class."""
    weight = y.sum(1)
    share = y / np.maximum(weight, 1e-9)[:, None]
    rows = range(len(y))
    positive, negative = np.zeros((2, len(y), len(y)))
    for a in rows:
        for b in rows:
            if a != b:
                alike = share[a] @ share[b]
                positive[a, b] = weight[a] * weight[b] * alike
                negative[a, b] = weight[b] * (1 - alike)
    return positive, negative


def test_weights_of_triplets_are_those_of_their_rows_and_never_of_a_row_with_itself():
    soft = np.concatenate([Y, [[0.2, 0.3, 0.5]]])
    for ours, expected in zip(triplet_weights(jnp.array(soft)), naive_weights(soft), strict=True):
        np.testing.assert_allclose(ours, expected, rtol=1e-5, atol=1e-7)


def naive_all(scores, positive, negative):
    rows = range(len(scores))
    return [
        (scores[a, p], scores[a, n], positive[a, p] * negative[a, n])
        for a in rows
        for p in rows
        for n in rows
    ]


def naive_hard(scores, positive, negative):
    found = []
    for a in range(len(scores)):
        ps, ns = (np.flatnonzero(w[a]) for w in (positive, negative))
        if len(ps) and len(ns):
            p, n = min(ps, key=lambda i: scores[a, i]), max(ns, key=lambda i: scores[a, i])
            found.append((scores[a, p], scores[a, n], positive[a, p] * negative[a, n]))
    return found


def naive_semi_hard(scores, positive, negative):
    found = []
    for a in range(len(scores)):
        for p in np.flatnonzero(positive[a]):
            ns = np.flatnonzero(negative[a])
            below = [n for n in ns if scores[a, n] < scores[a, p]]
            if len(below):
                n = max(below, key=lambda i: scores[a, i])
            else:
                n = min(ns, key=lambda i: scores[a, i])
            found.append((scores[a, p], scores[a, n], positive[a, p] * negative[a, n]))
    return found


MINES = pytest.mark.parametrize(
    "mine, naive",
    [
        (all_triplets, naive_all),
        (hard_triplets, naive_hard),
        (semi_hard_triplets, naive_semi_hard),
    ],
)


def sorted_triplets(found):
    return np.array(sorted(t for t in found if t[2] > 0))


@MINES
def test_mined_triplets_are_those_of_loops(mine, naive):
    weights = naive_weights(Y)
    ours = jax.jit(mine)(jnp.array(SCORES), *map(jnp.array, weights))
    flat = zip(*(np.ravel(x) for x in ours), strict=True)
    expected = naive(SCORES, *weights)
    np.testing.assert_allclose(sorted_triplets(flat), sorted_triplets(expected), rtol=1e-5)


@MINES
def test_the_objective_is_the_weighted_mean_over_triplets(mine, naive):
    z = jnp.array(RNG.normal(size=(7, 4)), jnp.float32)
    params = {"matrix": jnp.array(RNG.normal(size=(4, 4)), jnp.float32)}
    objective = ranking(
        lambda params, episode, key: (z, jnp.array(Y, jnp.float32)),
        lambda params, a, b: a @ params["matrix"] @ b.T,
        mine,
    )

    def loop(matrix):
        wide = np.float64(z)
        triplets = np.array(naive(wide @ matrix @ wide.T, *naive_weights(Y)))
        losses = np.log1p(np.exp(triplets[:, 1] - triplets[:, 0]))
        return np.average(losses, weights=triplets[:, 2]), triplets

    gradients, metrics = jax.jit(objective)(params, None, jax.random.key(0), STEP)
    loss, triplets = loop(np.float64(params["matrix"]))
    ranked = np.average(triplets[:, 0] > triplets[:, 1], weights=triplets[:, 2])
    np.testing.assert_allclose(metrics["loss"], loss, rtol=1e-5)
    np.testing.assert_allclose(metrics["ranked"], ranked, rtol=1e-5)
    direction, e = RNG.normal(size=(4, 4)), 1e-5
    matrix = np.float64(params["matrix"])
    slope = (loop(matrix + e * direction)[0] - loop(matrix - e * direction)[0]) / (2 * e)
    np.testing.assert_allclose((gradients["matrix"] * direction).sum(), slope, rtol=1e-3)


def test_an_episode_without_a_triplet_has_the_loss_zero():
    objective = ranking(
        lambda params, episode, key: (jnp.ones((3, 2)), jnp.eye(3)),
        lambda params, a, b: params["scale"] * a @ b.T,
        semi_hard_triplets,
    )
    gradients, metrics = objective({"scale": 1.0}, None, jax.random.key(0), STEP)
    assert metrics["loss"] == 0 and gradients["scale"] == 0
