"""Winograd's convolution and correlation are compared with JAX's own, and their digits counted."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fsjax.encoders import winograd
from tests.encoders import naive
from tests.encoders.naive import agree, normal, operands

PAIRS = {"conv": (winograd.convolve, naive.conv), "corr": (winograd.correlate, naive.corr)}
EVERY = pytest.mark.parametrize("name", PAIRS)
TRANSFORMS = pytest.mark.parametrize("wide", [0, 320], ids=["small", "large"])


@settings(deadline=None)
@given(st.sets(st.integers(-8, 8), min_size=2, max_size=6), st.integers(0, 99))
def test_any_points_make_the_values_of_a_kernel(points, seed):
    by = winograd.toom_cook([p / 4 for p in points])
    kernel, neighbours = (
        np.random.default_rng([seed, n]).normal(size=n) for n in (3, len(points) + 1)
    )
    agree(
        by.output @ ((by.kernel @ kernel) * (by.input @ neighbours)),
        np.correlate(neighbours, kernel),
        rtol=1e-6,
        atol=1e-6,
    )


@TRANSFORMS
@settings(max_examples=8, deadline=None)
@given(*(st.integers(1, 6) for _ in range(5)))
def test_any_shape_agrees_with_lax(wide, images, height, width, inputs, outputs):
    with jax.enable_x64(True), pytest.MonkeyPatch.context() as patch:
        patch.setattr(winograd, "_WIDE", wide)
        for name, (ours, theirs) in PAIRS.items():
            args = operands(name, ((), ()), images, (height, width), inputs, outputs)
            agree(jax.jit(ours)(*args), theirs(*args))


@EVERY
@pytest.mark.parametrize("chunk, images", [(1, 3), (24, 6), (36, 5), (1000, 3)])
def test_chunks_of_images(monkeypatch, name, chunk, images):
    monkeypatch.setattr(winograd, "_CHUNK", chunk)
    monkeypatch.setattr(winograd, "_CHUNK_PER_CHANNEL", 0)
    ours, theirs = PAIRS[name]
    with jax.enable_x64(True):
        args = operands(name, images=images)
        agree(jax.jit(ours)(*args), theirs(*args))


@EVERY
def test_no_images(name):
    x, other = operands(name, images=0)
    y = PAIRS[name][0](x, other)
    assert y.shape == ((0, 3, 4, 3) if name == "conv" else (3, 3, 2, 3)) and not np.any(y)


def errors(name, *algorithms):
    """Of algorithms in single precision, against JAX's own in double."""
    args = operands(name, images=4, size=(8, 8), inputs=32, outputs=32)
    singles = [a.astype(np.float32) for a in args]
    with jax.enable_x64(True):
        exact = np.asarray(PAIRS[name][1](*(np.asarray(a, np.float64) for a in singles)))
    assert exact.dtype == np.float64
    return [np.asarray(f(*singles)) - exact for f in algorithms]


@EVERY
@TRANSFORMS
def test_a_digit_is_all_that_single_precision_loses(monkeypatch, name, wide):
    monkeypatch.setattr(winograd, "_WIDE", wide)
    of_ours, of_theirs = (np.abs(e).max() for e in errors(name, *PAIRS[name]))
    assert 0 < of_ours < 10 * of_theirs


@EVERY
def test_the_points_of_large_tiles_lose_less_than_whole_numbers_do(monkeypatch, name):
    (chosen,) = errors(name, PAIRS[name][0])
    monkeypatch.setattr(winograd, "LARGE", winograd.toom_cook((0, 1, -1, 2, -2)))
    (whole,) = errors(name, PAIRS[name][0])
    assert np.std(chosen) < 0.7 * np.std(whole)


def test_a_picture_is_convolved_alike_whatever_is_beside_it():
    x, w = normal(0, 12, 14, 14, 32, dtype=np.float32), normal(1, 3, 3, 32, 32, dtype=np.float32)
    together, alone = (jax.jit(winograd.convolve)(x[:n], w)[:1] for n in (12, 1))
    agree(together, alone, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    "shape, outputs, pays",
    [
        ((100, 14, 14, 64), 64, True),
        ((5, 7, 7, 64), 64, True),
        ((100, 14, 14, 16), 64, False),  # few channels
        ((100, 14, 14, 64), 16, False),
        ((4, 4, 4, 64), 64, False),  # few places
        ((75, 5, 5, 64), 64, False),  # a good half of the tiles is border
        ((2, 10, 10, 640), 640, False),  # kernels are larger than maps
        ((5, 10, 10, 640), 640, True),
        ((0, 14, 14, 64), 64, False),
    ],
)
def test_it_is_used_where_it_pays(shape, outputs, pays):
    for dtype in (np.float32, jnp.bfloat16):
        x, w = (jax.ShapeDtypeStruct(s, dtype) for s in (shape, (3, 3, shape[-1], outputs)))
        assert winograd.pays(x, w) == (pays and dtype == np.float32)
