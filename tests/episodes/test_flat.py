"""Numbers drawn flat are those of jax.random, to the bit."""

import jax
import numpy as np
import pytest

from fsjax.episodes import flat

KEYS = jax.random.split(jax.random.key(0), 3)


@pytest.mark.parametrize("draw", ["uniform", "normal"])
@pytest.mark.parametrize("shape", [(), (5,), (2, 3), (4, 1, 3, 7), (0, 2)])
def test_numbers_are_the_same_to_the_bit_of_one_key_and_of_several(draw, shape):
    ours, theirs = (getattr(of, draw) for of in (flat, jax.random))
    np.testing.assert_array_equal(ours(KEYS[0], shape), theirs(KEYS[0], shape))
    found, expected = (jax.jit(jax.vmap(lambda k, f=f: f(k, shape)))(KEYS) for f in (ours, theirs))
    assert found.shape == (3, *shape)
    np.testing.assert_array_equal(found, expected)
