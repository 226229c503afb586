"""Metric-based methods: embed the rows, compare them in the space of features."""

from typing import NamedTuple

import jax

from fsjax.learners.embedding import embed_support
from fsjax.types import Array, Head, Inputs, Key, Learner, Network, Params, Stats, Support, Task


class MetricTask(NamedTuple):
    """What is kept of a support set."""

    fitted: Task  # of the head
    stats: Stats  # normalisation statistics of the support set


def metric(network: Network, head: Head) -> Learner:
    """A learner that embeds the support set and fits a head to it, without any gradient step.

    Args:
      network: rows -> features [B, D].
      head: its `fit` is all the adaptation there is.

    Returns:
      The learner; its parameters are {"network": ..., "head": ...}.
    """

    def init(key: Key, support: Support) -> Params:
        key_network, key_head = jax.random.split(key)
        params = network.init(key_network, support.inputs)
        z, _ = network.apply(params, support.inputs, weight=support.labels.sum(-1))
        return {"network": params, "head": head.init(key_head, z, support.labels)}

    def adapt(
        params: Params, support: Support, *, key: Key | None = None, train: bool = False
    ) -> MetricTask:
        z, stats = embed_support(network, params["network"], support, key=key, train=train)
        return MetricTask(head.fit(params["head"], z, support.labels), stats)

    def predict(
        params: Params,
        task: MetricTask,
        query: Inputs,
        *,
        key: Key | None = None,
        train: bool = False,
    ) -> Array:
        z, _ = network.apply(
            params["network"],
            query,
            stats=task.stats,
            key=None if key is None else jax.random.fold_in(key, 1),
            train=train,
        )
        return head.score(params["head"], task.fitted, z)

    return Learner(init, adapt, predict)
