"""Objectives made of others."""

from collections.abc import Collection, Mapping

import jax
import jax.numpy as jnp

from fsjax.types import Batch, Key, Metrics, Objective, Params, Step


def together(objectives: Mapping[str, Objective], weights: Mapping[str, float]) -> Objective:
    """Several objectives at once, on the same batch.

    Args:
      objectives: name -> objective.
      weights: name -> factor of its gradients and loss; 1 for those not named.

    Returns:
      The objective whose gradients are the weighted sum; its metrics are "loss", the weighted sum
      of losses, and NAME_METRIC of each.
    """

    def objective(params: Params, batch: Batch, key: Key, step: Step) -> tuple[Params, Metrics]:
        total, metrics = jax.tree.map(jnp.zeros_like, params), {"loss": 0.0}
        keys = jax.random.split(key, len(objectives))
        for (name, each), key in zip(objectives.items(), keys, strict=True):
            weight = weights.get(name, 1.0)
            gradients, figures = each(params, batch, key, step)
            total = jax.tree.map(lambda t, g, w=weight: t + w * g, total, gradients)
            metrics["loss"] += weight * figures["loss"]
            metrics |= {f"{name}_{metric}": figure for metric, figure in figures.items()}
        return total, metrics

    return objective


def only(names: Collection[str], objective: Objective) -> Objective:
    """An objective that moves some of the parameters.

    Args:
      names: of those that it moves; the gradients of all others are zero.
      objective: over parameters that are a dictionary.
    """

    def some(params: Params, batch: Batch, key: Key, step: Step) -> tuple[Params, Metrics]:
        gradients, metrics = objective(params, batch, key, step)
        zeros = jax.tree.map(jnp.zeros_like, gradients)
        return {k: (gradients if k in names else zeros)[k] for k in gradients}, metrics

    return some
