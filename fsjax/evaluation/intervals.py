"""Means over episodes with their 95% intervals."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from scipy.special import stdtrit

Z95 = 1.959964  # 97.5% point of the normal distribution, to which a bootstrap's draws come near


class Interval(NamedTuple):
    """A mean, and half the width of its 95% interval."""

    mean: float
    half_width: float


def mean_ci95(x: np.ndarray) -> Interval:
    """The mean over episodes and its 95% interval by Student's t (Student 1908,
    https://doi.org/10.1093/biomet/6.1.1).

    Args:
      x: [E] one figure for each episode.

    Returns:
      The mean and the 97.5% point of t with E - 1 degrees of freedom, 1.96 of many episodes,
      times its standard error.

    Raises:
      ValueError: if there are fewer than two episodes, or not one figure for each.
    """
    x = _episodes(x)
    if x.ndim != 1:
        raise ValueError(f"a mean needs one figure for each episode, got {x.shape}")
    error = x.std(ddof=1) / np.sqrt(len(x))
    return Interval(float(x.mean()), float(stdtrit(len(x) - 1, 0.975) * error))


def bootstrap_ci95(
    statistic: Callable[[np.ndarray], float], x: np.ndarray, *, resamples: int = 200, seed: int = 0
) -> float:
    """Half the width of the 95% interval of a statistic of all episodes together, by drawing
    episodes again (Efron 1979, https://doi.org/10.1214/aos/1176344552).

    Args:
      statistic: of [E, ...] episodes -> a number.
      x: [E, ...] figures of each episode.
      resamples: how often E episodes are drawn with replacement.
      seed: of the draws.

    Returns:
      1.96 standard deviations of the statistic over the draws.

    Raises:
      ValueError: if there are fewer than two episodes.
    """
    x, rng = _episodes(x), np.random.default_rng(seed)
    draws = (statistic(x[rng.integers(0, len(x), len(x))]) for _ in range(resamples))
    return float(Z95 * np.std(list(draws), ddof=1))


def paired_difference(a: np.ndarray, b: np.ndarray) -> Interval:
    """The mean difference a - b of two methods on the same episodes, with its 95% interval.

    Args:
      a: [E] figures of one method.
      b: [E] figures of the other, on the same episodes.

    Returns:
      The interval; the methods differ at the 5% level if it does not hold zero.

    Raises:
      ValueError: if the episodes are not the same number.
    """
    if np.shape(a) != np.shape(b):
        raise ValueError(f"paired figures need the same episodes, got {np.shape(a)} {np.shape(b)}")
    return mean_ci95(np.asarray(a, np.float64) - np.asarray(b, np.float64))


def _episodes(x: np.ndarray) -> np.ndarray:
    x = np.asarray(x, np.float64)
    if x.ndim < 1 or len(x) < 2:
        raise ValueError(f"an interval needs the figures of two episodes or more, got {x.shape}")
    return x
