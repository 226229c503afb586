"""3x3 convolutions of images of one channel, pooled before maps leave the caches of a CPU.

Maps of such images are 64 times as large as these, and computing them takes less time than writing
and reading them. A square of 2x2 places sees 4x4 pixels, so a few images at a time are one product
of those with a kernel that stands at four places, and the largest of four products is what pooling
leaves. Backward, each maximum hands its gradient to one of the four: where several are equal, the
first, in place of all of them.
"""

from collections.abc import Callable, Sequence
from functools import partial, reduce
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jax.custom_batching import custom_vmap

from fsjax.encoders.convolution import conv3x3, corr3x3, flip, vary_alike
from fsjax.encoders.norms import Maps, maps_of, moments_of_product
from fsjax.encoders.pooling import Pool, max_pool2x2
from fsjax.encoders.unfolded import most_at_once, patches, places
from fsjax.types import Array

_CHUNK = 800  # squares at a time, whose maps of 64 channels fit into the cache of a core
_PLACES = ((0, 0), (0, 1), (1, 0), (1, 1))  # of a square


def convolved(x: Array, w: Array, pool: Pool) -> Maps:
    """Maps that a convolution makes of images.

    Args:
      x: [B, H, W, I] images.
      w: [3, 3, I, O] kernel, of the same dtype.
      pool: what is to be done to them when they are normalised.

    Returns:
      Those of `conv3x3`.
    """
    if not _pays(x, pool):
        return maps_of(conv3x3(x, w), pool)

    def moments(weight: Array) -> tuple[Array, Array]:
        return moments_of_product(patches(x), w.reshape(-1, w.shape[-1]), weight)

    def pooled(sign: Array) -> Array:
        return conv_pool3x3(x, w * sign.astype(w.dtype))

    return Maps(w.shape[-1], pool, partial(conv3x3, x, w), moments, pooled)


def _pays(x: Array, pool: Pool) -> bool:
    """Whether this is faster, by measurement: not where maps are rounded."""
    on_cpu, single = jax.default_backend() == "cpu", jnp.finfo(x.dtype).bits >= 32
    return on_cpu and single and pool is max_pool2x2 and x.shape[-1] == 1 and min(x.shape[1:3]) > 1


def conv_pool3x3(x: Array, w: Array) -> Array:
    """`max_pool2x2` of `conv3x3`, with gradients of any order in reverse mode.

    Args:
      x: [B, H, W, I] images.
      w: [3, 3, I, O] kernel, of the same dtype.

    Returns:
      [B, H // 2, W // 2, O].
    """
    return _largest(*vary_alike(x, w))[0]


def _in_turn(function: Callable[..., Any]) -> Callable[..., Any]:
    """A function of one task that is done for several one after another: one fills the cores."""
    of_tasks = custom_vmap(function)

    @of_tasks.def_vmap
    def loop(tasks: int, batched: Sequence[bool], *operands: Array) -> tuple[Any, Any]:
        def one(own: Sequence[Array]) -> Any:
            left = iter(own)
            return of_tasks(
                *(next(left) if b else a for a, b in zip(operands, batched, strict=True))
            )

        found = lax.map(one, [a for a, b in zip(operands, batched, strict=True) if b])
        return found, jax.tree.map(lambda _: True, found)

    return of_tasks


@jax.custom_vjp
@_in_turn
def _largest(x: Array, w: Array) -> tuple[Array, Array]:
    """What pooling leaves, and at which place of a square it was: two [B, H // 2, W // 2, O]."""
    kernel = _standing(w)

    def of_chunk(pixels: Array) -> tuple[Array, Array]:
        y = jnp.split(pixels @ kernel, len(_PLACES), axis=1)
        most = reduce(jnp.maximum, y)
        last = jnp.full(most.shape, len(y) - 1, jnp.int8)
        others = reversed(range(len(y) - 1))
        return most, reduce(lambda at, n: jnp.where(y[n] == most, n, at), others, last)

    pixels = _squares(x)
    found = lax.map(of_chunk, _chunked(pixels))
    return jax.tree.map(lambda a: a.reshape(*pixels.shape[:3], w.shape[-1]), found)


