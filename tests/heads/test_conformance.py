"""What every head promises, over all that can be named in a config."""

from functools import partial

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments import build
from experiments.configs.emoji import get_config
from fsjax import heads
from fsjax.heads import (
    cosine,
    feat,
    full_context,
    linear,
    logistic,
    mahalanobis,
    matching,
    predictive,
    propagation,
    ridge,
    simpleshot,
    soft_kmeans,
    triangular,
)
from tests.heads import naive

KEY = jax.random.key(0)
FEATURES = pytest.mark.parametrize("features", [4, 40])  # fewer and more than support rows
TRANSDUCTIVE = {"soft_kmeans", "propagation"}
NETWORKS = {"feat", "full_context", "relation", "triangular"}  # heads that are one in part


def test_all_heads_of_the_room_can_be_named_in_a_config():
    assert set(heads.__all__) == set(build.HEADS)


def support(features: int, soft: bool, seed: int = 0):
    """Unequal shots: 1, 3 and 2 rows."""
    rng = np.random.default_rng(seed)
    y = np.eye(3)[[0, 1, 1, 1, 2, 2]]
    if soft:
        y = rng.uniform(0.2, 1.0, size=(6, 1)) * (0.7 * y + 0.1)
    z = rng.normal(size=(6, features)) + 2.0 * y.argmax(1)[:, None]
    return z.astype(np.float32), y.astype(np.float32)


def queries(features: int):
    rng = np.random.default_rng(1)
    return (rng.normal(size=(5, features)) + 2.0 * rng.integers(3, size=(5, 1))).astype(np.float32)


def with_padding(z, y):
    gap = np.full((2, z.shape[1]), 7.0, z.dtype), np.zeros((2, y.shape[1]), y.dtype)
    return (np.concatenate([a[:2], b, a[2:]]) for a, b in zip((z, y), gap, strict=True))


def shaken(params):
    """Zeros at the start would hide much."""
    return jax.tree.map(
        lambda p: p + 0.1 * jnp.sin(1 + jnp.arange(p.size)).reshape(p.shape), params
    )


@pytest.fixture(scope="module", params=build.HEADS)
def head(request):
    """A head by its name, and its logits with and without jit."""
    config = get_config()
    config.head = request.param
    head = build.head(config)

    def logits(params, z, y, queries):
        return head.score(params, head.fit(params, z, y), queries)

    return request.param, head, logits, jax.jit(logits)


def test_products_keep_the_precision_of_features_also_on_a_tpu(head):
    name, head, _, _ = head
    z, y = support(4, soft=False)
    params = params_of(head, z, y)

    def loss(z, queries):
        return head.score(params, head.fit(params, z, y), queries).sum()

    program = str(jax.make_jaxpr(jax.grad(loss, (0, 1)))(z, queries(4)))
    products, precise = map(program.count, ("dot_general[", "precision=(Precision.HIGHEST"))
    assert (products > precise) == (name in NETWORKS)


class Nothing(nn.Module):
    """A comparison that adds nothing to distances."""

    @nn.compact
    def __call__(self, anchors, members):
        return self.param("none", nn.initializers.zeros, (len(anchors), len(members)))


def test_relations_are_averaged_in_full_precision_also_on_a_tpu():
    head = triangular(Nothing())
    z, y = support(4, soft=False)
    params = head.init(KEY, z, y)
    program = str(jax.make_jaxpr(lambda z: head.score(params, head.fit(params, z, y), z))(z))
    assert program.count("dot_general[") == program.count("precision=(Precision.HIGHEST") == 1


def params_of(head, z, y):
    return shaken(jax.jit(head.init)(KEY, z, y))


def assert_close(ours, expected):
    np.testing.assert_allclose(ours, expected, rtol=1e-5, atol=1e-5 * np.abs(expected).max())


@pytest.mark.parametrize("soft", [False, True], ids=["hard", "soft"])
@FEATURES
def test_logits_are_those_of_loops_with_unequal_shots_and_padding(head, features, soft):
    name, head, _, compiled = head
    z, y = support(features, soft)
    params = params_of(head, z, y)
    wide = jax.tree.map(lambda x: np.asarray(x, np.float64), params)
    expected = getattr(naive, name)(wide, *(np.float64(x) for x in (z, y, queries(features))))
    assert_close(compiled(params, z, y, queries(features)), expected)
    assert_close(compiled(params, *with_padding(z, y), queries(features)), expected)


def test_logits_are_the_same_without_jit(head):
    _, head, plain, compiled = head
    z, y = support(4, soft=True)
    params = params_of(head, z, y)
    assert_close(plain(params, z, y, queries(4)), compiled(params, z, y, queries(4)))


def test_a_support_set_without_rows_tells_all_classes_alike(head):
    _, head, plain, _ = head
    z, y = support(4, soft=False)
    logits = plain(params_of(head, z, y), z[:0], y[:0], queries(4))
    np.testing.assert_allclose(logits, np.broadcast_to(logits[:, :1], logits.shape), rtol=1e-5)


@pytest.mark.parametrize("labels", [np.int32, np.bool_])
@pytest.mark.parametrize("features", [jnp.float32, jnp.bfloat16, jnp.float16])
def test_labels_and_features_of_any_type_are_taken(head, labels, features):
    _, head, plain, _ = head
    z, y = support(4, soft=False)
    z, y, asked = z.astype(features), y.astype(labels), queries(4).astype(features)
    params = jax.eval_shape(head.init, KEY, z, y)
    logits = jax.eval_shape(plain, params, z, y, asked)
    assert logits.shape == (5, 3) and jnp.issubdtype(logits.dtype, jnp.floating)


