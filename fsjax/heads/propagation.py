"""Label propagation over support and queries."""

import jax
import jax.numpy as jnp

from fsjax.heads.distances import squared_euclidean
from fsjax.heads.prototype import typical_distance
from fsjax.types import Array, Head


def propagation(*, neighbours: int = 20, alpha: float = 0.9, length: float = 0.3) -> Head:
    """Classifies by labels that spread along a graph of neighbours, TPN (Liu et al. 2019,
    https://arxiv.org/abs/1805.10002). Transductive; queries of zeros, as rows are of which nothing
    was seen, have no neighbours.

    Args:
      neighbours: edges that each row keeps, those to the nearest rows.
      alpha: how much of a label spreads on, in (0, 1); the paper's is 0.99.
      length: initial value of the learned length over which a similarity falls off, in units of
        the root mean squared distance between the rows that `init` sees; in the paper a network
        gives each row its own.

    Returns:
      The head; a logit is the logarithm of the label that reaches a query. The task is the
      support set.

    Raises:
      ValueError: if an argument is out of range.
    """
    if neighbours < 1 or not 0 < alpha < 1 or length <= 0:
        raise ValueError(
            f"neighbours must be 1 or more, alpha in (0, 1) and the length positive, got "
            f"{neighbours}, {alpha} and {length}"
        )

    def init(key, z, y):
        squared = typical_distance(squared_euclidean, z, y)
        return {"log_length": jnp.log(length) + 0.5 * jnp.log(squared)}

    def fit(params, z, y):
        return z, y

    def score(params, task, z):
        support, y = task
        rows = jnp.concatenate([support, z])
        exists = jnp.concatenate([y.any(-1), z.any(-1)])
        distances = squared_euclidean(rows, rows) * jnp.exp(-2 * params["log_length"])
        spread = _spread(-0.5 * distances, _kept(distances, exists, neighbours))
        known = jnp.concatenate([y, jnp.zeros((len(z), y.shape[1]), y.dtype)])
        labels = jnp.linalg.solve(jnp.eye(len(rows)) - alpha * spread, known)[len(support) :]
        return jnp.log(jnp.maximum(labels, jnp.finfo(labels.dtype).tiny))

    return Head(init, fit, score)


def _kept(distances: Array, exists: Array, neighbours: int) -> Array:
    """Whether there is an edge [N, N]: between neighbours, to no row itself and to no padding."""
    n = len(distances)
    joined = exists[:, None] & exists & ~jnp.eye(n, dtype=bool)
    near = jnp.where(joined, -distances, -jnp.inf)
    least = jax.lax.top_k(near, min(neighbours, n))[0][:, -1:]
    return joined & ((near >= least) | (near >= least.T))


def _spread(logs: Array, kept: Array) -> Array:
    """D^-1/2 exp(logs) D^-1/2 of the edges kept, D the sums of their rows.

    By logarithms, since the edges of a row far from all others underflow, and derivatives of
    D^-1/2 overflow long before.
    """
    least = jnp.finfo(logs.dtype).min / 4
    degree = jax.nn.logsumexp(jnp.where(kept, logs, least), axis=1)
    ratios = jnp.where(kept, logs - 0.5 * (degree[:, None] + degree), 0.0)
    return jnp.where(kept, jnp.exp(ratios), 0.0)
