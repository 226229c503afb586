"""Ridge regression as a classifier."""

import jax.numpy as jnp

from fsjax.heads.linear import (
    init_penalty_and_scale,
    row_weights,
    score_linear,
    solve_ridge,
)
from fsjax.types import Head


def ridge(*, penalty: float = 1.0, scale: float = 10.0) -> Head:
    """Classifies by ridge regression to the labels, R2-D2 (Bertinetto et al. 2019,
    https://arxiv.org/abs/1805.08136).

    Args:
      penalty: initial value of the learned L2 penalty, in units of the mean squared norm of the
        rows that `init` sees.
      scale: initial value of the learned factor of the predictions. The paper's learned bias,
        the same for all classes, changes no probability and is left out.

    Returns:
      The head; a row counts by the sum of its labels. The task is the weights [D + 1, W].

    Raises:
      ValueError: if penalty or scale are not positive.
    """

    def fit(params, z, y):
        root = jnp.sqrt(row_weights(y))
        targets = y / jnp.where(root > 0, root, 1.0)
        return solve_ridge(z * root, root[:, 0], targets, jnp.exp(params["log_penalty"]))

    return Head(init_penalty_and_scale(penalty, scale), fit, score_linear)
