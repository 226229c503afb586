"""3x3 convolutions and their kernel-correlations by sums and products of shifted images."""

import jax.numpy as jnp
from jax import lax
from jax.typing import DTypeLike

from fsjax.types import Array

_CHUNK = 2048  # positions unfolded at a time, so that a few hundred columns of them stay in cache


def conv(x: Array, w: Array) -> Array:
    """One matrix product of patches.

    Nine sums of products would be faster for one channel, but compilers work out a sum as cheap as
    that again for each of its uses.
    """
    return patches(x) @ w.reshape(-1, w.shape[-1])


def patches(x: Array) -> Array:
    """[B, H, W, I] -> [B, H, W, 9 * I]: what a 3x3 kernel sees at each place, zeros around."""
    return _unfold(_unfold(x, 2), 1)


def corr_in_chunks(x: Array, dy: Array) -> Array:
    """As `corr`, of a few images at a time."""
    images, height, width, _ = x.shape
    size = max(1, min(images, _CHUNK // (height * width)))
    loops = (images - 1) // size
    first = images - loops * size

    def add(i: Array, total: Array) -> Array:
        rows = (lax.dynamic_slice_in_dim(a, first + i * size, size) for a in (x, dy))
        return total + _products(*rows)

    # Zeros would not vary over a mesh as the products do under shard_map.
    return lax.fori_loop(0, loops, add, _products(x[:first], dy[:first])).astype(x.dtype)


def corr(x: Array, dy: Array) -> Array:
    """One matrix product of patches and maps."""
    return _products(x, dy).astype(x.dtype)


def _products(x: Array, dy: Array) -> Array:
    """`corr` as one matrix product of columns unfolded from both sides.

    By i -> i - u + 1, the sum over i of x[i+u-1] d[i] is that of x[i] d[i-u+1]: the three rows of
    a kernel may be unfolded from d in place of x. The copies then have 3 I + 3 O columns and not
    9 I + O, which is fewer unless x is narrow.
    """
    inputs, outputs = x.shape[-1], dy.shape[-1]
    columns = _unfold(x, 2)
    if 3 * inputs < outputs:
        return _contract(_unfold(columns, 1), dy).reshape(3, 3, inputs, outputs)
    product = _contract(columns, _unfold(dy, 1)).reshape(3, inputs, 3, outputs)
    return product.transpose(2, 0, 1, 3)[::-1]


def _contract(a: Array, b: Array) -> Array:
    return jnp.einsum("bhwi,bhwo->io", a, b, preferred_element_type=_wide(a))


def _wide(x: Array) -> DTypeLike:
    return jnp.promote_types(x.dtype, jnp.float32)


def _unfold(x: Array, axis: int) -> Array:
    """[B, H, W, C] -> [B, H, W, 3 * C]: each row (axis 1) or column (2) beside its neighbours."""
    size = x.shape[axis]
    border = [(0, 0)] * 4
    border[axis] = (1, 1)
    x = jnp.pad(x, border)
    return jnp.concatenate([lax.slice_in_dim(x, u, u + size, axis=axis) for u in range(3)], -1)


def most_at_once(images: int, most: int) -> int:
    """How many images to take at a time: the most that divide them, one at least."""
    return max(n for n in range(1, max(1, most) + 1) if images % n == 0)


def halved(x: Array, axis: int) -> Array:
    """[B, H, W, C] -> H or W halved and 3 * C: each even row or column between its neighbours."""
    x = _pad(x, axis, 0, x.shape[axis] % 2)
    even, odd = places(x, axis, 2)
    return jnp.concatenate([_pad(odd, axis, 1, -1), even, odd], -1)


def places(x: Array, axis: int, size: int) -> list[Array]:
    """The first, the second, ... of every so many places along an axis, whose length they divide.

    By reshaping and not by strided slices, whose transposes pad with zeros between.
    """
    # Not -1, which no images would leave open.
    x = x.reshape(*x.shape[:axis], x.shape[axis] // size, size, *x.shape[axis + 1 :])
    return [lax.index_in_dim(x, i, axis + 1, keepdims=False) for i in range(size)]


def _pad(x: Array, axis: int, low: int, high: int) -> Array:
    """Zeros before and after; fewer than none are taken away."""
    border = [(0, 0, 0)] * x.ndim
    border[axis] = (low, high, 0)
    return lax.pad(x, jnp.zeros((), x.dtype), border)
