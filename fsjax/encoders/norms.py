"""Normalisation by statistics over rows, with no state but parameters.

Each norm is a Flax module called with x [B, ..., D], weight [B], the weight of each row in the
statistics, and a pooling of what it normalises, by maximum or mean; or, in place of x and pooling,
with `Maps`, which are computed as far as the norm asks. Statistics [D] leave through
the collection "stats", and come back through it. `flax.linen.GroupNorm` behind the same call is
`group`, which needs no statistics. Within a map over the axis "rows", as of
`fsjax.encoders.spread`, statistics are those of the rows of all its devices.
"""

import math
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import lax
from jax.lax import stop_gradient

from fsjax.encoders.pooling import Pool, no_pool
from fsjax.types import Array

ROWS = "rows"  # the axis over whose devices the rows of one task are spread


def _of_all(total: Array) -> Array:
    """A sum over the rows of this device as that over all devices, where rows are spread."""
    try:
        lax.axis_size(ROWS)
    except NameError:  # no map over such an axis
        return total
    return lax.psum(total, ROWS)


def weighted_moments(x: Array, weight: Array) -> tuple[Array, Array]:
    """Mean and variance of the features of x over all other axes, rows weighted.

    Args:
      x: [B, ..., D].
      weight: [B], not negative; if all are zero the moments are zero.

    Returns:
      mean [D] and variance [D], in float32 at least.
    """
    x = x.astype(jnp.promote_types(x.dtype, jnp.float32))
    places = tuple(range(1, x.ndim - 1))
    places_of_rows = _of_all(weight.sum()) * math.prod(x.shape[1:-1])
    total = jnp.maximum(places_of_rows, jnp.finfo(x.dtype).tiny)

    def over_rows(x: Array) -> Array:
        # At the highest precision: a large mean in fewer digits is no centre of small deviations.
        weighted = jnp.matmul(weight.astype(x.dtype), x, precision="highest")
        return _of_all(weighted) / total

    # Rows are weighted last: a weight inside the sum over places doubles the cost of its gradient.
    mean = over_rows(x.sum(places))
    # Two passes: E[x^2] - E[x]^2 loses all digits where the mean is large. The variance is
    # E[(x - c)^2] - (E[x] - c)^2 for any constant c: at c = E[x] the second term is zero, and
    # gradients of all orders are right with none through c, a pass over x that sums to zero.
    centre = stop_gradient(mean)
    squares = over_rows(jnp.square(x - centre).sum(places))
    return mean, squares - jnp.square(mean - centre)


def moments_of_product(x: Array, kernel: Array, weight: Array) -> tuple[Array, Array]:
    """`weighted_moments` of x @ kernel, by a pass over x alone, which pays where that is narrow.

    By mean m and covariance C of x they are m k and k' C k, for each column k of the kernel.

    Args:
      x: [B, ..., K].
      kernel: [K, D].
      weight: [B].

    Returns:
      mean [D] and variance [D], in float32 at least.
    """
    x, kernel = (a.astype(jnp.promote_types(a.dtype, jnp.float32)) for a in (x, kernel))
    x = x.reshape(len(x), -1, x.shape[-1])
    total = jnp.maximum(_of_all(weight.sum()) * x.shape[1], jnp.finfo(x.dtype).tiny)
    product = partial(jnp.einsum, precision="highest")

    def over_rows(of_each: Array) -> Array:
        return _of_all(product("b,b...->...", weight.astype(x.dtype), of_each)) / total

    mean = over_rows(x.sum(1))
    centre = stop_gradient(mean)  # as in `weighted_moments`
    apart = x - centre
    covariance = over_rows(product("bpk,bpl->bkl", apart, apart))
    covariance -= jnp.outer(mean - centre, mean - centre)
    variance = product("kd,kl,ld->d", kernel, covariance, kernel)
    # Rounding may leave less than nothing where a kernel sees no change.
    return product("k,kd->d", mean, kernel), jnp.maximum(variance, 0.0)


class Maps(NamedTuple):
    """Maps [B, ..., D] that are to be normalised and pooled."""

    features: int  # D
    pool: Pool
    whole: Callable[[], Array]  # [B, ..., D], not pooled
    moments: Callable[[Array], tuple[Array, Array]]  # weight [B] -> mean [D], variance [D]
    pooled: Callable[[Array], Array]  # sign [D], 1 or -1 -> the pooled product of maps and it


