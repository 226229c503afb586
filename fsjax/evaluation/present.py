"""The best that single modalities can do where any may be missing."""

from collections.abc import Mapping

import numpy as np


def best_present(
    right: Mapping[str, np.ndarray],
    covered: Mapping[str, np.ndarray],
    skill: Mapping[str, float],
    *,
    ways: int,
) -> np.ndarray:
    """Accuracies if each query is answered by the best of the modalities that it has.

    The best is the one most likely to be right: the share of the classes that its support rows
    cover, times how well it does where nothing is missing. A query that none can answer is
    guessed, and counts 1 / ways.

    Args:
      right: modality -> [E, Q], 1 where the model of this modality alone is right.
      covered: modality -> [E, Q] the share of classes between which it chose, 0 where the query
        lacks the modality.
      skill: modality -> its accuracy with every modality present, measured on validation.
      ways: W.

    Returns:
      [E] in 0..1.
    """
    names = sorted(right)
    hopes = np.stack([np.asarray(covered[name]) * skill[name] for name in names])
    chosen = hopes.argmax(0)[None]
    answers = np.take_along_axis(np.stack([np.asarray(right[name]) for name in names]), chosen, 0)
    return np.where(hopes.max(0) > 0, answers[0], 1.0 / ways).mean(-1)
