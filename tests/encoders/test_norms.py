"""Norms: their statistics against NumPy, and which rows and which training a row depends on."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jax.sharding import Mesh
from jax.sharding import PartitionSpec as P

from fsjax.encoders.norms import (
    CalibratedNorm,
    EpisodeNorm,
    GroupNorm,
    SupportNorm,
    moments_of_product,
    weighted_moments,
)
from fsjax.encoders.pooling import max_pool2x2

RNG = np.random.default_rng(0)
KEY = jax.random.key(0)
X = RNG.normal(2.0, 3.0, size=(5, 3, 4)).astype(np.float32)
OTHER = RNG.normal(-1.0, 2.0, size=(5, 3, 4)).astype(np.float32)
WEIGHT = np.array([1.0, 0.0, 2.0, 0.5, 0.0], np.float32)
ONES = np.ones(5, np.float32)
NORMS = [GroupNorm(groups=2), EpisodeNorm(), SupportNorm(), CalibratedNorm()]
EVERY = pytest.mark.parametrize("norm", NORMS, ids=lambda norm: type(norm).__name__)

moments = jax.jit(weighted_moments)


def random_params(norm):
    params = norm.init(KEY, X, ONES, train=True)["params"]
    return jax.tree.map(lambda p: jnp.asarray(RNG.uniform(0.5, 2.0, p.shape), p.dtype), params)


def apply(norm, params, x, weight=ONES, *, train=False, stats=None):
    variables = {"params": params} | ({"stats": stats} if stats else {})
    y, out = norm.apply(variables, x, weight, train=train, mutable=["stats"])
    return y, out.get("stats", {})


def normalised(x, mean, var, affine):
    return (x - mean) / np.sqrt(var + 1e-5) * affine["scale"] + affine["bias"]


def close(a, b):
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-4), a, b)


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.just(0.0) | st.floats(2.0**-20, 10, width=32), min_size=5, max_size=5),
    st.floats(-1e3, 1e3, width=32),
)
def test_weighted_moments_are_numpys_also_far_from_zero(weight, offset):
    w, x = np.array(weight), (X + np.float32(offset)).astype(np.float64)
    mean, var = moments(x.astype(np.float32), w.astype(np.float32))
    total = w.sum() * 3 or 1.0
    expected = np.einsum("b,blD->D", w, x) / total
    spread = np.einsum("b,blD->D", w, np.square(x - expected)) / total
    np.testing.assert_allclose(mean, expected, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(var, spread, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("offset", [0.0, 1e3])
@pytest.mark.parametrize("weight", [ONES, WEIGHT, 0 * ONES])
def test_moments_of_a_product_are_those_of_it(offset, weight):
    x, kernel = X + np.float32(offset), RNG.normal(size=(4, 6)).astype(np.float32)
    found = jax.jit(moments_of_product)(x, kernel, weight)
    with jax.enable_x64(True):
        expected = moments(x.astype(np.float64) @ kernel, weight)
    for ours, theirs in zip(found, expected, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-3 * max(1.0, offset / 100))


def test_moments_of_a_product_have_gradients_of_two_orders():
    def along(product, x, kernel):
        def scalar(x, kernel):
            mean, var = product(x, kernel, jnp.asarray(WEIGHT, x.dtype))
            return jnp.sum(mean * var) + jnp.sum(jnp.sin(var))

        of_both = jax.grad(scalar, (0, 1))(x, kernel)
        return sum(jnp.vdot(a, b) for a, b in zip(of_both, (x[::-1], kernel[::-1]), strict=True))

    with jax.enable_x64(True):
        x, kernel = jnp.asarray(X, float), jnp.asarray(RNG.normal(size=(4, 6)))
        found, expected = (
            jax.jit(jax.value_and_grad(along, (1, 2)), static_argnums=0)(product, x, kernel)
            for product in (moments_of_product, lambda x, k, w: weighted_moments(x @ k, w))
        )
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, 1e-9), found, expected)


def test_the_variance_of_a_product_that_sees_no_change_is_not_negative():
    way, kernel = RNG.normal(size=9), RNG.normal(size=(9, 16))
    kernel -= np.outer(way, way @ kernel) / (way @ way)
    x = np.multiply.outer(RNG.normal(0.0, 100.0, (40, 1)), way)
    _, variance = moments_of_product(*map(np.float32, (x, kernel)), np.ones(40, np.float32))
    assert np.min(variance) >= 0 and np.max(variance) < 1


def test_where_other_things_than_rows_are_spread_moments_are_of_own_rows():
    mesh = Mesh(jax.devices()[:1], ("tasks",))
    on_each = jax.shard_map(jax.vmap(moments), mesh=mesh, in_specs=P("tasks"), out_specs=P("tasks"))
    found = on_each(jnp.stack([X, OTHER]), jnp.stack([WEIGHT, ONES]))
    for i, own in enumerate([moments(X, WEIGHT), moments(OTHER, ONES)]):
        close(jax.tree.map(lambda x, i=i: x[i], found), own)
    named = jax.vmap(moments, axis_name="tasks")(jnp.stack([X, OTHER]), jnp.stack([WEIGHT, ONES]))
    close(named, found)


def test_weighted_moments_are_zero_if_no_row_counts():
    mean, var = moments(X, 0 * ONES)
    assert not np.any(mean) and not np.any(var)


def test_weighted_moments_have_gradients_of_two_orders():
    def scalar(moments, x):
        mean, var = moments(x, jnp.asarray(WEIGHT, x.dtype))
        return jnp.sum(mean * var) + jnp.sum(jnp.sin(var))

    def naive(x, weight):
        share = weight[:, None, None] / (weight.sum() * x.shape[1])
        mean = (share * x).sum((0, 1))
        return mean, (share * jnp.square(x - mean)).sum((0, 1))

    with jax.enable_x64(True):
        x, direction = jnp.asarray(X, float), jnp.asarray(OTHER, float)

        def along(x, f):
            return jnp.vdot(jax.grad(lambda x: scalar(f, x))(x), direction)

        found, expected = (
            jax.jit(jax.value_and_grad(along), static_argnums=1)(x, f)
            for f in (weighted_moments, naive)
        )
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, 1e-9), found, expected)


@EVERY
@pytest.mark.parametrize("train", [False, True])
@pytest.mark.parametrize("pool", [max_pool2x2, lambda x: nn.avg_pool(x, (2, 2), (2, 2))])
def test_pooling_by_a_norm_is_pooling_after_it(norm, train, pool):
    x = RNG.normal(1.0, 2.0, (5, 4, 6, 4)).astype(np.float32)
    params = norm.init(KEY, x, ONES, train=True)["params"]
    scales = jnp.asarray([-1.5, -0.2, 0.5, 2.0])  # at zero all are maxima of what is after it
    params = jax.tree.map(lambda p: scales, params)
    params |= {"var": jnp.full(4, 2.0)} if "var" in params else {}

    def loss(params, x, within):
        kept = {"pool": pool} if within else {}
        y = norm.apply({"params": params}, x, WEIGHT, train=train, mutable=["stats"], **kept)[0]
        return jnp.sum(jnp.sin(y if within else pool(y)))

    ours, expected = (
        jax.jit(jax.value_and_grad(loss, (0, 1)), static_argnums=2)(params, x, within)
        for within in (True, False)
    )
    close(ours, expected)


@EVERY
@pytest.mark.parametrize("train", [False, True])
def test_rows_of_weight_zero_change_nothing_in_the_others(norm, train):
    params, counted = random_params(norm), WEIGHT > 0
    changed = np.where(counted[:, None, None], X, np.float32(1e4))
    ours, expected = (apply(norm, params, x, WEIGHT, train=train) for x in (changed, X))
    np.testing.assert_array_equal(ours[0][counted], expected[0][counted])
    jax.tree.map(np.testing.assert_array_equal, ours[1], expected[1])
    # A row that counts would have.
    counts, _ = apply(norm, params, changed, ONES, train=train)
    shares = not isinstance(norm, GroupNorm) and (train or not isinstance(norm, CalibratedNorm))
    assert np.allclose(counts[0], expected[0][0], rtol=1e-3) == (not shares)


def test_group_norm_is_numpys_over_each_row_and_group():
    norm = GroupNorm(groups=2)
    params = random_params(norm)
    groups = X.reshape(5, 3, 2, 2)
    mean, var = (f(groups, axis=(1, 3), keepdims=True) for f in (np.mean, np.var))
    expected = ((groups - mean) / np.sqrt(var + 1e-6)).reshape(X.shape)
    affine = params["GroupNorm_0"]
    close(apply(norm, params, X)[0], expected * affine["scale"] + affine["bias"])


@pytest.mark.parametrize("norm", [EpisodeNorm(), SupportNorm()])
@pytest.mark.parametrize("train", [False, True])
def test_statistics_of_the_batch_are_used_if_none_are_given(norm, train):
    params = random_params(norm)
    expected = normalised(X, X.mean((0, 1)), X.var((0, 1)), params["_Affine_0"])
    close(apply(norm, params, X, train=train)[0], expected)


def test_support_norm_uses_the_statistics_given_so_that_queries_do_not_influence_each_other():
    norm = SupportNorm()
    params = random_params(norm)
    _, stats = apply(norm, params, X)
    query, kept = apply(norm, params, OTHER, stats=stats)
    close(query, normalised(OTHER, X.mean((0, 1)), X.var((0, 1)), params["_Affine_0"]))
    jax.tree.map(np.testing.assert_array_equal, kept, stats)
    alone = [apply(norm, params, OTHER[i : i + 1], ONES[:1], stats=stats)[0] for i in range(2)]
    close(np.concatenate(alone), query[:2])


def test_support_norm_leaves_queries_as_they_are_where_no_support_row_counts():
    norm = SupportNorm()
    params = random_params(norm)
    _, stats = apply(norm, params, X, 0 * ONES)
    y, _ = apply(norm, params, OTHER, stats=stats)
    close(y, normalised(OTHER, 0.0, 1.0, params["_Affine_0"]))


def test_episode_norm_hands_no_statistics_on_so_that_queries_influence_each_other():
    norm = EpisodeNorm()
    params = random_params(norm)
    assert not apply(norm, params, X)[1]
    both, alone = (apply(norm, params, OTHER[:n], ONES[:n])[0] for n in (5, 1))
    assert np.abs(both[0] - alone[0]).max() > 0.1


def test_calibrated_norm_uses_its_parameters_at_test_and_the_batch_in_training():
    norm = CalibratedNorm()
    params = random_params(norm)
    affine = params["_Affine_0"]
    tested, no_stats = apply(norm, params, X)
    close(tested, normalised(X, params["mean"], params["var"], affine))
    trained, stats = apply(norm, params, X, train=True)
    close(trained, normalised(X, X.mean((0, 1)), X.var((0, 1)), affine))
    assert not no_stats
    close(dict(stats), {"mean": X.mean((0, 1)), "var": X.var((0, 1)), "rows": len(X)})


def test_statistics_left_by_a_training_pass_are_not_used_in_the_next():
    norm = CalibratedNorm()
    params = random_params(norm)
    _, stats = apply(norm, params, X, train=True)
    ours, expected = (apply(norm, params, OTHER, train=True, stats=s) for s in (stats, None))
    close(ours[0], expected[0])
    close(dict(ours[1]), dict(expected[1]))


@EVERY
@pytest.mark.parametrize("train", [False, True])
def test_gradients_are_finite_where_all_rows_are_equal_or_none_counts(norm, train):
    params = random_params(norm)

    @jax.jit
    @jax.grad
    def gradient(params, weight):
        return jnp.square(apply(norm, params, jnp.ones_like(X), weight, train=train)[0]).sum()

    gradients = jax.tree.leaves([gradient(params, w) for w in (ONES, 0 * ONES)])
    assert all(np.isfinite(g).all() for g in gradients)


def test_no_gradient_reaches_the_calibrated_statistics():
    norm = CalibratedNorm()
    gradient = jax.grad(lambda params: jnp.square(apply(norm, params, X)[0]).sum())
    found = gradient(random_params(norm))
    assert not np.any(found["mean"]) and not np.any(found["var"])
    assert np.any(found["_Affine_0"]["scale"])
