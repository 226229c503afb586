"""Synthetic rows as the network sees them, before it has seen them: pictures, for one."""

from typing import Any

import jax.numpy as jnp

from fsjax.learners.hallucinate import FEATURES, HallucinatedTask, Hallucinator, hallucinate
from fsjax.learners.metric import metric
from fsjax.types import (
    Array,
    Episode,
    Examples,
    Generator,
    Head,
    Inputs,
    Key,
    Network,
    Params,
    Stats,
    Support,
)


def pictures(
    seen: Network,
    network: Network,
    head: Head,
    generator: Generator,
    *,
    modality: str = "image",
    **options: Any,
) -> Hallucinator:
    """A learner that adapts to real and to synthetic pictures, all encoded by one network: data
    augmentation by a generator (Antoniou et al. 2017, https://arxiv.org/abs/1711.04340).

    It is `hallucinate` in the space of one modality, so that a prototype is the mean picture of a
    class, and of one row that row itself.

    Args:
      seen: rows -> values of the modality [B, ...] as an encoder takes them; no parameters.
      network: rows of that modality alone -> features [B, D].
      head: fitted to the features of real and synthetic rows.
      generator: what is known of classes -> values [B, ...].
      modality: what is generated.
      **options: weights, describe and share, of `hallucinate`.

    Returns:
      The learner, whose parameters are {"network": ..., "learner": {"head": ...}, "generator":
      ...}. Its `examples` are values [B, ...], its `rows` features [B, D].
    """

    def of_values(values: Array) -> Inputs:
        return Inputs({modality: values}, {modality: jnp.ones(len(values))})

    def init_network(key: Key, inputs: Inputs) -> Params:
        return network.init(key, of_values(inputs.values[FEATURES]))

    def apply_network(params: Params, inputs: Inputs, **options: Any) -> tuple[Array, Stats]:
        return network.apply(params, of_values(inputs.values[FEATURES]), **options)

    inner = hallucinate(
        seen, metric(Network(init_network, apply_network), head), generator, **options
    )

    def init(key: Key, support: Support) -> Params:
        params = inner.init(key, support)
        learned = dict(params["learner"])
        return params | {"network": learned.pop("network"), "learner": learned}

    def adapt(params: Params, support: Support, **how: Any) -> HallucinatedTask:
        return inner.adapt(_inner(params), support, **how)

    def predict(params: Params, task: HallucinatedTask, query: Inputs, **how: Any) -> Array:
        return inner.predict(_inner(params), task, query, **how)

    def examples(params: Params, episode: Episode, key: Key) -> Examples:
        return inner.examples(_inner(params), episode, key)

    def rows(params: Params, episode: Episode, key: Key) -> tuple[Array, Array]:
        values, labels = inner.rows(_inner(params), episode, key)
        how = {"weight": labels.sum(-1), "key": key, "train": True}
        return network.apply(params["network"], of_values(values), **how)[0], labels

    return Hallucinator(init, adapt, predict, examples, rows)


def _inner(params: Params) -> Params:
    """Parameters as the learner that is wrapped has them."""
    return params | {
        "network": {},
        "learner": params["learner"] | {"network": params["network"]},
    }
