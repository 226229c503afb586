"""Sums and products of shifted images are compared with JAX's own convolution."""

import jax
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
    args = operands("corr", *shape)
    expected = naive.corr(*args)
    for corr in (unfolded.corr, unfolded.corr_in_chunks):
        agree(jax.jit(corr)(*args), expected)


@pytest.mark.parametrize("chunk, images", [(1, 3), (24, 5), (30, 2), (1000, 3)])
def test_chunks_of_images(monkeypatch, chunk, images):
    monkeypatch.setattr(unfolded, "_CHUNK", chunk)
    args = operands("corr", images=images)
    agree(jax.jit(unfolded.corr_in_chunks)(*args), naive.corr(*args))
