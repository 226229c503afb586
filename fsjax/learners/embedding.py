"""Features of rows, padding among them set to zero."""

from typing import Any

import jax
import jax.numpy as jnp

from fsjax.types import Array, Embed, Episode, Inputs, Key, Network, Params, Stats, Support


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


def embed_in_turn(network: Network, *, train: bool = True) -> Embed:
    """Support rows first, and then queries by the statistics of the support set, as `adapt` and
    `predict` of a learner see them.

    Args:
      network: rows -> features [B, ...]; its parameters are the learner's "network".
      train: whether it is told that it trains.
    """

    def of_episode(params: Params, episode: Episode, key: Key) -> tuple[Array, Array]:
        (support, query), labels = _halves(episode)
        keys, stats, z = jax.random.split(key), None, []
        for inputs, y, k in zip((support, query), labels, keys, strict=True):
            options = {"key": k, "train": train, "stats": stats}
            part, stats = embed(network, params["network"], inputs, y, **options)
            z.append(part)
        return jnp.concatenate(z), jnp.concatenate(labels)

    return of_episode


def embed_together(network: Network, *, train: bool = True) -> Embed:
    """All rows of an episode in one pass: its kernels are read once, and it is compiled once.

    Statistics of a norm, where it takes any in training, are those of all of them: not for norms
    by whose statistics rows share information at test.

    Args as in `embed_in_turn`.
    """

    def of_episode(params: Params, episode: Episode, key: Key) -> tuple[Array, Array]:
        pairs = _halves(episode)
        inputs, labels = (jax.tree.map(lambda *x: jnp.concatenate(x), *pair) for pair in pairs)
        z, _ = embed(network, params["network"], inputs, labels, key=key, train=train)
        return z, labels

    return of_episode


def _halves(episode: Episode) -> tuple[tuple[Inputs, Inputs], tuple[Array, Array]]:
    support = episode.support
    return (support.inputs, episode.query), (support.labels, episode.targets)
