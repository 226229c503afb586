"""3x3 convolutions closed under reverse-mode differentiation, vmap and scan, and a pooling.

With `conv(x, w)[i, j] = sum_uv x[i+u-1, j+v-1] w[u, v]` and its kernel-correlation
`corr(x, d)[u, v] = sum_ij x[i+u-1, j+v-1] d[i, j]`, each is bilinear and the gradients of either
are the two again: the transpose of `conv(., w)` is `conv(., flip w)`, that of `conv(x, .)` is
`corr(x, .)`, that of `corr(., d)` is `conv(d, flip .)` and that of `corr(x, .)` is `conv(x, .)`.
No other convolution arises at any order, and each one is in the layout that compilers know best.
"""

import functools

import jax
import jax.numpy as jnp
from jax import lax
from jax.custom_batching import custom_vmap

from fsjax.types import Array

_CHUNK = 2048  # positions unfolded at a time on CPU, so that 384 columns of them stay in cache


def conv3x3(x: Array, w: Array) -> Array:
    """Convolves images with a 3x3 kernel, at stride 1 and with zeros around the border.

    It has gradients of any order in reverse mode and none in forward mode, so a Hessian-vector
    product is `grad(vdot(grad, v))`.

    Args:
      x: [B, H, W, I] images.
      w: [3, 3, I, O] kernel, of the same dtype.

    Returns:
      [B, H, W, O], of the same dtype.

    Raises:
      ValueError: a rank, a number of channels or a dtype does not fit.
    """
    _check_operands("conv3x3", x, w)
    return _conv_vjp(*_vary_alike(x, w))


def conv3x3_stride2(x: Array, w: Array) -> Array:
    """Convolves images with a 3x3 kernel, at stride 2 and with zeros around the border.

    A matrix product of unfolded patches: at a quarter of the places their copies are cheap, and
    pads and products are closed under all transformations by themselves.

    Args:
      x: [B, H, W, I] images.
      w: [3, 3, I, O] kernel, of the same dtype.

    Returns:
      [B, ceil(H / 2), ceil(W / 2), O], of the same dtype; place i looks at 2 i - 1 to 2 i + 1.

    Raises:
      ValueError: a rank, a number of channels or a dtype does not fit.
    """
    _check_operands("conv3x3_stride2", x, w)
    patches = _unfold_halved(_unfold_halved(x, 2), 1)
    # Flat: as a product of one row axis its gradients are such products too.
    y = patches.reshape(-1, patches.shape[-1]) @ w.reshape(-1, w.shape[-1])
    return y.reshape(*patches.shape[:-1], w.shape[-1])


def corr3x3(x: Array, dy: Array) -> Array:
    """Correlates images with maps: the gradient of `conv3x3` with respect to its kernel.

    Args:
      x: [B, H, W, I] images.
      dy: [B, H, W, O] maps, of the same dtype.

    Returns:
      [3, 3, I, O], of the same dtype, summed over B, H and W in at least float32.

    Raises:
      ValueError: a rank, a size or a dtype does not fit.
    """
    if x.ndim != 4 or dy.ndim != 4 or x.shape[:-1] != dy.shape[:-1] or x.dtype != dy.dtype:
        raise ValueError(
            "corr3x3 takes x [B, H, W, I] and dy [B, H, W, O] of one dtype, "
            f"got {jax.typeof(x)} and {jax.typeof(dy)}"
        )
    return _corr_vjp(*_vary_alike(x, dy))


def _check_operands(name: str, x: Array, w: Array) -> None:
    if x.ndim != 4 or w.shape[:-1] != (3, 3, x.shape[-1]) or x.dtype != w.dtype:
        raise ValueError(
            f"{name} takes x [B, H, W, I] and w [3, 3, I, O] of one dtype, "
            f"got {jax.typeof(x)} and {jax.typeof(w)}"
        )


