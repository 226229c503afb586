"""Normalisation by statistics over rows, with no state but parameters.

Each norm is a Flax module called with x [B, ..., D] and weight [B], the weight of each row in
the statistics. Statistics [D] leave through the collection "stats", and come back through it.
`flax.linen.GroupNorm` behind the same call is `group`, which needs no statistics.
"""

import math

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax.lax import stop_gradient

from fsjax.types import Array


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
    total = jnp.maximum(weight.sum() * math.prod(x.shape[1:-1]), jnp.finfo(x.dtype).tiny)
    # Rows are weighted last: a weight inside the sum over places doubles the cost of its gradient.
    weight = weight.astype(x.dtype)
    mean = weight @ x.sum(places) / total
    # Two passes: E[x^2] - E[x]^2 loses all digits where the mean is large.
    return mean, weight @ jnp.square(x - mean).sum(places) / total


class _Affine(nn.Module):
    epsilon: float = 1e-5

    @nn.compact
    def __call__(self, x: Array, mean: Array, var: Array) -> Array:
        scale = self.param("scale", nn.initializers.ones, (x.shape[-1],))
        bias = self.param("bias", nn.initializers.zeros, (x.shape[-1],))
        factor = scale * jax.lax.rsqrt(var + self.epsilon)
        return (x * factor + (bias - mean * factor)).astype(x.dtype)


class GroupNorm(nn.Module):
    """Group normalisation (Wu & He 2018, https://arxiv.org/abs/1803.08494): each row by itself."""

    groups: int = 8

    @nn.compact
    def __call__(self, x: Array, weight: Array, *, train: bool) -> Array:
        """x [B, ..., D] -> same shape; `groups` must divide D."""
        return nn.GroupNorm(self.groups)(x)


class EpisodeNorm(nn.Module):
    """Batch statistics of all rows passed in (Ioffe & Szegedy 2015, arxiv.org/abs/1502.03167).

    At prediction the rows are the queries: transductive.
    """

    @nn.compact
    def __call__(self, x: Array, weight: Array, *, train: bool) -> Array:
        """x [B, ..., D], weight [B] -> same shape."""
        return _Affine()(x, *weighted_moments(x, weight))


class SupportNorm(nn.Module):
    """Statistics of the support set, used again for the queries: inductive.

    Bronskill et al. 2020, TaskNorm (https://arxiv.org/abs/2003.03284), call it MetaBN.
    """

    @nn.compact
    def __call__(self, x: Array, weight: Array, *, train: bool) -> Array:
        """x [B, ..., D], weight [B] -> same shape; statistics given in "stats" are used."""
        moments = self.variable("stats", "moments", weighted_moments, x, weight)
        return _Affine()(x, *moments.value)


class CalibratedNorm(nn.Module):
    """Batch statistics in training; at test the parameters `mean` and `var`, set by `calibrate`."""

    @nn.compact
    def __call__(self, x: Array, weight: Array, *, train: bool) -> Array:
        """x [B, ..., D], weight [B] -> same shape."""
        mean = self.param("mean", nn.initializers.zeros, (x.shape[-1],))
        var = self.param("var", nn.initializers.ones, (x.shape[-1],))
        affine = _Affine()
        if not train:
            return affine(x, stop_gradient(mean), stop_gradient(var))
        moments = weighted_moments(x, weight)
        self.sow("stats", "mean", moments[0], reduce_fn=last, init_fn=lambda: None)
        self.sow("stats", "var", moments[1], reduce_fn=last, init_fn=lambda: None)
        return affine(x, *moments)


def last(old: Array | None, new: Array) -> Array:
    """What a statistic that is sown twice becomes."""
    return new
