"""Modalities that go missing: Episode -> Episode, on the device."""

import jax
import jax.numpy as jnp

from fsjax.types import Array, Episode, Inputs, Key


def drop_modalities(key: Key, episode: Episode, *, rate: float) -> Episode:
    """Marks modalities of rows as missing at random, in support and query.

    As modality dropout in training (Neverova et al. 2015, ModDrop, https://arxiv.org/abs/1501.00102)
    it keeps a fusion from leaning on one modality alone. A row keeps at least one of those it has.

    Args:
      key: a random key.
      episode: without a task axis.
      rate: probability, 0..1, that a modality of a row is dropped.

    Returns:
      The episode with some of `present` set to zero; values are left as they are.
    """
    key_support, key_query = jax.random.split(key)
    inputs = _drop(key_support, episode.support.inputs, rate)
    support = episode.support._replace(inputs=inputs)
    return episode._replace(support=support, query=_drop(key_query, episode.query, rate))


def _drop(key: Key, inputs: Inputs, rate: float) -> Inputs:
    names = sorted(inputs.present)
    present = jnp.stack([inputs.present[name] for name in names])
    u = jax.random.uniform(key, present.shape)
    # The present modality with the largest number survives, whatever the rate.
    last = jnp.argmax(jnp.where(present > 0, u, -1.0), axis=0)
    kept = (u >= rate) | (jnp.arange(len(names))[:, None] == last)
    dropped: list[Array] = list(present * kept)
    return inputs._replace(present=dict(zip(names, dropped, strict=True)))
