"""Normalisation by statistics over rows, with no state but parameters.

Each norm is a Flax module called with x [B, ..., D], weight [B], the weight of each row in the
statistics, and a pooling of what it normalises, by maximum or mean. Statistics [D] leave through
the collection "stats", and come back through it. `flax.linen.GroupNorm` behind the same call is
`group`, which needs no statistics. Within a map over the axis "rows", as of
`fsjax.encoders.spread`, statistics are those of the rows of all its devices.
"""

import math

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


class _Affine(nn.Module):
    epsilon: float = 1e-5

    @nn.compact
    def __call__(self, x: Array, mean: Array, var: Array, pool: Pool) -> Array:
        scale = self.param("scale", nn.initializers.ones, (x.shape[-1],))
        bias = self.param("bias", nn.initializers.zeros, (x.shape[-1],))
        factor = scale * jax.lax.rsqrt(var + self.epsilon)
        # Pooling commutes with an increasing affine map, whose gradients then have fewer terms.
        sign = jnp.where(factor < 0, -1, 1).astype(x.dtype)
        return (pool(x * sign) * (sign * factor) + (bias - mean * factor)).astype(x.dtype)


class GroupNorm(nn.Module):
    """Group normalisation (Wu & He 2018, https://arxiv.org/abs/1803.08494): each row by itself."""

    groups: int = 8

    @nn.compact
    def __call__(self, x: Array, weight: Array, *, train: bool, pool: Pool = no_pool) -> Array:
        """x [B, ..., D] -> the same shape, pooled; `groups` must divide D."""
        return pool(nn.GroupNorm(self.groups)(x))


class EpisodeNorm(nn.Module):
    """Batch statistics of all rows passed in (Ioffe & Szegedy 2015, arxiv.org/abs/1502.03167).

    At prediction the rows are the queries: transductive.
    """

    @nn.compact
    def __call__(self, x: Array, weight: Array, *, train: bool, pool: Pool = no_pool) -> Array:
        """x [B, ..., D], weight [B] -> the same shape, pooled."""
        return _Affine()(x, *weighted_moments(x, weight), pool)


class SupportNorm(nn.Module):
    """Statistics of the support set, used again for the queries: inductive.

    Bronskill et al. 2020, TaskNorm (https://arxiv.org/abs/2003.03284), call it MetaBN.
    """

    @nn.compact
    def __call__(self, x: Array, weight: Array, *, train: bool, pool: Pool = no_pool) -> Array:
        """x [B, ..., D], weight [B] -> the same shape, pooled; "stats" are used if given."""
        moments = self.variable("stats", "moments", _moments_of_support, x, weight)
        return _Affine()(x, *moments.value, pool)


def _moments_of_support(x: Array, weight: Array) -> tuple[Array, Array]:
    """0 and 1 if no row counts, as of a modality that no support row has: queries stay as large
    as they are, where a variance of zero would enlarge them by a factor of hundreds a layer."""
    mean, var = weighted_moments(x, weight)
    return mean, jnp.where(_of_all(weight.sum()) > 0, var, 1.0)


class CalibratedNorm(nn.Module):
    """Batch statistics in training; at test the parameters `mean` and `var`, set by `calibrate`."""

    @nn.compact
    def __call__(self, x: Array, weight: Array, *, train: bool, pool: Pool = no_pool) -> Array:
        """x [B, ..., D], weight [B] -> the same shape, pooled."""
        mean = self.param("mean", nn.initializers.zeros, (x.shape[-1],))
        var = self.param("var", nn.initializers.ones, (x.shape[-1],))
        affine = _Affine()
        if not train:
            return affine(x, stop_gradient(mean), stop_gradient(var), pool)
        return affine(x, *told_moments(self, x, weight), pool)


def told_moments(module: nn.Module, x: Array, weight: Array) -> tuple[Array, Array]:
    """The moments of x, sown by a module into "stats" beside the weight of the rows they are of."""
    mean, var = weighted_moments(x, weight)
    for name, value in (("mean", mean), ("var", var), ("rows", _of_all(weight.sum()))):
        module.sow("stats", name, value, reduce_fn=_last, init_fn=lambda: None)
    return mean, var


def _last(old: Array | None, new: Array) -> Array:
    """What a statistic that is sown twice becomes."""
    return new
