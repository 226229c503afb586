"""Relation modules on maps against convolutions of pairs, one by one."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fsjax.encoders.comparison import ConvRelation
from fsjax.heads import relation

RNG = np.random.default_rng(0)
KEY = jax.random.key(0)
SIDE, CHANNELS = 5, 3
MODULE = ConvRelation(channels=CHANNELS, features=8)


def maps(rows):
    return RNG.normal(size=(rows, SIDE * SIDE * CHANNELS)).astype(np.float32)


CLASSES, QUERIES = maps(3), maps(4)


@pytest.fixture(scope="module")
def params():
    return MODULE.init(KEY, CLASSES, QUERIES)["params"]


def conv(x, kernel):
    return jax.lax.conv_general_dilated(
        x, kernel, (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC")
    )


def norm_relu_pool(x, params):
    (affine,) = params.values()
    x = nn.relu(nn.GroupNorm(8).apply({"params": affine}, x))
    return nn.max_pool(x, (2, 2), (2, 2))


def one_pair(params, a, b):
    """The paper's order: maps side by side, two blocks, two dense layers."""
    pair = np.concatenate([m.reshape(1, SIDE, SIDE, CHANNELS) for m in (a, b)], axis=-1)
    kernel = np.concatenate([params[f"of_{of}"]["kernel"] for of in ("classes", "queries")], axis=2)
    x = norm_relu_pool(conv(pair, kernel), params["GroupNorm_0"])
    block = params["ConvBlock_0"]
    x = norm_relu_pool(conv(x, block["Conv3x3_0"]["kernel"]), block["GroupNorm_0"])
    first, last = params["Dense_0"], params["Dense_1"]
    x = nn.relu(x.reshape(-1) @ first["kernel"] + first["bias"])
    return (x @ last["kernel"] + last["bias"])[0]


@pytest.mark.parametrize("jitted", [False, True])
def test_scores_are_those_of_pairs_of_maps_side_by_side(params, jitted):
    apply = jax.jit(MODULE.apply) if jitted else MODULE.apply
    expected = [[one_pair(params, a, b) for a in CLASSES] for b in QUERIES]
    np.testing.assert_allclose(apply({"params": params}, CLASSES, QUERIES), expected, 1e-4, 1e-5)


def test_a_head_compares_the_mean_maps_of_each_class(params):
    head = relation(MODULE)
    z, y = np.concatenate([CLASSES, CLASSES + 2.0]), jnp.tile(jnp.eye(3), (2, 1))
    logits = head.score(params, head.fit(params, z, y), QUERIES)
    expected = MODULE.apply({"params": params}, CLASSES + 1.0, QUERIES)
    np.testing.assert_allclose(logits, expected, rtol=1e-4, atol=1e-5)
    assert jax.tree.structure(head.init(KEY, z, y)) == jax.tree.structure(params)


def test_gradients_are_finite_when_all_maps_are_one(params):
    def total(params, maps):
        return MODULE.apply({"params": params}, maps, maps).sum()

    gradients = jax.jit(jax.grad(total, (0, 1)))(params, jnp.ones((2, SIDE * SIDE * CHANNELS)))
    assert all(jnp.isfinite(g).all() for g in jax.tree.leaves(gradients))


@pytest.mark.parametrize("length", [SIDE * SIDE * CHANNELS + 1, 3 * 3 * CHANNELS, 64])
def test_features_that_are_no_maps_are_refused(length):
    with pytest.raises(ValueError, match="conv4_maps"):
        MODULE.init(KEY, jnp.ones((2, length)), jnp.ones((2, length)))
