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
@given(st.tuples(*(st.integers(1, 5) for _ in range(4))))
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


def test_a_wrong_rank_is_named():
    with pytest.raises(ValueError, match=re.escape("4,4,2")):
        max_pool2x2(jnp.zeros((4, 4, 2)))
