"""Random arrays drawn along one axis, and the same to the bit as `jax.random` draws them.

It counts the places of an array in row-major order. With several axes each place works its number
out of as many indices, which XLA compiles three times as long.
"""

import math

import jax

from fsjax.types import Array, Key


def uniform(key: Key, shape: tuple[int, ...]) -> Array:
    """Uniform numbers in [0, 1) of a shape."""
    return jax.random.uniform(key, math.prod(shape)).reshape(shape)


def normal(key: Key, shape: tuple[int, ...]) -> Array:
    """Standard normal numbers of a shape."""
    return jax.random.normal(key, math.prod(shape)).reshape(shape)
