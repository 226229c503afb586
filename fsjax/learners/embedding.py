"""Features of rows, padding among them set to zero."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from fsjax.types import Array, Episode, Inputs, Key, Network, Params, Stats, Support


def embed(
    network: Network, params: Params, inputs: Inputs, labels: Array, **options: Any
) -> tuple[Array, Stats]:
    """Features of labelled rows, zero for those whose label is zero.

    Args:
      network: rows -> features [B, ...].
      params: the network's.
      inputs: [B, ...].
      labels: [B, W], whose sum is the weight of a row in the statistics.
      **options: of `network.apply`.

    Returns:
      [B, ...] the features, and the statistics.
    """
    weight = labels.sum(-1)
    z, stats = network.apply(params, inputs, weight=weight, **options)
    # Padding rows may hold anything; their features must not even be multiplied by zero.
    return jnp.where(weight.reshape(-1, *(1,) * (z.ndim - 1)) > 0, z, 0.0), stats


def embed_support(
    network: Network, params: Params, support: Support, *, key: Key | None, train: bool
) -> tuple[Array, Stats]:
    """Features [S, ...] of a support set and its statistics, as a learner's `adapt` sees it."""
    key = None if key is None else jax.random.fold_in(key, 0)
    return embed(network, params, support.inputs, support.labels, key=key, train=train)


def embed_episode(
    network: Network, params: Params, episode: Episode, key: Key, *, train: bool = True
) -> tuple[Array, Array]:
    """Features of support [S, ...] and query rows [Q, ...], in training unless told otherwise."""
    key_support, key_query = jax.random.split(key)
    support, targets = episode.support, episode.targets
    options = {"key": key_support, "train": train}
    z, stats = embed(network, params, support.inputs, support.labels, **options)
    options = {"key": key_query, "train": train, "stats": stats}
    query, _ = embed(network, params, episode.query, targets, **options)
    return z, query


def embedded_rows(network: Network) -> Callable[[Params, Episode, Key], tuple[Array, Array]]:
    """params, episode, key -> features [S + Q, D] and labels [S + Q, W] of all its rows, for a
    learner whose parameters hold "network".
    """

    def rows(params: Params, episode: Episode, key: Key) -> tuple[Array, Array]:
        z, query = embed_episode(network, params["network"], episode, key)
        labels = jnp.concatenate([episode.support.labels, episode.targets])
        return jnp.concatenate([z, query]), labels

    return rows
