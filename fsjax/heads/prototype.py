"""Prototypical networks."""

from collections.abc import Callable

import jax.numpy as jnp

from fsjax.heads.distances import squared_euclidean
from fsjax.heads.product import product
from fsjax.types import Array, Head

Distance = Callable[[Array, Array], Array]


def class_means(z: Array, y: Array) -> Array:
    """Prototypes, the weighted mean of each class: z [S, D], y [S, W] -> [W, D].

    A class without rows has the prototype zero.
    """
    total = y.sum(0)[:, None]
    return product(y.T, z) / jnp.where(total > 0, total, 1.0)


def within_classes(z: Array, y: Array, means: Array) -> tuple[Array, Array]:
    """How far rows lie from the means of their classes.

    Args:
      z: [S, D].
      y: [S, W].
      means: [W, D], as of `class_means`.

    Returns:
      The sum of their squared distances [], and its degrees of freedom [], of a feature: the rows
      less the classes that have any.
    """
    total = y.sum(0)
    freedom = jnp.maximum(total.sum() - (total > 0).sum(), 0.0)
    return (y * squared_euclidean(z, means)).sum(), freedom


def prototype(*, distance: Distance = squared_euclidean, temperature: float = 0.1) -> Head:
    """Classifies by the nearest class mean (Snell et al. 2017, https://arxiv.org/abs/1703.05175).

    Args:
      distance: (z [Q, D], prototypes [W, D]) -> [Q, W], as in `fsjax.heads.distances`.
      temperature: initial value of the learned scale that divides the distances, in units of
        the mean distance between the rows that `init` sees: with it, training starts alike
        whatever the encoder's scale and D are.

    Returns:
      The head; logits are -distance / temperature, and the task is the prototypes [W, D].

    Raises:
      ValueError: if the temperature is not positive.
    """
    if temperature <= 0:
        raise ValueError(f"the temperature must be positive, got {temperature}")

    def init(key, z, y):
        return {"log_temperature": jnp.log(temperature * typical_distance(distance, z, y))}

    def fit(params, z, y):
        return class_means(z, y)

    def score(params, prototypes, z):
        return -distance(z, prototypes) * jnp.exp(-params["log_temperature"])

    return Head(init, fit, score)


def typical_distance(distance: Distance, z: Array, y: Array) -> Array:
    """The mean distance between two rows of a support set, one if it is zero or there are no two.

    Args:
      distance: zero, up to rounding, between a row and itself.
      z: [S, D].
      y: [S, W]; rows of zeros are padding.

    Returns:
      [].
    """
    given = y.any(-1)
    pairs = given.sum() * (given.sum() - 1)
    total = jnp.where(given[:, None] & given, distance(z, z), 0.0).sum()
    typical = total / jnp.maximum(pairs, 1)
    # Of one row alone the total is what rounding leaves of its distance to itself.
    return jnp.where((pairs > 0) & (typical > 0), typical, 1.0)
