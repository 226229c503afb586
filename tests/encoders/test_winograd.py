"""Winograd's convolution and correlation are compared with JAX's own, and their digits counted."""

import jax
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fsjax.encoders import winograd
from tests.encoders import naive
from tests.encoders.naive import agree, normal, operands

PAIRS = {"conv": (winograd.convolve, naive.conv), "corr": (winograd.correlate, naive.corr)}
EVERY = pytest.mark.parametrize("name", PAIRS)


@settings(max_examples=8, deadline=None)
@given(*(st.integers(1, 5) for _ in range(5)))
def test_any_shape_agrees_with_lax(images, height, width, inputs, outputs):
    with jax.enable_x64(True):
        for name, (ours, theirs) in PAIRS.items():
            args = operands(name, ((), ()), images, (height, width), inputs, outputs)
            agree(jax.jit(ours)(*args), theirs(*args))


@EVERY
@pytest.mark.parametrize("chunk, images", [(1, 3), (24, 6), (36, 5), (1000, 3)])
def test_chunks_of_images(monkeypatch, name, chunk, images):
    monkeypatch.setattr(winograd, "_CHUNK", chunk)
    ours, theirs = PAIRS[name]
    with jax.enable_x64(True):
        args = operands(name, images=images)
        agree(jax.jit(ours)(*args), theirs(*args))


@EVERY
def test_no_images(name):
    x, other = operands(name, images=0)
    y = PAIRS[name][0](x, other)
    assert y.shape == ((0, 3, 4, 3) if name == "conv" else (3, 3, 2, 3)) and not np.any(y)


@EVERY
def test_a_digit_is_all_that_single_precision_loses(name):
    ours, theirs = PAIRS[name]
    args = operands(name, images=4, size=(8, 8), inputs=32, outputs=32)
    singles = [a.astype(np.float32) for a in args]
    with jax.enable_x64(True):
        exact = np.asarray(theirs(*(np.asarray(a, np.float64) for a in singles)))
    of_ours, of_theirs = (np.abs(np.asarray(f(*singles)) - exact).max() for f in (ours, theirs))
    assert exact.dtype == np.float64
    assert 0 < of_ours < 10 * of_theirs


def test_a_picture_is_convolved_alike_whatever_is_beside_it():
    x, w = normal(0, 12, 14, 14, 32, dtype=np.float32), normal(1, 3, 3, 32, 32, dtype=np.float32)
    together, alone = (jax.jit(winograd.convolve)(x[:n], w)[:1] for n in (12, 1))
    agree(together, alone, rtol=1e-6, atol=1e-6)
