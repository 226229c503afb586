"""Prototypes refined by the queries."""

import jax
import jax.numpy as jnp

from fsjax.heads.distances import squared_euclidean
from fsjax.heads.product import product
from fsjax.heads.prototype import Distance, prototype
from fsjax.types import Head


def soft_kmeans(
    *, steps: int = 1, distance: Distance = squared_euclidean, temperature: float = 0.1
) -> Head:
    """Classifies by the nearest class mean, where queries join the means by their probabilities
    (Ren et al. 2018, https://arxiv.org/abs/1803.00676). Transductive; queries of zeros, as rows
    are of which nothing was seen, join none.

    Args:
      steps: of soft k-means.
      distance: as in `prototype`.
      temperature: as in `prototype`.

    Returns:
      The head; its task is the sum [W, D] and the number [W, 1] of the rows of each class.

    Raises:
      ValueError: if steps or temperature are not positive.
    """
    if steps < 1:
        raise ValueError(f"soft k-means takes a step at least, got {steps}")
    nearest = prototype(distance=distance, temperature=temperature)

    def fit(params, z, y):
        return product(y.T, z), y.sum(0)[:, None]

    def score(params, task, z):
        total, count = task
        means, joins = total / jnp.where(count > 0, count, 1.0), (count > 0).T & z.any(-1)[:, None]
        for _ in range(steps):
            scores = nearest.score(params, means, z)
            share = jax.nn.softmax(jnp.where(joins, scores, jnp.finfo(scores.dtype).min)) * joins
            means = (total + product(share.T, z)) / jnp.maximum(count + share.sum(0)[:, None], 1e-9)
        return nearest.score(params, means, z)

    return Head(nearest.init, fit, score)
