"""Prototypes with a covariance of their own."""

import jax
import jax.numpy as jnp
from jax.scipy.linalg import cho_factor, solve_triangular

from fsjax.heads.linear import mean_power, row_weights
from fsjax.heads.product import product
from fsjax.heads.prototype import class_means
from fsjax.types import Array, Head


def mahalanobis(*, ridge: float = 0.1) -> Head:
    """Classifies by Mahalanobis distance to the class means, Simple CNAPS (Bateni et al. 2020,
    https://arxiv.org/abs/1912.03432).

    The covariance of class w is l Cov_w + (1 - l) Cov + b I with l = n_w / (n_w + 1), the more
    of its own the more rows it has; Cov is that of the whole support set. Both are means over the
    rows, where the paper's are their sums over one row fewer: for two rows of a class twice these.

    Args:
      ridge: initial value of the learned b, in units of the mean squared norm of the rows that
        `init` sees. The paper's is 1 and fixed.

    Returns:
      The head; its logits are minus half the squared distance.

    Raises:
      ValueError: if the ridge is not positive.
    """
    if ridge <= 0:
        raise ValueError(f"the ridge must be positive, got {ridge}")

    def init(key, z, y):
        return {"log_ridge": jnp.log(ridge * mean_power(z, y))}

    def fit(params, z, y):
        means = class_means(z, y)
        count, weight = y.sum(0)[:, None], row_weights(y)
        share = count / (count + 1)
        own = jnp.sqrt(share * y.T / jnp.where(count > 0, count, 1.0))
        common = jnp.sqrt((1 - share) * weight.T / jnp.maximum(weight.sum(), 1e-9))
        center = class_means(z, weight)
        spread = [own[..., None] * (z - means[:, None]), common[..., None] * (z - center)]
        return means, jnp.concatenate(spread, axis=1)

    def score(params, task, z):
        ridge = jnp.exp(params["log_ridge"])

        def one_class(mean: Array, spread: Array) -> Array:
            return -0.5 * squared_distance(z - mean, spread, ridge)

        return jax.vmap(one_class, out_axes=1)(*task)

    return Head(init, fit, score)


def squared_distance(d: Array, u: Array, ridge: Array) -> Array:
    """d' (u'u + ridge I)^-1 d of each row, by a system of the smaller of R and D.

    With u u' + ridge I = L L', it is (|d|^2 - |L^-1 u d|^2) / ridge (Woodbury).

    Args:
      d: [Q, D].
      u: [R, D].
      ridge: [] positive.

    Returns:
      [Q].
    """
    rows, features = u.shape
    if rows < features:
        explained = _whitened(product(u, u.T) + ridge * jnp.eye(rows), product(u, d.T))
        return (jnp.square(d).sum(-1) - jnp.square(explained).sum(0)) / ridge
    return jnp.square(_whitened(product(u.T, u) + ridge * jnp.eye(features), d.T)).sum(0)


def _whitened(a: Array, b: Array) -> Array:
    """L^-1 b, where a = L L'."""
    return solve_triangular(cho_factor(a, lower=True)[0], b, lower=True)
