"""3x3 convolutions by fewer products (Winograd; Lavin & Gray 2016, arxiv.org/abs/1509.09308).

Along one axis, the two values that a kernel g of three makes of four neighbours d are
A [(G g) (B d)], four products where there were six, with

    B d = (d0 - d2, d1 + d2, d2 - d1, d1 - d3),
    G g = (g0, (g0 + g1 + g2) / 2, (g0 - g1 + g2) / 2, g2),
    A m = (m0 + m1 + m2, m1 - m2 - m3).

Along both axes at once sixteen do for 36, and with channels each is a matrix product over all 2x2
tiles. The sum of outputs times e is linear in g, so its gradient is the transpose,
G' [(A' e) (B d)] with A' e = (e0, e0 + e1, e0 - e1, -e1).
"""

from collections.abc import Callable

import jax.numpy as jnp
import numpy as np
from jax import lax

from fsjax.encoders.unfolded import pairs
from fsjax.types import Array

_CHUNK = 2048  # positions at a time, so that the four-fold copies of them stay in cache
_G = np.array([[1, 0, 0], [0.5, 0.5, 0.5], [0.5, -0.5, 0.5], [0, 0, 1]])

Parts = tuple[Array, ...]


def convolve(x: Array, w: Array) -> Array:
    """Convolves images with a 3x3 kernel, at stride 1 and with zeros around the border.

    Args:
      x: [B, H, W, I] images, in float32 at least: sums and differences cost a digit.
      w: [3, 3, I, O] kernel, of the same dtype.

    Returns:
      [B, H, W, O].
    """
    kernel = jnp.einsum("au,bv,uvio->baio", *_g(w), w).reshape(16, *w.shape[2:])

    def chunk(x: Array) -> Array:
        return _untile(jnp.einsum("kni,kio->kno", _tile_input(x), kernel), *x.shape[:3])

    return lax.map(chunk, _chunks(x)).reshape(*x.shape[:3], w.shape[-1])


def correlate(x: Array, dy: Array) -> Array:
    """The gradient of `vdot(convolve(x, w), dy)` with respect to w.

    Args:
      x: [B, H, W, I] images, in float32 at least.
      dy: [B, H, W, O] maps, of the same dtype.

    Returns:
      [3, 3, I, O].
    """

    def add(total: Array, chunk: Parts) -> tuple[Array, None]:
        x, dy = chunk
        return total + jnp.einsum("kni,kno->kio", _tile_input(x), _tile_gradient(dy)), None

    # Zeros alone would not vary over a mesh as the products do under shard_map.
    start = jnp.zeros((16, x.shape[-1], dy.shape[-1]), x.dtype) + jnp.zeros_like(x, shape=())
    total, _ = lax.scan(add, start, (_chunks(x), _chunks(dy)))
    return jnp.einsum("au,bv,baio->uvio", *_g(x), total.reshape(4, 4, *total.shape[1:]))


def _g(like: Array) -> Parts:
    return (jnp.asarray(_G, like.dtype),) * 2


def _chunks(x: Array) -> Array:
    """[B, H, W, C] -> [chunks, B / chunks, H, W, C], as few as the cache allows."""
    images, height, width, _ = x.shape
    most = max(1, _CHUNK // (height * width))
    size = max(d for d in range(1, most + 1) if images % d == 0)
    return x.reshape(images // size, size, *x.shape[1:])


def _tile_input(x: Array) -> Array:
    """[B, H, W, C] -> [16, tiles, C]."""
    return _tile(_pad(x, 1), _b)


def _tile_gradient(dy: Array) -> Array:
    """[B, H, W, C] -> [16, tiles, C]."""
    return _tile(_pad(dy, 0), _a_transposed)


def _pad(x: Array, border: int) -> Array:
    """Zeros around images, and after the last of an odd number of rows or columns."""
    return jnp.pad(x, [(0, 0), *((border, border + n % 2) for n in x.shape[1:3]), (0, 0)])


def _tile(x: Array, transform: Callable[[Array, int], Parts]) -> Array:
    rows = jnp.stack(transform(x, 1))
    return jnp.stack(transform(rows, 3)).reshape(16, -1, x.shape[-1])


def _untile(products: Array, images: int, height: int, width: int) -> Array:
    """[16, tiles, C] -> [B, H, W, C]."""
    tall, wide = -(-height // 2), -(-width // 2)
    columns = jnp.stack(_a(products.reshape(4, 4, images, tall, wide, -1)), -2)
    rows = jnp.stack(_a(columns), 2)
    return rows.reshape(images, 2 * tall, 2 * wide, -1)[:, :height, :width]


def _b(x: Array, axis: int) -> Parts:
    even, odd = pairs(x, axis)
    last = even.shape[axis] - 1
    d0, d1 = (lax.slice_in_dim(d, 0, last, axis=axis) for d in (even, odd))
    d2, d3 = (lax.slice_in_dim(d, 1, last + 1, axis=axis) for d in (even, odd))
    return d0 - d2, d1 + d2, d2 - d1, d1 - d3


def _a_transposed(e: Array, axis: int) -> Parts:
    e0, e1 = pairs(e, axis)
    return e0, e0 + e1, e0 - e1, -e1


def _a(m: Array) -> Parts:
    return m[0] + m[1] + m[2], m[1] - m[2] - m[3]
