"""Logistic regression as a classifier."""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from fsjax.heads.linear import (
    init_penalty_and_scale,
    row_weights,
    score_linear,
    solve_ridge,
    solve_with_bias,
    with_ones,
)
from fsjax.heads.product import product
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
        weight, penalty = row_weights(y), jnp.exp(params["log_penalty"])
        # Of the smaller of rows and features.
        solve = _by_rows if z.shape[0] <= z.shape[1] else _by_features
        ridge, weights_of = solve(z, penalty)

        def one_class(y: Array) -> Array:
            found, scores = None, jnp.zeros(y.shape, z.dtype)
            for _ in range(steps):
                found, scores = ridge(*_newton(scores, y, weight[:, 0]))
            return weights_of(found)

        return jax.vmap(one_class, in_axes=1, out_axes=1)(y)

    return Head(init_penalty_and_scale(penalty, scale), fit, score_linear)


def _newton(scores: Array, y: Array, weight: Array) -> tuple[Array, Array]:
    """One step from the scores x a of all rows towards the least cross-entropy + penalty / 2 |a|^2.

    With p = sigmoid(x a) and s = weight p (1 - p), it is the ridge regression of
    x a + (y - weight p) / s on x with weights s: the roots of s, and what is regressed times them,
    [S] each.
    """
    p = jax.nn.sigmoid(scores)
    s = weight * jnp.maximum(p * (1 - p), 1e-6)
    root = jnp.sqrt(jnp.where(s > 0, s, 1.0)) * (s > 0)
    residual = (y - weight * p) / jnp.where(s > 0, root, 1.0)
    return root, root * scores + residual


def _by_features(z: Array, penalty: Array) -> tuple[Callable, Callable]:
    """Ridge regressions with weights on [z, 1] [S, D + 1]: root [S], target [S] -> a [D + 1] and
    the scores [z, 1] a [S].
    """

    def ridge(root: Array, target: Array) -> tuple[Array, Array]:
        a = solve_ridge(root[:, None] * z, root, target, penalty)
        return a, product(with_ones(z), a)

    return ridge, lambda a: a


def _by_rows(z: Array, penalty: Array) -> tuple[Callable, Callable]:
    """The same by c [S] and the bias b, where a = [z'c, b]: with R the roots r on a diagonal,
    (R [z, 1])' (R z z' R + r r' + p I)^-1 t = [z, 1]'c with c = R (R z z' R + r r' + p I)^-1 t,
    and z z' serves all.
    """
    k = product(z, z.T)

    def ridge(root: Array, target: Array) -> tuple[tuple[Array, Array], Array]:
        a = root[:, None] * k * root + penalty * jnp.eye(len(k))
        c, bias = solve_with_bias(a, root, target)
        return (root * c, bias), product(k, root * c) + bias

    return ridge, lambda found: jnp.append(product(z.T, found[0]), found[1])
