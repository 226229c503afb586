"""Pooling is compared with a reduction of windows."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jax import lax

from fsjax.encoders.pooling import max_pool2x2
from tests.encoders.naive import agree, cubes


def naive_pool(x):
    square = (1, 2, 2, 1)
    return lax.reduce_window(x, -jnp.inf, lax.max, square, square, "VALID")


@settings(max_examples=8, deadline=None)
@given(st.tuples(*(st.integers(low, 5) for low in (1, 2, 2, 1))))
def test_value_and_gradient_agree_with_a_reduction_of_windows(shape):
    with jax.enable_x64(True):
        x = jnp.asarray(np.random.default_rng(0).permutation(np.prod(shape)).reshape(shape) / 7.0)
        ours, theirs = (
            jax.jit(lambda x, pool=pool: (pool(x), jax.grad(lambda x: cubes(pool(x)))(x)))
            for pool in (max_pool2x2, naive_pool)
        )
        agree(ours(x), theirs(x))


def test_equal_maxima_share_the_gradient():
    gradient = jax.grad(lambda x: jnp.sum(max_pool2x2(x)))(jnp.ones((1, 2, 2, 1)))
    agree(gradient, jnp.full((1, 2, 2, 1), 0.25))


@pytest.mark.parametrize(("shape", "named"), [((4, 4, 2), "4,4,2"), ((1, 1, 7, 2), "of 1 x 7")])
def test_maps_that_cannot_be_pooled_are_named(shape, named):
    with pytest.raises(ValueError, match=re.escape(named)):
        max_pool2x2(jnp.zeros(shape))
