"""Figures of one episode: logits [Q, W] and targets [Q, W] to a number or an array.

Rows whose target is all zero are ignored, except by `auroc`.
"""

from collections.abc import Callable

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax

from fsjax.types import Array

Figure = Callable[[Array, Array], Array]  # logits [Q, W], targets [Q, W] -> any shape


def accuracy(logits: Array, targets: Array) -> Array:
    """Share of the queries whose largest logit is that of the target: -> [] in 0..1."""
    return _mean(correct(logits, targets), targets)


def correct(logits: Array, targets: Array) -> Array:
    """Whether the largest logit of each query is that of its target: -> [Q], 1 or 0; 0 of NaN."""
    chex.assert_rank([logits, targets], 2)
    right = logits.argmax(-1) == targets.argmax(-1)
    return (right & _answered(logits)).astype(jnp.float32)


def covered(logits: Array, targets: Array) -> Array:
    """Share of the classes that each query may be: -> [Q], those of finite logits, in 0..1."""
    return jnp.isfinite(logits).mean(-1)


def accuracy_by_step(logits: Array, targets: Array) -> Array:
    """Accuracies after every inner step.

    Args:
      logits: [steps + 1, Q, W], as of `fsjax.learners.maml.along_path`.
      targets: [Q, W].

    Returns:
      [steps + 1] in 0..1.
    """
    return jax.vmap(accuracy, (0, None))(logits, targets)


def negative_log_likelihood(logits: Array, targets: Array) -> Array:
    """Mean negative log-likelihood of the targets: -> [] in nats.

    A target whose logit is minus infinity, which was no answer, costs what a guess does.
    """
    chex.assert_rank([logits, targets], 2)
    loss = optax.safe_softmax_cross_entropy(guessed(logits), targets)
    return _mean(jnp.where(jnp.isposinf(loss), jnp.log(logits.shape[-1]), loss), targets)


def reliability(logits: Array, targets: Array, bins: int = 15) -> Array:
    """Queries by confidence, for `expected_calibration_error`.

    Args:
      logits: [Q, W].
      targets: [Q, W].
      bins: equal bins of the largest probability, 0 to 1.

    Returns:
      [3, bins]: how many queries, the sum of their confidences, how many of them are right.
    """
    confidence = jax.nn.softmax(guessed(logits)).max(-1)
    place = jnp.clip((confidence * bins).astype(jnp.int32), 0, bins - 1)
    rows = jnp.stack([jnp.ones_like(confidence), confidence, correct(logits, targets)])
    # where, not a product: an ignored row may be infinite.
    counted = jnp.where(_given(targets) > 0, rows, 0.0)
    return jnp.matmul(counted, jax.nn.one_hot(place, bins), precision="highest")


def confusion(logits: Array, targets: Array) -> Array:
    """Counts [W, W] of queries by target (row) and prediction (column), which NaN is none of."""
    chex.assert_rank([logits, targets], 2)
    predicted = jax.nn.one_hot(logits.argmax(-1), logits.shape[-1])
    return targets.T @ (predicted * _answered(logits)[:, None])


def auroc(logits: Array, targets: Array) -> Array:
    """Area under the ROC curve that tells queries of known classes from others by their largest
    logit (Vaze et al. 2022, https://arxiv.org/abs/2110.06207).

    Args:
      logits: [Q, W].
      targets: [Q, W]; here the rows of zeros count: they belong to no class.

    Returns:
      [] the probability, 0..1, that a known query has a larger score than an unknown one, ties
      counted by half; zero if there are not both.
    """
    chex.assert_rank([logits, targets], 2)
    score, known = logits.max(-1), _given(targets)
    # Compared, not subtracted: of two that are infinite the difference is NaN.
    above = (score[:, None] > score) + (score[:, None] == score) / 2
    pairs = known[:, None] * (1 - known)
    return (above * pairs).sum() / jnp.maximum(pairs.sum(), 1)


def expected_calibration_error(reliabilities: np.ndarray) -> float:
    """Expected calibration error (Guo et al. 2017, https://arxiv.org/abs/1706.04599).

    Args:
      reliabilities: [E, 3, bins] of `reliability`, or [3, bins] of one episode.

    Returns:
      The mean distance of confidence from accuracy, bins weighted by their queries, in 0..1.
    """
    tables = np.asarray(reliabilities, np.float64)
    count, confidence, right = tables.reshape(-1, *tables.shape[-2:]).sum(0)
    return float(np.abs(confidence - right).sum() / max(count.sum(), 1))


def told(logits: Array) -> Array:
    """Logits of which those that stand for no answer, almost minus infinity as of
    `fsjax.heads.matching` where a class has no rows, are minus infinity.
    """
    return jnp.where(logits < jnp.finfo(logits.dtype).min / 4, -jnp.inf, logits)


def guessed(logits: Array) -> Array:
    """Logits of a query that has no answer, all minus infinity, as those of a guess."""
    return jnp.where(jnp.isneginf(logits).all(-1, keepdims=True), 0.0, logits)


def _answered(logits: Array) -> Array:
    """Whether each query has a prediction [Q], as none of NaN has."""
    return ~jnp.isnan(logits).any(-1)


def _given(targets: Array) -> Array:
    return (targets.sum(-1) > 0).astype(jnp.float32)


def _mean(per_row: Array, targets: Array) -> Array:
    given = _given(targets)
    return jnp.where(given > 0, per_row, 0.0).sum() / jnp.maximum(given.sum(), 1)
