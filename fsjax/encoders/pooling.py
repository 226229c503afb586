"""Pooling of maps, with a gradient by comparison."""

import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp

from fsjax.types import Array

Pool = Callable[[Array], Array]  # of maps [B, H, W, C], each channel by itself


def no_pool(x: Array) -> Array:
    """Maps as they are."""
    return x


def max_pool2x2(x: Array) -> Array:
    """Takes the largest of each 2x2 square; the last row or column of an odd number is dropped.

    Args:
      x: [B, H, W, C] maps.

    Returns:
      [B, H // 2, W // 2, C]; equal maxima share the gradient.

    Raises:
      ValueError: x does not have rank 4, or nothing would be left of its maps.
    """
    if x.ndim != 4:
        raise ValueError(f"max_pool2x2 takes x [B, H, W, C], got {jax.typeof(x)}")
    height, width = (size // 2 * 2 for size in x.shape[1:3])
    if not height * width:
        raise ValueError(
            f"maps of {x.shape[1]} x {x.shape[2]} are too small to be pooled once more: give "
            "larger images, or an encoder that pools less often"
        )
    return _pool(x[:, :height, :width])


@jax.custom_vjp
def _pool(x: Array) -> Array:
    return functools.reduce(jnp.maximum, _corners(x))


def _pool_forward(x: Array) -> tuple[Array, tuple[Array, Array]]:
    y = _pool(x)
    return y, (x, y)


def _corners(x: Array) -> tuple[Array, ...]:
    return tuple(x[:, i::2, j::2] for i in range(2) for j in range(2))


def _pool_backward(saved: tuple[Array, Array], dy: Array) -> tuple[Array]:
    """Each maximum hands its gradient back by comparison: the transpose of a strided slice, which
    pads with zeros between, costs five times as much."""
    x, y = saved
    ties = sum((corner == y).astype(dy.dtype) for corner in _corners(x))
    return (jnp.where(x == _repeat(y), _repeat(dy / ties), 0),)


def _repeat(y: Array) -> Array:
    """[B, H, W, C] -> [B, 2 H, 2 W, C]: each place as a 2x2 square."""
    batch, height, width, channels = y.shape
    squares = jnp.broadcast_to(y[:, :, None, :, None], (batch, height, 2, width, 2, channels))
    return squares.reshape(batch, 2 * height, 2 * width, channels)


_pool.defvjp(_pool_forward, _pool_backward)
