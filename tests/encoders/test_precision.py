"""A network in bfloat16: nearly what it is in float32, and nothing of it kept in fewer bits."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fsjax.encoders.audio import ConvAudio
from fsjax.encoders.image import Conv4
from fsjax.encoders.multimodal import multimodal
from fsjax.encoders.norms import CalibratedNorm, SupportNorm
from fsjax.encoders.precision import in_bfloat16
from fsjax.encoders.tabular import MLP, Standardised
from fsjax.encoders.text import CharNgrams
from fsjax.fusion.attention import Attention
from fsjax.types import Inputs

ROWS, KEY = 6, jax.random.key(0)


def inputs():
    random = np.random.default_rng(0)
    values = {
        "image": random.integers(0, 256, (ROWS, 8, 8, 1)).astype(np.uint8),
        "audio": random.normal(size=(ROWS, 8, 8)).astype(np.float32),
        "text": random.integers(1, 9, (ROWS, 5)).astype(np.int32),
        "tabular": 1e5 + random.normal(size=(ROWS, 3)).astype(np.float32),
    }
    values = jax.tree.map(jnp.asarray, values)
    return Inputs(values, {name: jnp.ones(ROWS) for name in values})


@pytest.fixture(scope="module")
def found():
    """Features, statistics and gradients: in float32, and in bfloat16."""
    encoders = {
        "image": Conv4((8, 8), CalibratedNorm),
        "audio": ConvAudio((8, 8), SupportNorm),
        "text": CharNgrams(8, (1, 2), 16),
        "tabular": Standardised(MLP((8,), 8)),
    }
    network = multimodal(encoders, Attention(16))
    params = jax.jit(network.init)(KEY, inputs())

    def of(network):
        def loss(params):
            z, stats = network.apply(params, inputs(), train=True)
            return jnp.square(z).sum(), (z, stats)

        gradients, told = jax.jit(jax.grad(loss, has_aux=True))(params)
        return told, gradients

    return params, of(network), of(in_bfloat16(network))


def test_it_is_nearly_what_it_is_in_float32(found):
    _, ((z, stats), _), ((low, low_stats), _) = found
    assert 0 < np.abs(z - low).max() < 0.1 * np.abs(z).max()
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=0.1, atol=0.1), stats, low_stats
    )


def test_features_statistics_and_gradients_are_float32(found):
    params, _, (told, gradients) = found
    assert {x.dtype for x in jax.tree.leaves(told)} == {jnp.dtype("float32")}
    assert jax.tree.map(lambda x: x.dtype, gradients) == jax.tree.map(lambda x: x.dtype, params)
    assert all(np.isfinite(x).all() for x in jax.tree.leaves(gradients))


def test_numbers_that_bfloat16_cannot_tell_apart_are_told_apart():
    network = multimodal({"tabular": Standardised(MLP((8,), 8))}, Attention(16))
    rows = inputs()
    params = jax.jit(network.init)(KEY, rows)
    z, _ = in_bfloat16(network).apply(params, rows, train=True)
    assert len(np.unique(np.asarray(jnp.bfloat16(rows.values["tabular"])))) == 1
    assert np.abs(z - z[:1]).max(1)[1:].min() > 1e-2


def test_convolutions_are_computed_in_it():
    network = multimodal({"image": Conv4((8, 8))}, Attention(16))
    params = jax.jit(network.init)(KEY, inputs())
    program = jax.jit(in_bfloat16(network).apply).lower(params, inputs()).as_text()
    products = [line for line in program.splitlines() if "convolution" in line]
    assert products and all("bf16" in line and "xf32" not in line for line in products)
