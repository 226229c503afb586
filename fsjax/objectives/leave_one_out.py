"""Episodes in which every row asks in turn."""

from collections.abc import Callable, Mapping

import jax
import jax.numpy as jnp

from fsjax.objectives.losses import cross_entropy
from fsjax.types import Array, Episode, Head, Key, Metrics, Network, Objective, Params, Step

Loss = Callable[[Array, Array], Array]  # logits [R, W], targets [R, W] -> []


def leave_one_out(
    network: Network,
    head: Head,
    loss: Loss = cross_entropy,
    watch: Mapping[str, Loss] | None = None,
) -> Objective:
    """The loss of predictions for every row of an episode, the head fitted to all other rows
    (Laenen & Bertinetto 2021, https://arxiv.org/abs/2012.09831).

    Support and query rows are embedded together, so that of the same rows more pairs are compared
    than when some of them only support and others only ask.

    Args:
      network: rows -> features [B, D].
      head: of the learner `fsjax.learners.metric`, whose parameters these are.
      loss: of logits and targets.
      watch: further figures of logits and targets, reported and not optimised.

    Returns:
      An objective over an Episode without a task axis and the parameters {"network": ...,
      "head": ...}; its metrics are "loss" and those watched.
    """
    watch = watch or {}

    def of_params(params: Params, episode: Episode, key: Key) -> tuple[Array, Metrics]:
        pairs = (episode.support.inputs, episode.query), (episode.support.labels, episode.targets)
        inputs, labels = (jax.tree.map(lambda *x: jnp.concatenate(x), *pair) for pair in pairs)
        weight = labels.sum(-1)
        z, _ = network.apply(params["network"], inputs, weight=weight, key=key, train=True)
        # Padding rows may hold anything; their features must not even be multiplied by zero.
        z = jnp.where(weight[:, None] > 0, z, 0.0)

        def ask(row: Array) -> Array:
            others = labels * (jnp.arange(len(labels)) != row)[:, None]
            return head.score(params["head"], head.fit(params["head"], z, others), z[row][None])[0]

        logits = jax.vmap(ask)(jnp.arange(len(labels)))
        value = loss(logits, labels)
        return value, {"loss": value} | {n: f(logits, labels) for n, f in watch.items()}

    def objective(params: Params, episode: Episode, key: Key, step: Step):
        return jax.grad(of_params, has_aux=True)(params, episode, key)

    return objective
