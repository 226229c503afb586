"""Episodes in which some queries belong to no class."""

from typing import Any

from fsjax.episodes.sample import sample_episode
from fsjax.types import Episode, Inputs, Key, Pool, Support


def sample_open_episode(
    key: Key, pool: Pool, *, ways: int, unknown: int, **settings: Any
) -> Episode:
    """Draws an episode whose queries come from more classes than its support set.

    As in few-shot open-set recognition (Liu et al. 2020, https://arxiv.org/abs/2005.13713).

    Args:
      key: a random key; the episode is a function of it.
      pool: the rows of one split.
      ways: W, classes of the support set.
      unknown: U, further classes that only ask.
      **settings: shots, queries and draw, as of `sample_episode`.

    Returns:
      The episode of W ways: the support rows of the unknown classes are padding, and their
      queries, the last U * queries rows, have all-zero targets.
    """
    support, query, targets = sample_episode(key, pool, ways=ways + unknown, **settings)
    side = Inputs(*({m: x[:ways] for m, x in part.items()} for part in support.side))
    return Episode(
        Support(support.inputs, support.labels[:, :ways], side), query, targets[:, :ways]
    )
