"""What the heads that are linear in the features share."""

from collections.abc import Callable

import jax.numpy as jnp
from jax.scipy.linalg import cho_factor, cho_solve

from fsjax.heads.product import product
from fsjax.types import Array, Key, Params


def row_weights(y: Array) -> Array:
    """How much each row counts: y [S, W] -> [S, 1]."""
    return y.sum(-1, keepdims=True)


def with_ones(z: Array) -> Array:
    """[B, D] -> [B, D + 1]: a last feature that is one, for a bias."""
    return jnp.concatenate([z, jnp.ones_like(z[:, :1])], axis=-1)


def mean_power(z: Array, y: Array) -> Array:
    """Mean squared norm of the rows that count, one if it is zero: z [S, D], y [S, W] -> []."""
    weight = row_weights(y)
    power = (weight * jnp.square(z)).sum() / jnp.maximum(weight.sum(), jnp.finfo(z.dtype).tiny)
    return jnp.where(power > 0, power, 1.0)


def init_penalty_and_scale(penalty: float, scale: float) -> Callable[[Key, Array, Array], Params]:
    """`init` of a head with a learned penalty, in units of the features' power, and a scale.

    Raises:
      ValueError: if one of them is not positive.
    """
    if penalty <= 0 or scale <= 0:
        raise ValueError(f"penalty and scale must be positive, got {penalty} and {scale}")

    def init(key: Key, z: Array, y: Array) -> Params:
        return {
            "log_penalty": jnp.log(penalty * mean_power(z, y)),
            "log_scale": jnp.log(jnp.asarray(scale, z.dtype)),
        }

    return init


def score_linear(params: Params, weights: Array, z: Array) -> Array:
    """Logits [Q, W] of weights [D + 1, W] for z [Q, D], times the learned scale."""
    return product(with_ones(z), weights) * jnp.exp(params["log_scale"])


def solve_ridge(x: Array, t: Array, penalty: Array) -> Array:
    """argmin |x a - t|^2 + penalty |a|^2, by a system of the smaller of S and D.

    (x'x + p I)^-1 x' = x' (x x' + p I)^-1, since x' (x x' + p I) = (x'x + p I) x'.

    Args:
      x: [S, D].
      t: [S, W].
      penalty: [] positive.

    Returns:
      [D, W].
    """
    rows, features = x.shape
    if rows < features:
        return product(x.T, solve(product(x, x.T) + penalty * jnp.eye(rows), t))
    return solve(product(x.T, x) + penalty * jnp.eye(features), product(x.T, t))


def solve(a: Array, b: Array) -> Array:
    """a^-1 b of a positive definite a [N, N], for b [N] or [N, K]."""
    return cho_solve(cho_factor(a), b)
