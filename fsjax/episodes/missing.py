"""Modalities that are missing: Episode -> Episode, on the device."""

from collections.abc import Collection, Mapping

import jax
import jax.numpy as jnp

from fsjax.episodes import flat
from fsjax.types import Array, Episode, Inputs, Key, Labelled

Rate = float | Array | Mapping[str, float | Array]  # of all modalities, or of those named


def drop_modalities(
    key: Key, episode: Episode, *, rate: Rate, query: Rate | None = None
) -> Episode:
    """Marks modalities of rows as missing at random, in support and query.

    As modality dropout in training (Neverova et al. 2015, ModDrop, https://arxiv.org/abs/1501.00102)
    it keeps a fusion from leaning on one modality alone. A row keeps at least one of those it has:
    of several that would all be dropped, any with the same probability. The same key drops at a
    higher rate of all modalities what it drops at a lower one and more, as far as a row has more
    than one; where their rates differ, which of them a row keeps depends on the rates.

    Args:
      key: a random key.
      episode: without a task axis.
      rate: probability, 0..1, that a modality of a row is dropped, for all modalities or for each
        that is to be dropped.
      query: the same of the query rows; that of the support rows unless given.

    Returns:
      The episode with some of `present` set to zero; values are left as they are.

    Raises:
      ValueError: if a rate is of a modality that the episode does not have.
    """
    key_support, key_query = jax.random.split(key)
    inputs = _drop(key_support, episode.support.inputs, rate)
    support = episode.support._replace(inputs=inputs)
    dropped = _drop(key_query, episode.query, rate if query is None else query)
    return episode._replace(support=support, query=dropped)


def _drop(key: Key, inputs: Inputs, rate: Rate) -> Inputs:
    names = sorted(inputs.present)
    if isinstance(rate, Mapping):
        _check_names(rate, names)
    present = jnp.stack([inputs.present[name] for name in names])
    each = [rate.get(name, 0.0) if isinstance(rate, Mapping) else rate for name in names]
    rates = jnp.stack([jnp.asarray(x, jnp.float32) for x in each])[:, None]
    u = flat.uniform(key, present.shape)
    # Where u < rate, u / rate is uniform: the largest of those present survives.
    place = u / jnp.maximum(rates, 1e-30)
    last = jnp.argmax(jnp.where(present > 0, place, -1.0), axis=0)
    kept = (u >= rates) | (jnp.arange(len(names))[:, None] == last)
    dropped: list[Array] = list(present * kept)
    return inputs._replace(present=dict(zip(names, dropped, strict=True)))


def see_through(
    episode: Episode, *, support: Mapping[str, float | Array], query: Mapping[str, float | Array]
) -> Episode:
    """Hides modalities from all support rows, and others from all query rows.

    So text can describe classes of which images ask (zero-shot retrieval as an episode). A row
    that has none of the modalities it is seen through is padding: its label, or its target, is
    set to zero.

    Args:
      episode: without a task axis.
      support: modality -> 1 for those through which support rows are seen, 0 for others; one
        that is not named is hidden.
      query: the same of query rows.

    Returns:
      The episode with `present`, labels and targets changed.

    Raises:
      ValueError: if a modality is named that the episode does not have.
    """
    inputs, asked = _hide(episode.support.inputs, support), _hide(episode.query, query)
    labels = episode.support.labels * _any_present(inputs)[:, None]
    targets = episode.targets * _any_present(asked)[:, None]
    return Episode(episode.support._replace(inputs=inputs, labels=labels), asked, targets)


def _check_names(named: Collection[str], names: Collection[str]) -> None:
    if unknown := sorted(set(named) - set(names)):
        raise ValueError(f"no modality is called {', '.join(unknown)}; there is {', '.join(names)}")


def _hide(inputs: Inputs, seen: Mapping[str, float | Array]) -> Inputs:
    _check_names(seen, inputs.present)
    return inputs._replace(present={m: x * seen.get(m, 0.0) for m, x in inputs.present.items()})


def _any_present(inputs: Inputs, names: Collection[str] | None = None) -> Array:
    present = [inputs.present[name] for name in names or inputs.present]
    return (jnp.stack(present) > 0).any(0).astype(jnp.float32)


def unseen_as_padding(key: Key, episode: Episode, *, modalities: Collection[str]) -> Episode:
    """Rows of which a model sees nothing as padding: their labels, or targets, are set to zero.

    Args:
      key: not used, since nothing is drawn.
      episode: without a task axis.
      modalities: that the model sees.

    Returns:
      The episode; what is present is left as it is, as for a teacher that sees more.
    """
    del key
    seen, asked = (_any_present(x, modalities) for x in (episode.support.inputs, episode.query))
    support = episode.support._replace(labels=episode.support.labels * seen[:, None])
    return episode._replace(support=support, targets=episode.targets * asked[:, None])


def unseen_untargeted(batch: Labelled, *, modalities: Collection[str]) -> Labelled:
    """Single rows of which a model sees nothing, their targets set to zero.

    Args:
      batch: rows of any classes.
      modalities: that the model sees.
    """
    seen = _any_present(batch.inputs, modalities)
    return batch._replace(targets=batch.targets * seen[:, None])


def narrow_views(
    key: Key, episode: Episode, *, alone: float | Array = 0.0, cross: float | Array = 0.0
) -> Episode:
    """Shows some episodes through a single modality, the same on both sides or two different ones.

    Through one alone, an episode gives the gradient of an unimodal loss, so that the easy modality
    does not starve the others (the losses that Wang et al. 2020 add to the fused one,
    https://arxiv.org/abs/1905.12681): in expectation the loss is (1 - alone) times that of all
    modalities and alone times the mean of the unimodal ones. Across two, all modalities have to
    meet in one space (as those of Frome et al. 2013, DeViSE,
    https://papers.nips.cc/paper/5204-devise-a-deep-visual-semantic-embedding-model).

    Args:
      key: a random key.
      episode: without a task axis, of two modalities or more.
      alone: probability that support and query are seen through one and the same modality, drawn
        uniformly.
      cross: probability that they are seen through one each, two different ones; the two add up to
        at most 1.

    Returns:
      The episode, changed as by `see_through`, or as it is.
    """
    names = sorted(episode.query.present)
    key_kind, key_pair = jax.random.split(key)
    u = jax.random.uniform(key_kind)
    first, second = jax.lax.top_k(jax.random.uniform(key_pair, (len(names),)), 2)[1]
    drawn = jnp.stack([first, jnp.where(u < alone, first, second)])
    seen = jnp.where(u < alone + cross, jax.nn.one_hot(drawn, len(names)), 1.0)
    support, query = (dict(zip(names, row, strict=True)) for row in seen)
    return see_through(episode, support=support, query=query)
