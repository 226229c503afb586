"""3x3 convolutions by fewer products (Winograd; Lavin & Gray 2016, arxiv.org/abs/1509.09308).

Along one axis, a kernel g of three makes of m + 2 neighbours d the m values sum_k g_k d_{i+k}. The
transpose of that multiplies two polynomials, of degrees 2 and m - 1. Their product is known by its
values at m + 1 points p and its leading coefficient (Toom & Cook), so by m + 2 products in place of
3 m: both are evaluated, multiplied there, and the product is interpolated (Lagrange). Transposed,

    y = A [(G g) (B d)],   A_ij = p_j^i,   G_jk = p_j^k / prod_{l != j} (p_j - p_l),

with the coefficients of prod_{l != j} (t - p_l) in the rows of B, and those of prod_l (t - p_l) in
its last, which beside the last columns of A and rows of G stands for the leading coefficient.

Along both axes at once 16 products do for 36 (m = 2), or 36 for 144 (m = 4), and with channels each
is a matrix product over all m x m tiles. The sum of outputs times e is linear in g, so its gradient
is the transpose, G' [(A' e) (B d)].
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jax import lax
from numpy.polynomial.polynomial import polyfromroots

from fsjax.encoders.unfolded import most_at_once, places
from fsjax.types import Array

# Positions at a time, so that copies of them stay in cache; more of many channels, where reading
# the kernel again for each chunk would cost more.
_CHUNK, _CHUNK_PER_CHANNEL = 1000, 8
_WIDE = 320  # channels up to which large tiles pay: kernels grow to four times their size

Parts = list[Array]


class Transforms(NamedTuple):
    """The matrices A [m, m + 2], G [m + 2, 3] and B [m + 2, m + 2]."""

    output: np.ndarray
    kernel: np.ndarray
    input: np.ndarray


def toom_cook(points: Sequence[float]) -> Transforms:
    """Transforms by m + 1 different points."""
    others = [[q for q in points if q != p] for p in points]
    scale = [[np.prod([p - q for q in rest])] for p, rest in zip(points, others, strict=True)]
    return Transforms(
        output=_with_leading(np.vander(points, len(points) - 1, increasing=True)).T,
        kernel=_with_leading(np.vander(points, 3, increasing=True) / scale),
        input=np.array([*([*polyfromroots(rest), 0] for rest in others), polyfromroots(points)]),
    )


def _with_leading(values: np.ndarray) -> np.ndarray:
    return np.vstack([values, np.eye(values.shape[1])[-1]])


SMALL = toom_cook((0, 1, -1))
# By these the error is half of that by 0, 1, -1, 2, -2, and A and B are exact in binary.
LARGE = toom_cook((0, 3 / 4, -3 / 4, 3 / 2, -3 / 2))


def pays(x: Array, other: Array) -> bool:
    """Whether it is faster than other algorithms on one CPU core, by measurement.

    Args:
      x: [B, H, W, I] images.
      other: [..., O], a kernel or maps.
    """
    images, height, width, inputs = x.shape
    channels = inputs, other.shape[-1]
    size = len(_transforms(max(channels)).output)
    tiles = -(-height // size) * -(-width // size)
    positions = images * height * width
    return (
        jnp.finfo(x.dtype).bits >= 32  # sums and differences cost a digit
        and min(channels) >= 32
        and height * width >= 0.6 * tiles * size**2
        and positions * min(channels) >= 15_000
        and positions >= 0.75 * max(channels)
    )


def convolve(x: Array, w: Array) -> Array:
    """Convolves images with a 3x3 kernel, at stride 1 and with zeros around the border.

    Args:
      x: [B, H, W, I] images, in float32 at least: sums and differences cost a digit.
      w: [3, 3, I, O] kernel, of the same dtype.

    Returns:
      [B, H, W, O].
    """
    channels = _channels(x, w)
    by = _transforms(channels)
    kernel = _along_both(by.kernel, w)

    def chunk(x: Array) -> Array:
        products = jnp.einsum("kni,kio->kno", _tile_input(by, x), kernel)
        return _untile(by, products, *x.shape[:3])

    return lax.map(chunk, _chunked(x, channels)).reshape(*x.shape[:3], w.shape[-1])


def correlate(x: Array, dy: Array) -> Array:
    """The gradient of `vdot(convolve(x, w), dy)` with respect to w.

    Args:
      x: [B, H, W, I] images, in float32 at least.
      dy: [B, H, W, O] maps, of the same dtype.

    Returns:
      [3, 3, I, O].
    """
    channels = _channels(x, dy)
    by = _transforms(channels)

    def add(total: Array, chunk: tuple[Array, Array]) -> tuple[Array, None]:
        x, dy = chunk
        tiles = _tile_input(by, x), _tile_gradient(by, dy)
        return total + jnp.einsum("kni,kno->kio", *tiles), None

    # Zeros alone would not vary over a mesh as the products do under shard_map.
    n = len(by.input)
    start = jnp.zeros((n * n, x.shape[-1], dy.shape[-1]), x.dtype) + jnp.zeros_like(x, shape=())
    total, _ = lax.scan(add, start, (_chunked(x, channels), _chunked(dy, channels)))
    return _along_both(by.kernel.T, total).reshape(3, 3, *total.shape[1:])


def _channels(a: Array, b: Array) -> int:
    return max(a.shape[-1], b.shape[-1])


def _transforms(channels: int) -> Transforms:
    return LARGE if channels <= _WIDE else SMALL


def _chunked(x: Array, channels: int) -> Array:
    """[B, H, W, C] -> [chunks, B / chunks, H, W, C]."""
    images, height, width, _ = x.shape
    positions = max(_CHUNK, _CHUNK_PER_CHANNEL * channels)
    size = most_at_once(images, positions // (height * width))
    return x.reshape(images // size, size, *x.shape[1:])


def _tile_input(by: Transforms, x: Array) -> Array:
    """[B, H, W, C] -> [(m + 2)^2, tiles, C]."""
    size = len(by.output)

    def windows(x: Array, axis: int) -> Parts:
        parts = places(x, axis, size)
        tiles = parts[0].shape[axis] - 1
        own, next_ = ([lax.slice_in_dim(p, i, tiles + i, axis=axis) for p in parts] for i in (0, 1))
        return own + next_[:2]

    return _tile(by.input, _pad(x, size, 1, size - 1), windows)


def _tile_gradient(by: Transforms, dy: Array) -> Array:
    """[B, H, W, C] -> [(m + 2)^2, tiles, C]."""
    size = len(by.output)
    return _tile(by.output.T, _pad(dy, size), partial(places, size=size))


def _pad(x: Array, size: int, before: int = 0, after: int = 0) -> Array:
    """Zeros around images, and after them up to whole tiles."""
    border = ((before, -n % size + after) for n in x.shape[1:3])
    return jnp.pad(x, [(0, 0), *border, (0, 0)])


def _tile(matrix: np.ndarray, x: Array, split: Callable[[Array, int], Parts]) -> Array:
    columns = jnp.stack(_combine(matrix, split(x, 2)))  # their rows are axis 2 again
    tiles = jnp.stack(_combine(matrix, split(columns, 2)))
    return tiles.reshape(len(matrix) ** 2, -1, x.shape[-1])


def _untile(by: Transforms, products: Array, images: int, height: int, width: int) -> Array:
    """[(m + 2)^2, tiles, C] -> [B, H, W, C]."""
    size, n = by.output.shape
    tall, wide = -(-height // size), -(-width // size)
    products = products.reshape(n, n, images, tall, wide, -1)
    rows = jnp.stack(_combine(by.output, products), 3)
    columns = jnp.stack(_combine(by.output, rows), 4)
    return columns.reshape(images, size * tall, size * wide, -1)[:, :height, :width]


def _along_both(matrix: np.ndarray, x: Array) -> Array:
    """Combines u and v of [u, v, I, O], or of [u * v, I, O], at once: to [n * n, I, O]."""
    flat = x.reshape(matrix.shape[1] ** 2, -1)
    return (jnp.asarray(np.kron(matrix, matrix), x.dtype) @ flat).reshape(-1, *x.shape[-2:])


def _combine(matrix: np.ndarray, parts: Array | Parts) -> Parts:
    """The sums of parts that the rows of a matrix weigh."""
    return [sum(float(c) * p for c, p in zip(row, parts, strict=True) if c) for row in matrix]
