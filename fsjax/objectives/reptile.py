"""Towards the parameters that tasks adapt to."""

from collections.abc import Callable, Mapping

import jax
import jax.numpy as jnp

from fsjax.objectives.losses import cross_entropy
from fsjax.types import Array, Episode, Key, Learner, Objective, Params, Step, Task

Loss = Callable[[Array, Array], Array]  # logits [R, W], targets [R, W] -> []


def reptile(
    learner: Learner,
    adapted: Callable[[Task], Params],
    loss: Loss = cross_entropy,
    watch: Mapping[str, Loss] | None = None,
) -> Objective:
    """The difference of the parameters to those adapted to all rows of an episode: Reptile (Nichol
    et al. 2018, https://arxiv.org/abs/1803.02999).

    Nothing is differentiated but the steps themselves. Descending by it at a rate e moves the
    parameters to (1 - e) of themselves and e of the adapted ones.

    Args:
      learner: whose parameters are a dictionary and adapt themselves, as `maml` with
        `learned_layer`.
      adapted: task -> those of the learner's parameters that adapt, as they are after it.
      loss: of logits and targets, of the adapted learner on the rows that it adapted to; only
        reported.
      watch: further figures of the same, reported.

    Returns:
      An objective over an Episode without a task axis; its metrics are "loss" and those watched.
    """
    figures = {"loss": loss} | dict(watch or {})

    def objective(params: Params, episode: Episode, key: Key, step: Step):
        pairs = (episode.support.inputs, episode.query), (episode.support.labels, episode.targets)
        inputs, labels = (jax.tree.map(lambda *x: jnp.concatenate(x), *pair) for pair in pairs)
        key_adapt, key_predict = jax.random.split(key)
        rows = episode.support._replace(inputs=inputs, labels=labels)
        task = learner.adapt(params, rows, key=key_adapt, train=True)
        logits = learner.predict(params, task, inputs, key=key_predict, train=True)
        after = params | adapted(task)
        gradients = jax.tree.map(jnp.subtract, params, after)
        return gradients, {name: figure(logits, labels) for name, figure in figures.items()}

    return objective
