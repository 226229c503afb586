"""Classifiers fitted to the support set by gradient descent, the features frozen."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import optax

from fsjax.heads.distances import cosine as cosine_distance
from fsjax.heads.distances import unit
from fsjax.heads.linear import mean_power, row_weights, with_ones
from fsjax.heads.product import product, wide
from fsjax.heads.prototype import class_means
from fsjax.types import Array, Head

Logits = Callable[[Array, Array], Array]  # weights, z [B, D] -> [B, W]


def linear(*, steps: int = 100, rate: float = 1.0, decay: float = 1e-3) -> Head:
    """Fits a linear classifier to the support set: Baseline (Chen et al. 2019,
    https://arxiv.org/abs/1904.04232).

    Args:
      steps: of gradient descent over the whole support set, from zero.
      rate: of the descent, in units of the inverse mean squared norm of the rows.
      decay: L2 penalty on the weights.

    Returns:
      The head, without parameters; a row counts by the sum of its labels. The task is the
      weights [D + 1, W].

    Raises:
      ValueError: if there is no step.
    """
    _check_steps(steps)

    def logits(weights: Array, z: Array) -> Array:
        return product(with_ones(z), weights)

    def fit(params, z, y):
        start = jnp.zeros_like(z, jnp.result_type(wide(z), y), (z.shape[1] + 1, y.shape[1]))
        size = rate / mean_power(with_ones(z), y)
        return _descend(logits, start, z, y, steps=steps, rate=size, decay=decay)

    return Head(_no_params, fit, lambda params, weights, z: logits(weights, z))


def cosine(
    *, steps: int = 100, rate: float = 1.0, decay: float = 1e-3, scale: float = 10.0
) -> Head:
    """Fits a classifier of cosine similarities to the support set: Baseline++ (Chen et al. 2019,
    https://arxiv.org/abs/1904.04232).

    Args:
      steps: of gradient descent over the whole support set, from the class means at unit length.
      rate: of the descent, in units of 1 / scale^2, as the curvature grows by scale^2.
      decay: L2 penalty on the weights.
      scale: factor of the similarities.

    Returns:
      The head, without parameters; a row counts by the sum of its labels. The task is the
      weights [W, D].

    Raises:
      ValueError: if there is no step.
    """
    _check_steps(steps)

    def logits(weights: Array, z: Array) -> Array:
        return scale * (1.0 - cosine_distance(z, weights))

    def fit(params, z, y):
        start = unit(class_means(z, y))
        return _descend(logits, start, z, y, steps=steps, rate=rate / scale**2, decay=decay)

    return Head(_no_params, fit, lambda params, weights, z: logits(weights, z))


def _check_steps(steps: int) -> None:
    if steps < 1:
        raise ValueError(f"the classifier takes a step at least, got {steps}")


def _no_params(key, z, y):
    return {}


def _descend(
    logits: Logits, weights: Array, z: Array, y: Array, *, steps: int, rate, decay: float
) -> Array:
    total, seen = jnp.maximum(row_weights(y).sum(), jnp.finfo(z.dtype).tiny), y.any(0)

    def loss(weights: Array) -> Array:
        among = jnp.where(seen, logits(weights, z), jnp.finfo(z.dtype).min / 2)
        # Soft labels that add up to less than one weigh their row down.
        return optax.softmax_cross_entropy(among, y).sum() / total

    def step(weights: Array, _: None) -> tuple[Array, None]:
        return weights - rate * (jax.grad(loss)(weights) + decay * weights), None

    return jax.lax.scan(step, weights, length=steps)[0]