def maps_of(x: Array, pool: Pool = no_pool) -> Maps:
    """Those that have been computed."""

    def pooled(sign: Array) -> Array:
        return pool(x * sign.astype(x.dtype))

    return Maps(x.shape[-1], pool, lambda: x, partial(weighted_moments, x), pooled)


def _maps(x: Array | Maps, pool: Pool) -> Maps:
    return x if isinstance(x, Maps) else maps_of(x, pool)


class _Affine(nn.Module):
    epsilon: float = 1e-5

    @nn.compact
    def __call__(self, maps: Maps, mean: Array, var: Array) -> Array:
        scale = self.param("scale", nn.initializers.ones, (maps.features,))
        bias = self.param("bias", nn.initializers.zeros, (maps.features,))
        factor = scale * jax.lax.rsqrt(var + self.epsilon)
        # Pooling commutes with an increasing affine map, whose gradients then have fewer terms.
        sign = jnp.where(factor < 0, -1, 1)
        x = maps.pooled(sign)
        return (x * (sign * factor) + (bias - mean * factor)).astype(x.dtype)


class GroupNorm(nn.Module):
    """Group normalisation (Wu & He 2018, https://arxiv.org/abs/1803.08494): each row by itself."""

    groups: int = 8

    @nn.compact
    def __call__(
        self, x: Array | Maps, weight: Array, *, train: bool, pool: Pool = no_pool
    ) -> Array:
        """x [B, ..., D] -> the same shape, pooled; `groups` must divide D."""
        maps = _maps(x, pool)
        return maps.pool(nn.GroupNorm(self.groups)(maps.whole()))


class EpisodeNorm(nn.Module):
    """Batch statistics of all rows passed in (Ioffe & Szegedy 2015, arxiv.org/abs/1502.03167).

    At prediction the rows are the queries: transductive.
    """

    @nn.compact
    def __call__(
        self, x: Array | Maps, weight: Array, *, train: bool, pool: Pool = no_pool
    ) -> Array:
        """x [B, ..., D], weight [B] -> the same shape, pooled."""
        maps = _maps(x, pool)
        return _Affine()(maps, *maps.moments(weight))


class SupportNorm(nn.Module):
    """Statistics of the support set, used again for the queries: inductive.

    Bronskill et al. 2020, TaskNorm (https://arxiv.org/abs/2003.03284), call it MetaBN.
    """

    @nn.compact
    def __call__(
        self, x: Array | Maps, weight: Array, *, train: bool, pool: Pool = no_pool
    ) -> Array:
        """x [B, ..., D], weight [B] -> the same shape, pooled; "stats" are used if given."""
        maps = _maps(x, pool)
        moments = self.variable("stats", "moments", _moments_of_support, maps, weight)
        return _Affine()(maps, *moments.value)


def _moments_of_support(maps: Maps, weight: Array) -> tuple[Array, Array]:
    """0 and 1 if no row counts, as of a modality that no support row has: queries stay as large
    as they are, where a variance of zero would enlarge them by a factor of hundreds a layer."""
    mean, var = maps.moments(weight)
    return mean, jnp.where(_of_all(weight.sum()) > 0, var, 1.0)


class CalibratedNorm(nn.Module):
    """Batch statistics in training; at test the parameters `mean` and `var`, set by `calibrate`."""

    @nn.compact
    def __call__(
        self, x: Array | Maps, weight: Array, *, train: bool, pool: Pool = no_pool
    ) -> Array:
        """x [B, ..., D], weight [B] -> the same shape, pooled."""
        maps = _maps(x, pool)
        mean = self.param("mean", nn.initializers.zeros, (maps.features,))
        var = self.param("var", nn.initializers.ones, (maps.features,))
        affine = _Affine()
        if not train:
            return affine(maps, stop_gradient(mean), stop_gradient(var))
        return affine(maps, *told_moments(self, maps, weight))


def told_moments(module: nn.Module, maps: Maps, weight: Array) -> tuple[Array, Array]:
    """The moments of maps, sown by a module into "stats" beside the weight of the rows they are
    of.
    """
    mean, var = maps.moments(weight)
    for name, value in (("mean", mean), ("var", var), ("rows", _of_all(weight.sum()))):
        module.sow("stats", name, value, reduce_fn=_last, init_fn=lambda: None)
    return mean, var


def _last(old: Array | None, new: Array) -> Array:
    """What a statistic that is sown twice becomes."""
    return new
