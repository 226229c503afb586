"""Adapters of low rank: where they begin, what of them learns, and what they make of kernels."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fsjax.encoders.image import Conv4
from fsjax.encoders.low_rank import as_matrix, low_rank, merged
from fsjax.encoders.multimodal import calibrate, multimodal
from fsjax.encoders.norms import CalibratedNorm
from fsjax.encoders.tabular import MLP
from fsjax.encoders.transfer import begun
from fsjax.fusion.pooled import Concat
from fsjax.types import Inputs

RNG = np.random.default_rng(0)
KEY = jax.random.key(0)
ROWS, RANK, ALPHA = 3, 2, 6.0
VALUES = {"image": RNG.normal(size=(ROWS, 8, 8, 1)), "x": RNG.normal(size=(ROWS, 5))}
INPUTS = Inputs(
    {name: jnp.asarray(x, jnp.float32) for name, x in VALUES.items()},
    {name: jnp.ones(ROWS) for name in VALUES},
)
PLAIN = multimodal(
    {"image": Conv4((4, 6), CalibratedNorm), "x": MLP((), 7)},
    Concat(),
)
FORWARD = jax.jit(PLAIN.apply)


@pytest.fixture(scope="module")
def base():
    return jax.jit(PLAIN.init)(KEY, INPUTS)


@pytest.fixture(scope="module")
def adapted(base):
    """The network with adapters, and parameters that have gone on from the start."""
    network = low_rank(begun(PLAIN, base), rank=RANK, alpha=ALPHA)
    params = jax.jit(network.init)(KEY, INPUTS)
    moved = jax.tree.map(
        lambda x: x + 0.1 * jnp.sin(jnp.arange(x.size)).reshape(x.shape), params["adapters"]
    )
    return network, params, {"base": base, "adapters": moved}


def test_it_begins_as_the_network_itself_and_is_it_with_merged_kernels(base, adapted):
    network, start, moved = adapted
    expected, _ = FORWARD(base, INPUTS)
    forward = jax.jit(network.apply)
    np.testing.assert_array_equal(forward(start, INPUTS)[0], expected)
    found, _ = forward(moved, INPUTS)
    assert np.abs(found - expected).max() > 0.01
    expected, _ = FORWARD(merged(moved, alpha=ALPHA), INPUTS)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)
    assert np.std(start["adapters"]["encoders_x"]["Dense_0"]["kernel"]["a"]) > 0.1


def test_there_are_as_many_numbers_as_rank_times_rows_and_columns(adapted):
    _, start, _ = adapted
    sizes = (9 + 4) + (9 * 4 + 6) + (5 + 7)
    assert sum(x.size for x in jax.tree.leaves(start["adapters"])) == RANK * sizes


def test_kernels_are_those_of_the_base_and_the_product_written_out(base, adapted):
    _, _, moved = adapted
    weights = merged(moved, alpha=ALPHA)
    for *path, name in (
        ("encoders_image", "ConvBlock_1", "Conv3x3_0", "kernel"),
        ("encoders_x", "Dense_0", "kernel"),
    ):
        own, w, found = moved["adapters"], base, weights
        for part in (*path, name):
            own, w, found = own[part], w[part], found[part]
        product = np.einsum("ir,ro->io", own["a"], own["b"]).reshape(w.shape)
        np.testing.assert_allclose(found, w + ALPHA / RANK * product, atol=1e-5)
    assert jax.tree.structure(weights) == jax.tree.structure(base)


def test_gradients_reach_the_adapters_alone(adapted):
    network, start, moved = adapted

    def loss(params):
        return jnp.square(network.apply(params, INPUTS)[0]).sum()

    slope = jax.jit(jax.grad(loss))
    after = slope(moved)
    assert not any(np.any(g) for g in jax.tree.leaves(after["base"]))
    assert all(np.any(g) for g in jax.tree.leaves(after["adapters"]))
    # While B is zero none reaches A.
    own = slope(start)["adapters"]["encoders_x"]["Dense_0"]["kernel"]
    assert not np.any(own["a"]) and np.any(own["b"])


def test_statistics_are_those_of_the_base_and_are_calibrated_in_it(adapted):
    network, _, moved = adapted
    batches = jax.tree.map(lambda x: jnp.stack([x, 2 * x]), INPUTS)
    found = jax.eval_shape(partial(calibrate, network), moved, batches)
    assert jax.tree.map(jnp.shape, found) == jax.tree.map(jnp.shape, moved)
    _, stats = jax.eval_shape(partial(network.apply, train=True), moved, INPUTS)
    norm = stats["base"]["encoders_image"]["ConvBlock_1"]["CalibratedNorm_0"]
    assert norm["mean"].shape == (6,)
    assert jax.eval_shape(network.apply, moved, INPUTS, stats=stats)[0].shape[0] == ROWS


@pytest.mark.parametrize(
    ("shape", "matrix"),
    [
        ((5, 7), (5, 7)),
        ((3, 3, 64, 64), (576, 64)),
        ((3, 3, 1, 8), (9, 8)),
        ((64, 4, 16), (64, 64)),
        ((4, 16, 64), (64, 64)),
    ],
)
def test_a_kernel_is_a_matrix_of_what_comes_in_and_goes_out(shape, matrix):
    assert as_matrix(shape) == matrix


def test_what_does_not_fit_is_said():
    with pytest.raises(ValueError, match="a rank of one at least, got 0"):
        low_rank(PLAIN, rank=0)
    with pytest.raises(ValueError, match=r"no kernel to learn beside.* encoders_x/Dense_0/bias"):
        jax.eval_shape(low_rank(PLAIN, matches=lambda path: False).init, KEY, INPUTS)
