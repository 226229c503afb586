"""Episodes in which every row asks in turn."""

from collections.abc import Callable, Mapping

import jax
import jax.numpy as jnp

from fsjax.objectives.answers import answerable
from fsjax.objectives.losses import cross_entropy
from fsjax.types import Array, Embed, Episode, Head, Key, Metrics, Objective, Params, Step

Loss = Callable[[Array, Array], Array]  # logits [R, W], targets [R, W] -> []


def leave_one_out(
    embed: Embed,
    head: Head,
    loss: Loss = cross_entropy,
    watch: Mapping[str, Loss] | None = None,
) -> Objective:
    """The loss of predictions for every row of an episode, the head fitted to all other rows
    (Laenen & Bertinetto 2021, https://arxiv.org/abs/2012.09831).

    Of the same rows more pairs are compared than when some of them only support and others only
    ask. A row that has no other of its class asks nothing.

    Args:
      embed: parameters, episode, key -> features [R, D] and labels of all its rows.
      head: of the learner `fsjax.learners.metric`, whose parameters these are.
      loss: of logits and targets.
      watch: further figures of logits and targets, reported and not optimised.

    Returns:
      An objective over an Episode without a task axis and the parameters {"network": ...,
      "head": ...}; its metrics are "loss" and those watched.
    """
    watch = watch or {}

    def of_params(params: Params, episode: Episode, key: Key) -> tuple[Array, Metrics]:
        z, labels = embed(params, episode, key)

        def ask(row: Array) -> Array:
            others = labels * (jnp.arange(len(labels)) != row)[:, None]
            task = head.fit(params["head"], z, others)
            logits = head.score(params["head"], task, z[row][None])
            return answerable(logits, others.sum(0))[0]

        logits = jax.vmap(ask)(jnp.arange(len(labels)))
        value = loss(logits, labels)
        return value, {"loss": value} | {n: f(logits, labels) for n, f in watch.items()}

    def objective(params: Params, episode: Episode, key: Key, step: Step):
        return jax.grad(of_params, has_aux=True)(params, episode, key)

    return objective
