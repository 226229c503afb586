"""Whether to answer a query, and how often an answer is wrong (Chow 1970,
https://doi.org/10.1109/TIT.1970.1054406; Geifman & El-Yaniv 2017, https://arxiv.org/abs/1705.08500).
"""

import math

import jax
import jax.numpy as jnp
import numpy as np

from fsjax.evaluation.figures import correct, guessed
from fsjax.types import Array


def confidences(logits: Array, targets: Array) -> Array:
    """Queries by how sure of them a model is, as a figure of an episode.

    Args:
      logits: [Q, W].
      targets: [Q, W].

    Returns:
      [2, Q]: the largest probability, 0 of logits that are NaN and NaN of rows whose target is all
      zero, and whether it is that of the target, 1 or 0.
    """
    given = targets.sum(-1) > 0
    largest = jnp.nan_to_num(jax.nn.softmax(guessed(logits)).max(-1))
    return jnp.stack([jnp.where(given, largest, jnp.nan), correct(logits, targets)])


def least_confidence(confidence: np.ndarray, right: np.ndarray, risk: float) -> float:
    """The least confidence such that of the queries with it or more at most so many are wrong.

    Args:
      confidence: [N] largest probabilities; NaN of those that do not count, as of `confidences`.
      right: [N] 1 or 0.
      risk: share of wrong answers, in 0..1.

    Returns:
      One of the confidences, or infinity if at none of them so few are wrong.
    """
    confidence, right = np.asarray(confidence), np.asarray(right, np.float64)
    order = np.argsort(-confidence, kind="stable")[: np.count_nonzero(~np.isnan(confidence))]
    sure, right = confidence[order], right[order]
    wrong = np.cumsum(1 - right) / np.arange(1, len(right) + 1)
    # Of queries that are equally sure all are answered, or none.
    last = np.append(sure[1:] < sure[:-1], True)
    kept = np.flatnonzero(last & (wrong <= risk))
    return float(sure[kept[-1]]) if len(kept) else math.inf


def answered(figures: np.ndarray, least: float) -> np.ndarray:
    """What is answered from a least confidence on.

    Args:
      figures: [E, 2, Q] of `confidences`.
      least: confidence.

    Returns:
      [E, 3] of each episode: how many queries, how many of them are answered, how many of those
      wrong.
    """
    confidence, right = np.asarray(figures, np.float64).swapaxes(0, 1)
    sure = confidence >= least  # of NaN never
    counts = (np.isfinite(confidence), sure, sure & (right == 0))
    return np.stack([count.sum(1) for count in counts], axis=1)


def share_answered(counts: np.ndarray) -> float:
    """The share of queries that are answered: [E, 3] of `answered` -> 0..1."""
    queries, sure, _ = counts.sum(0)
    return float(sure / max(queries, 1))


def share_wrong(counts: np.ndarray) -> float:
    """The share of answers that are wrong, the risk: [E, 3] of `answered` -> 0..1."""
    _, sure, wrong = counts.sum(0)
    return float(wrong / max(sure, 1))