def test_features_of_half_precision_are_compared_in_single(head):
    _, head, _, compiled = head
    z, y = support(4, soft=False)
    half = [(300 * x).astype(np.float16) for x in (z, queries(4))]
    single = [x.astype(np.float32) for x in half]
    params = jax.jit(head.init)(KEY, half[0], y)
    assert all(jnp.isfinite(x).all() for x in jax.tree.leaves(params))
    ours, expected = (compiled(params, z, y, asked) for z, asked in (half, single))
    assert_close(ours, expected)


def test_a_class_without_rows_changes_nothing_of_the_others(head):
    _, head, _, compiled = head
    z, y = support(4, soft=True)
    params, more = params_of(head, z, y), np.pad(y, [(0, 0), (0, 1)])
    expected = compiled(params, z, y, queries(4))
    assert_close(compiled(params, z, more, queries(4))[:, :3], expected)


def test_numbers_of_classes_are_no_labels(head):
    _, head, plain, _ = head
    z, y = support(4, soft=False)
    params = params_of(head, z, y)
    with pytest.raises((AssertionError, IndexError, ValueError, TypeError)):
        plain(params, z, y.argmax(1), queries(4))


def test_parameters_do_not_see_padding(head):
    _, head, _, _ = head
    z, y = support(4, soft=False)
    padded = jax.jit(head.init)(KEY, *with_padding(z, y))
    jax.tree.map(assert_close, padded, jax.jit(head.init)(KEY, z, y))


def test_gradients_are_finite_when_all_embeddings_are_one_and_when_they_have_grown(head):
    _, head, plain, _ = head
    rows, y = support(4, soft=False)
    params = params_of(head, *support(4, soft=False))

    @jax.jit
    @partial(jax.grad, argnums=(0, 1, 2))
    def gradients(params, z, queries):
        return jax.nn.log_softmax(plain(params, z, y, queries))[:, 0].sum()

    one, apart = ((z, z) for z in (jnp.zeros((6, 4)), jnp.full((6, 4), 1.5))), (rows, -rows)
    for z, asked in (*one, *([s * x for x in apart] for s in (2.0, 10.0, 100.0))):
        assert all(jnp.isfinite(g).all() for g in jax.tree.leaves(gradients(params, z, asked)))


def test_queries_of_zeros_of_which_nothing_was_seen_change_no_other(head):
    _, head, _, compiled = head
    z, y = support(4, soft=False)
    params, more = params_of(head, z, y), np.pad(queries(4), [(0, 3), (0, 0)])
    assert_close(compiled(params, z, y, more)[:5], np.asarray(compiled(params, z, y, queries(4))))


def test_a_query_sees_the_others_only_where_the_head_is_transductive(head):
    name, head, _, compiled = head
    z, y = support(4, soft=False)
    params = params_of(head, z, y)
    all_but_first = np.concatenate([queries(4)[:1], z[:4]])
    ours = compiled(params, z, y, queries(4))[0]
    alike = np.allclose(compiled(params, z, y, all_but_first)[0], ours, rtol=1e-4, atol=1e-5)
    assert alike == (name not in TRANSDUCTIVE)


@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e4])
def test_a_clear_task_is_solved(head, scale):
    """Classes far apart, every query near its class: also for heads that were not trained."""
    name, head, _, compiled = head
    if name in ("relation", "full_context"):
        pytest.skip("the comparison is learned")
    if name == "linear" and scale < 1:
        pytest.skip("descent moves the bias alone, if features are tiny beside its one")
    rng = np.random.default_rng(2)
    centers = 3.0 * rng.normal(size=(3, 16))
    y = np.eye(3, dtype=np.float32)[[0, 1, 2, 0, 1, 2]]
    places = (scale * (y @ centers + 0.1 * rng.normal(size=(6, 16))) for _ in "ab")
    z, near = (x.astype(np.float32) for x in places)
    logits = compiled(jax.jit(head.init)(KEY, z, y), z, y, near)
    np.testing.assert_array_equal(logits.argmax(-1), y.argmax(-1))


@pytest.mark.parametrize("neighbours", [1, 3])
def test_labels_spread_to_the_nearest_neighbours_alone(neighbours):
    head = propagation(neighbours=neighbours)
    z, y = support(4, soft=False)
    params = head.init(KEY, z, y)
    wide = (np.float64(x) for x in (z, y, queries(4)))
    expected = np.exp(naive.propagation(jax.device_get(params), *wide, neighbours=neighbours))
    ours = head.score(params, head.fit(params, *with_padding(z, y)), queries(4))
    np.testing.assert_allclose(np.exp(ours), expected, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(
    "make",
    [
        lambda: matching(scale=0.0),
        lambda: full_context(steps=0),
        lambda: ridge(penalty=0.0),
        lambda: logistic(steps=0),
        lambda: linear(steps=0),
        lambda: cosine(steps=0),
        lambda: mahalanobis(ridge=-1.0),
        lambda: feat(temperature=0.0),
        lambda: simpleshot(temperature=0.0),
        lambda: soft_kmeans(steps=0),
        lambda: predictive(prior=0.0),
        lambda: propagation(alpha=1.0),
        lambda: triangular(temperature=0.0),
    ],
)
def test_arguments_out_of_range_are_refused(make):
    with pytest.raises(ValueError, match=r"must be|takes a step at least"):
        make()
