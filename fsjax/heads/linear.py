"""What the heads that are linear in the features share."""

from collections.abc import Callable

import chex
import jax.numpy as jnp
from jax.scipy.linalg import cho_factor, cho_solve

from fsjax.heads.product import product, wide
from fsjax.types import Array, Key, Params


def row_weights(y: Array) -> Array:
    """How much each row counts: y [S, W] -> [S, 1]."""
    chex.assert_rank(y, 2)
    return y.sum(-1, keepdims=True)


def with_ones(z: Array) -> Array:
    """[B, D] -> [B, D + 1]: a last feature that is one, for a bias."""
    return jnp.concatenate([z, jnp.ones_like(z[:, :1])], axis=-1)


def mean_power(z: Array, y: Array) -> Array:
    """Mean squared norm of the rows that count, one if it is zero: z [S, D], y [S, W] -> []."""
    weight = row_weights(y)
    total = (weight * jnp.square(wide(z))).sum()
    power = total / jnp.maximum(weight.sum(), jnp.finfo(z.dtype).tiny)
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
            "log_scale": jnp.log(jnp.asarray(scale, wide(z).dtype)),
        }

    return init


def score_linear(params: Params, weights: Array, z: Array) -> Array:
    """Logits [Q, W] of weights [D + 1, W] for z [Q, D], times the learned scale."""
    return product(with_ones(z), weights) * jnp.exp(params["log_scale"])


def solve_ridge(x: Array, u: Array, t: Array, penalty: Array) -> Array:
    """argmin |[x, u] a - t|^2 + penalty |a|^2, by a system of the smaller of S and D + 1.

    With X = [x, u], (X'X + p I)^-1 X' = X' (X X' + p I)^-1, since X' (X X' + p I) = (X'X + p I) X'.

    Args:
      x: [S, D].
      u: [S] the column of the bias.
      t: [S, W], or [S].
      penalty: [] positive.

    Returns:
      [D + 1, W], or [D + 1], the bias last.
    """
    rows, features = x.shape
    if rows <= features:
        c, bias = solve_with_bias(product(x, x.T) + penalty * jnp.eye(rows), u, t)
        return jnp.concatenate([product(x.T, c), bias[None]])
    x = jnp.concatenate([x, u[:, None]], axis=1)
    a = product(x.T, x) + penalty * jnp.eye(features + 1)
    return cho_solve(cho_factor(a), product(x.T, t))


def solve_with_bias(a: Array, u: Array, t: Array) -> tuple[Array, Array]:
    """c = (a + u u')^-1 t and the bias u'c, of a positive definite a [N, N] that may be tiny.

    c = a^-1 (t - u u'c), whence u'c = u'a^-1 t / (1 + u'a^-1 u) (Sherman and Morrison 1950,
    https://doi.org/10.1214/aoms/1177729893). Beside u u' a tiny a would be rounded away.

    Args:
      a: [N, N].
      u: [N].
      t: [N, W], or [N].

    Returns:
      [N, W] and [W], or [N] and [].
    """
    factor = cho_factor(a)
    of_t, of_u = cho_solve(factor, t), cho_solve(factor, u)
    bias = product(u, of_t) / (1 + product(u, of_u))
    return of_t - jnp.multiply.outer(of_u, bias), bias
