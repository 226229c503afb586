"""Losses of predictions, rows without a target ignored."""

from collections.abc import Callable

import chex
import jax
import jax.numpy as jnp
import optax

from fsjax.types import Array


def cross_entropy(logits: Array, targets: Array) -> Array:
    """Mean cross-entropy in nats over the rows that have a target.

    Args:
      logits: [Q, W]; for classes that are no answer almost minus infinity, and finite, as
        `fsjax.heads.matching` has it where it has no rows.
      targets: [Q, W] one-hot or soft; all-zero rows are ignored, and those of a class that was no
        answer.

    Returns:
      [] the loss, zero if no row has a target.
    """
    return _mean_over_rows(optax.softmax_cross_entropy, logits, targets)


def squared_error(logits: Array, targets: Array) -> Array:
    """Mean squared error of the logits' sigmoids to the one-hot targets: the loss of relation
    networks (Sung et al. 2018, https://arxiv.org/abs/1711.06025).

    Args and Returns as in `cross_entropy`, without unit.
    """

    def of_rows(logits: Array, targets: Array) -> Array:
        return jnp.square(jax.nn.sigmoid(logits) - targets).sum(-1)

    return _mean_over_rows(of_rows, logits, targets)


def mean_squared_error(predictions: Array, targets: Array) -> Array:
    """Mean squared error of a regression, every row of which counts.

    Args:
      predictions: [Q, W], of W numbers.
      targets: [Q, W].

    Returns:
      [] the error, in squares of the targets' unit.
    """
    chex.assert_equal_shape([predictions, targets])
    return optax.squared_error(predictions, targets).mean()


def are_answers(logits: Array) -> Array:
    """Whether logits are of classes that can be answered: those of others are almost minus
    infinity, as of `fsjax.heads.matching` where a class has no rows. NaN is one, and stays NaN.
    """
    return ~(logits < jnp.finfo(logits.dtype).min / 4)


def weighted_mean(x: Array, weight: Array) -> Array:
    """The mean of those x [B] that have a weight [B], whatever the others hold; zero if none has.

    Weights are at least 0.
    """
    total = weight.sum()
    return jnp.where(weight > 0, x * weight, 0.0).sum() / jnp.where(total > 0, total, 1.0)


def _mean_over_rows(loss: Callable[..., Array], logits: Array, targets: Array) -> Array:
    chex.assert_rank([logits, targets], 2)
    barred = ((targets > 0) & ~are_answers(logits)).any(-1)
    given = (targets.sum(-1) > 0) & ~barred
    # where before the loss: an ignored row may be infinite, and 0 * inf is NaN in the gradient.
    per_row = loss(jnp.where(given[:, None], logits, 0.0), targets)
    return weighted_mean(per_row, given)