@jax.custom_vjp
@_in_turn
def _to_kernel(x: Array, place: Array, dz: Array) -> Array:
    """The gradient towards the kernel of what was the largest at these places of squares."""

    def add(total: Array, chunk: tuple[Array, ...]) -> tuple[Array, None]:
        pixels, place, dz = chunk
        dy = [jnp.where(place == n, dz, 0) for n in range(len(_PLACES))]
        return total + pixels.T @ jnp.concatenate(dy, 1), None

    pixels = _squares(x)
    start = jnp.zeros((pixels.shape[-1], len(_PLACES) * dz.shape[-1]), x.dtype)
    # Zeros alone would not vary over a mesh as the products do under shard_map.
    start += jnp.zeros_like(x, shape=())
    total, _ = lax.scan(add, start, tuple(map(_chunked, (pixels, place, dz))))
    return _stood(total.reshape(4, 4, x.shape[-1], len(_PLACES), dz.shape[-1]))


def _to_maps(place: Array, dz: Array, height: int, width: int) -> Array:
    """What maps [B, H, W, O] get of a gradient [B, H // 2, W // 2, O]."""
    rows = [[jnp.where(place == 2 * i + j, dz, 0) for j in range(2)] for i in range(2)]
    squares = jnp.stack([jnp.stack(row, 3) for row in rows], 2)  # [B, H // 2, 2, W // 2, 2, O]
    whole = squares.reshape(len(dz), 2 * dz.shape[1], 2 * dz.shape[2], dz.shape[3])
    border = [(0, 0), (0, height % 2), (0, width % 2), (0, 0)]
    return jnp.pad(whole, border)


# As in `fsjax.encoders.convolution`, the forward rules call the functions that they belong to, and
# so can be differentiated again; backward there is nothing but what has gradients itself.
def _largest_forward(x: Array, w: Array):
    z, place = _largest(x, w)
    return (z, place), (x, w, place)


def _largest_backward(saved: tuple[Array, Array, Array], cotangents: tuple[Array, Any]):
    (x, w, place), (dz, _) = saved, cotangents
    dx = conv3x3(_to_maps(place, dz, *x.shape[1:3]), flip(w))
    return dx, _to_kernel(x, place, dz)


def _to_kernel_backward(saved: tuple[Array, Array, Array], dw: Array):
    x, place, dz = saved
    _, pull = jax.vjp(lambda x, dz: corr3x3(x, _to_maps(place, dz, *x.shape[1:3])), x, dz)
    dx, ddz = pull(dw)
    return dx, None, ddz


_largest.defvjp(_largest_forward, _largest_backward)
_to_kernel.defvjp(lambda *operands: (_to_kernel(*operands), operands), _to_kernel_backward)


def _chunked(a: Array) -> Array:
    """[B, H, W, C] of squares -> [chunks, squares of a few images, C]."""
    squares = a.shape[1] * a.shape[2]
    size = most_at_once(len(a), _CHUNK // squares)
    return a.reshape(len(a) // size, size * squares, a.shape[-1])


def _squares(x: Array) -> Array:
    """[B, H, W, I] -> [B, H // 2, W // 2, 16 * I]: the 4x4 pixels that a square of places sees."""
    return _fours(_fours(x, 2), 1)


def _fours(x: Array, axis: int) -> Array:
    """Rows (axis 1) or columns (2) by twos, each two between its neighbours: 4 * C channels."""
    pairs = x.shape[axis] // 2
    border = [(0, 0)] * 4
    border[axis] = (1, 1)
    x = lax.slice_in_dim(jnp.pad(x, border), 0, 2 * pairs + 2, axis=axis)
    both = places(x, axis, 2)
    fours = [lax.slice_in_dim(p, i, pairs + i, axis=axis) for i in range(2) for p in both]
    return jnp.concatenate(fours, -1)


def _standing(w: Array) -> Array:
    """[3, 3, I, O] -> [16 * I, 4 * O]: a kernel at each place of a square, zeros around it."""
    each = [jnp.pad(w, ((i, 1 - i), (j, 1 - j), (0, 0), (0, 0))) for i, j in _PLACES]
    return jnp.stack(each, 3).reshape(-1, len(each) * w.shape[-1])


def _stood(k: Array) -> Array:
    """[4, 4, I, 4, O] -> [3, 3, I, O]: the transpose of `_standing`."""
    return sum(k[i : i + 3, j : j + 3, :, n] for n, (i, j) in enumerate(_PLACES))
