"""Distances between queries and prototypes."""

import chex
import jax.numpy as jnp

from fsjax.heads.product import product, wide
from fsjax.types import Array


def squared_euclidean(a: Array, b: Array) -> Array:
    """Squared Euclidean distances: a [Q, D], b [W, D] -> [Q, W]."""
    chex.assert_rank([a, b], 2)
    return jnp.square(wide(a)[:, None] - wide(b)).sum(-1)


def euclidean(a: Array, b: Array) -> Array:
    """Euclidean distances, with gradient zero at distance zero: a [Q, D], b [W, D] -> [Q, W]."""
    return _safe_sqrt(squared_euclidean(a, b))


def cosine(a: Array, b: Array) -> Array:
    """One minus the cosine similarity, one where a row is zero: a [Q, D], b [W, D] -> [Q, W]."""
    chex.assert_rank([a, b], 2)
    return 1.0 - product(unit(a), unit(b).T)


def _safe_sqrt(x: Array) -> Array:
    # The derivative of sqrt at 0 is infinite, and inf * 0 is NaN: take the root elsewhere.
    positive = x > 0
    return jnp.where(positive, jnp.sqrt(jnp.where(positive, x, 1.0)), 0.0)


def unit(x: Array) -> Array:
    """Rows at length one, zero rows as they are: [B, D] -> [B, D]."""
    x = wide(x)
    norm = _safe_sqrt(jnp.square(x).sum(-1, keepdims=True))
    return x / jnp.where(norm > 0, norm, 1.0)
