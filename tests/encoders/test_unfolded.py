"""Sums and products of shifted images are compared with JAX's own convolution."""

import jax
import jax.numpy as jnp
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fsjax.encoders import unfolded
from tests.encoders import naive
from tests.encoders.naive import agree, operands


@pytest.fixture(autouse=True, scope="module")
def double_precision():
    with jax.enable_x64(True):
        yield


@settings(max_examples=8, deadline=None)
@given(*(st.integers(1, 5) for _ in range(5)))
def test_any_shape_agrees_with_lax(images, height, width, inputs, outputs):
    shape = ((), ()), images, (height, width), inputs, outputs
    args = operands("conv", *shape)
    agree(jax.jit(unfolded.conv)(*args), naive.conv(*args))
    one = operands("conv", *shape[:3], 1, outputs)
    agree(jax.jit(unfolded.conv_of_one)(*one), naive.conv(*one))
    args = operands("corr", *shape)
    expected = naive.corr(*args)
    for corr in (unfolded.corr, unfolded.corr_in_chunks):
        agree(jax.jit(corr)(*args), expected)


@pytest.mark.parametrize("chunk, images", [(1, 3), (24, 5), (30, 2), (1000, 3)])
def test_chunks_of_images(monkeypatch, chunk, images):
    monkeypatch.setattr(unfolded, "_CHUNK", chunk)
    args = operands("corr", images=images)
    agree(jax.jit(unfolded.corr_in_chunks)(*args), naive.corr(*args))


def test_taps_are_summed_in_single_precision_at_least():
    x, w = jnp.ones((1, 3, 3, 1), jnp.bfloat16), jnp.ones((3, 3, 1, 1), jnp.bfloat16)
    y = unfolded.conv_of_one(x, w.at[0, 0].set(256))
    assert y.dtype == jnp.bfloat16 and y[0, 1, 1, 0] == 264  # bfloat16 has no 257 to go on from