@custom_vmap
def _conv(x: Array, w: Array) -> Array:
    return lax.conv_general_dilated(
        x, w, (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC")
    )


@custom_vmap
def _corr(x: Array, dy: Array) -> Array:
    return lax.platform_dependent(x, dy, cpu=_corr_in_chunks, default=_corr_native)


# The forward rules call the functions that they belong to, and so can be differentiated again.
_conv_vjp, _corr_vjp = jax.custom_vjp(_conv), jax.custom_vjp(_corr)
_conv_vjp.defvjp(
    lambda x, w: (conv3x3(x, w), (x, w)),
    lambda saved, dy: (conv3x3(dy, _flip(saved[1])), corr3x3(saved[0], dy)),
)
_corr_vjp.defvjp(
    lambda x, dy: (corr3x3(x, dy), (x, dy)),
    lambda saved, t: (conv3x3(saved[1], _flip(t)), conv3x3(saved[0], t)),
)


def _flip(w: Array) -> Array:
    return w[::-1, ::-1].swapaxes(2, 3)


def _vary_alike(a: Array, b: Array) -> tuple[Array, Array]:
    """Under shard_map, makes an operand that is the same on all devices vary as the other does.

    Its gradient is then summed over the devices, by the transpose of the sum here: a custom VJP
    has to return gradients that vary as the operands do.
    """
    return a + jnp.zeros_like(b, shape=()), b + jnp.zeros_like(a, shape=())


@_conv.def_vmap
def _conv_tasks(tasks: int, batched: list[bool], x: Array, w: Array) -> tuple[Array, bool]:
    if all(batched):
        return _each_task(_conv, _conv_unfolded, x, w), True
    if batched[0]:
        y = _conv(x.reshape(-1, *x.shape[2:]), w)
        return y.reshape(*x.shape[:-1], w.shape[-1]), True
    return _split(_conv(x, _merge(w)), tasks), True


@_corr.def_vmap
def _corr_tasks(tasks: int, batched: list[bool], x: Array, dy: Array) -> tuple[Array, bool]:
    if all(batched):
        return _each_task(_corr, _corr_unfolded, x, dy), True
    if batched[0]:
        return _split(_corr(_merge(x), dy).swapaxes(2, 3), tasks).swapaxes(3, 4), True
    return _split(_corr(x, _merge(dy)), tasks), True


def _each_task(loop, batch, a: Array, b: Array) -> Array:
    """A loop over tasks where one task fills the cores, one batched matrix product elsewhere."""
    return lax.platform_dependent(
        a, b, cpu=lambda a, b: lax.map(lambda ab: loop(*ab), (a, b)), default=jax.vmap(batch)
    )


def _merge(a: Array) -> Array:
    """[T, X, Y, Z, O] -> [X, Y, Z, T * O]: tasks become channels."""
    return jnp.moveaxis(a, 0, 3).reshape(*a.shape[1:4], -1)


def _split(a: Array, tasks: int) -> Array:
    """[X, Y, Z, T * O] -> [T, X, Y, Z, O]: the inverse of `_merge`."""
    return jnp.moveaxis(a.reshape(*a.shape[:3], tasks, -1), 3, 0)


def _corr_native(x: Array, dy: Array) -> Array:
    return lax.conv_general_dilated(
        x, dy, (1, 1), ((1, 1), (1, 1)), dimension_numbers=("CHWN", "IHWO", "HWNC")
    )


def _corr_in_chunks(x: Array, dy: Array) -> Array:
    images, height, width, _ = x.shape
    size = max(1, min(images, _CHUNK // (height * width)))
    loops = (images - 1) // size
    first = images - loops * size

    def add(i: Array, total: Array) -> Array:
        rows = (lax.dynamic_slice_in_dim(a, first + i * size, size) for a in (x, dy))
        return total + _products(*rows)

    # Zeros would not vary over a mesh as the products do under shard_map.
    return lax.fori_loop(0, loops, add, _products(x[:first], dy[:first])).astype(x.dtype)


def _corr_unfolded(x: Array, dy: Array) -> Array:
    return _products(x, dy).astype(x.dtype)


def _conv_unfolded(x: Array, w: Array) -> Array:
    return _unfold(_unfold(x, 2), 1) @ w.reshape(-1, w.shape[-1])


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
    wide = jnp.promote_types(a.dtype, jnp.float32)
    return jnp.einsum("bhwi,bhwo->io", a, b, preferred_element_type=wide)


def _unfold(x: Array, axis: int) -> Array:
    """[B, H, W, C] -> [B, H, W, 3 * C]: each row (axis 1) or column (2) beside its neighbours."""
    size = x.shape[axis]
    border = [(0, 0)] * 4
    border[axis] = (1, 1)
    x = jnp.pad(x, border)
    return jnp.concatenate([lax.slice_in_dim(x, u, u + size, axis=axis) for u in range(3)], -1)


def _unfold_halved(x: Array, axis: int) -> Array:
    """[B, H, W, C] -> H or W halved and 3 * C: each even row or column between its neighbours.

    Pairs by reshaping and not by strided slices, whose transposes pad with zeros between.
    """
    x = _pad(x, axis, 0, x.shape[axis] % 2)
    # Not -1, which no images would leave open.
    pairs = x.reshape(*x.shape[:axis], x.shape[axis] // 2, 2, *x.shape[axis + 1 :])
    even, odd = (lax.index_in_dim(pairs, i, axis + 1, keepdims=False) for i in range(2))
    return jnp.concatenate([_pad(odd, axis, 1, -1), even, odd], -1)


def _pad(x: Array, axis: int, low: int, high: int) -> Array:
    """Zeros before and after; fewer than none are taken away."""
    border = [(0, 0, 0)] * x.ndim
    border[axis] = (low, high, 0)
    return lax.pad(x, jnp.zeros((), x.dtype), border)


def max_pool2x2(x: Array) -> Array:
    """Takes the largest of each 2x2 square; the last row or column of an odd number is dropped.

    Args:
      x: [B, H, W, C] maps.

    Returns:
      [B, H // 2, W // 2, C]; equal maxima share the gradient.

    Raises:
      ValueError: x does not have rank 4.
    """
    if x.ndim != 4:
        raise ValueError(f"max_pool2x2 takes x [B, H, W, C], got {jax.typeof(x)}")
    height, width = (size // 2 * 2 for size in x.shape[1:3])
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
