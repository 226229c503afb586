"""Losses of predictions, rows without a target ignored."""

import chex
import jax.numpy as jnp
import optax

from fsjax.types import Array


def cross_entropy(logits: Array, targets: Array) -> Array:
    """Mean cross-entropy in nats over the rows that have a target.

    Args:
      logits: [Q, W].
      targets: [Q, W] one-hot or soft; all-zero rows are ignored.

    Returns:
      [] the loss, zero if no row has a target.
    """
    return _mean_over_rows(optax.softmax_cross_entropy(logits, targets), targets)


def squared_error(logits: Array, targets: Array) -> Array:
    """Mean squared error to the one-hot targets (Sung et al. 2018, arxiv.org/abs/1711.06025).

    Args and Returns as in `cross_entropy`, without unit.
    """
    return _mean_over_rows(jnp.square(logits - targets).sum(-1), targets)


def _mean_over_rows(per_row: Array, targets: Array) -> Array:
    chex.assert_rank([per_row, targets], [1, 2])
    weight = targets.sum(-1)
    # where, not a product: an ignored row may be infinite.
    kept = jnp.where(weight > 0, per_row, 0.0)
    return kept.sum() / jnp.maximum((weight > 0).sum(), 1)
