"""Logistic regression as a classifier."""

import jax
import jax.numpy as jnp

from fsjax.heads.linear import (
    init_penalty_and_scale,
    row_weights,
    score_linear,
    solve_ridge,
    with_ones,
)
from fsjax.types import Array, Head


def logistic(*, steps: int = 5, penalty: float = 0.01, scale: float = 1.0) -> Head:
    """Classifies by logistic regression of each class against the rest, LR-D2 (Bertinetto et al.
    2019, https://arxiv.org/abs/1805.08136).

    Args:
      steps: of Newton's method.
      penalty: initial value of the learned L2 penalty, in units of the mean squared norm of the
        rows that `init` sees.
      scale: initial value of the learned factor of the predictions.

    Returns:
      The head; a row counts by the sum of its labels. The task is the weights [D + 1, W].

    Raises:
      ValueError: if an argument is not positive.
    """
    if steps < 1:
        raise ValueError(f"Newton's method takes a step at least, got {steps}")

    def fit(params, z, y):
        x, weight = with_ones(z), row_weights(y)
        penalty = jnp.exp(params["log_penalty"])

        def one_class(y: Array) -> Array:
            a = jnp.zeros((x.shape[1], 1), z.dtype)
            for _ in range(steps):
                a = _newton(a, x, y[:, None], weight, penalty)
            return a[:, 0]

        return jax.vmap(one_class, in_axes=1, out_axes=1)(y)

    return Head(init_penalty_and_scale(penalty, scale), fit, score_linear)


def _newton(a: Array, x: Array, y: Array, weight: Array, penalty: Array) -> Array:
    """One step for a [D, 1] towards the least cross-entropy + penalty / 2 |a|^2.

    With p = sigmoid(x a) and s = weight p (1 - p), Newton's step is the ridge regression of
    x a + (y - weight p) / s on x with weights s.
    """
    p = jax.nn.sigmoid(x @ a)
    s = weight * jnp.maximum(p * (1 - p), 1e-6)
    root = jnp.sqrt(jnp.where(s > 0, s, 1.0)) * (s > 0)
    residual = (y - weight * p) / jnp.where(s > 0, root, 1.0)
    return solve_ridge(root * x, root * (x @ a) + residual, penalty)
