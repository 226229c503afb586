"""3x3 convolutions closed under reverse-mode differentiation, vmap and scan.

With `conv(x, w)[i, j] = sum_uv x[i+u-1, j+v-1] w[u, v]` and its kernel-correlation
`corr(x, d)[u, v] = sum_ij x[i+u-1, j+v-1] d[i, j]`, each is bilinear and the gradients of either
are the two again: the transpose of `conv(., w)` is `conv(., flip w)`, that of `conv(x, .)` is
`corr(x, .)`, that of `corr(., d)` is `conv(d, flip .)` and that of `corr(x, .)` is `conv(x, .)`.
No other convolution arises at any order, and each one is in the layout that compilers know best.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax import lax
from jax.custom_batching import custom_vmap

from fsjax.encoders import unfolded, winograd
from fsjax.types import Array

Bilinear = Callable[[Array, Array], Array]


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
    return _conv_vjp(*vary_alike(x, w))


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
    patches = unfolded.halved(unfolded.halved(x, 2), 1)
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
    return _corr_vjp(*vary_alike(x, dy))


def _check_operands(name: str, x: Array, w: Array) -> None:
    if x.ndim != 4 or w.shape[:-1] != (3, 3, x.shape[-1]) or x.dtype != w.dtype:
        raise ValueError(
            f"{name} takes x [B, H, W, I] and w [3, 3, I, O] of one dtype, "
            f"got {jax.typeof(x)} and {jax.typeof(w)}"
        )


@custom_vmap
def _conv(x: Array, w: Array) -> Array:
    cpu = _on_cpu(x, w, unfolded.conv, _conv_native, winograd.convolve)
    return lax.platform_dependent(x, w, cpu=cpu, default=_conv_native)


@custom_vmap
def _corr(x: Array, dy: Array) -> Array:
    cpu = _on_cpu(x, dy, unfolded.corr, unfolded.corr_in_chunks, winograd.correlate)
    return lax.platform_dependent(x, dy, cpu=cpu, default=_corr_native)


# The forward rules call the functions that they belong to, and so can be differentiated again.
_conv_vjp, _corr_vjp = jax.custom_vjp(_conv), jax.custom_vjp(_corr)
_conv_vjp.defvjp(
    lambda x, w: (conv3x3(x, w), (x, w)),
    lambda saved, dy: (conv3x3(dy, flip(saved[1])), corr3x3(saved[0], dy)),
)
_corr_vjp.defvjp(
    lambda x, dy: (corr3x3(x, dy), (x, dy)),
    lambda saved, t: (conv3x3(saved[1], flip(t)), conv3x3(saved[0], t)),
)


def _on_cpu(x: Array, other: Array, few: Bilinear, some: Bilinear, many: Bilinear) -> Bilinear:
    """What is the fastest there, by measurement, of few, some and many products."""
    if winograd.pays(x, other):
        return many
    return few if x.shape[-1] == 1 else some


def _conv_native(x: Array, w: Array) -> Array:
    return lax.conv_general_dilated(
        x, w, (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC")
    )


def _corr_native(x: Array, dy: Array) -> Array:
    return lax.conv_general_dilated(
        x, dy, (1, 1), ((1, 1), (1, 1)), dimension_numbers=("CHWN", "IHWO", "HWNC")
    )


def flip(w: Array) -> Array:
    """The kernel of the transposed convolution."""
    return w[::-1, ::-1].swapaxes(2, 3)


def vary_alike(a: Array, b: Array) -> tuple[Array, Array]:
    """Under shard_map, makes an operand that is the same on all devices vary as the other does.

    Its gradient is then summed over the devices, by the transpose of the sum here: a custom VJP
    has to return gradients that vary as the operands do.
    """
    return a + jnp.zeros_like(b, shape=()), b + jnp.zeros_like(a, shape=())


@_conv.def_vmap
def _conv_tasks(tasks: int, batched: list[bool], x: Array, w: Array) -> tuple[Array, bool]:
    if all(batched):
        return _each_task(_conv, unfolded.conv, x, w), True
    if batched[0]:
        y = _conv(x.reshape(-1, *x.shape[2:]), w)
        return y.reshape(*x.shape[:-1], w.shape[-1]), True
    return _split(_conv(x, _merge(w)), tasks), True


@_corr.def_vmap
def _corr_tasks(tasks: int, batched: list[bool], x: Array, dy: Array) -> tuple[Array, bool]:
    if all(batched):
        return _each_task(_corr, unfolded.corr, x, dy), True
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
