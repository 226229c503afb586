"""Training on single rows, classified among all training classes at once."""

import jax
import jax.numpy as jnp

from fsjax.objectives.losses import cross_entropy, weighted_mean
from fsjax.types import Array, Head, Key, Labelled, Metrics, Network, Objective, Params, Step, Task


def supervised(network: Network, head: Head) -> Objective:
    """The cross-entropy of a classifier over all training classes: the pretraining of Baseline
    and Baseline++ (Chen et al. 2019, https://arxiv.org/abs/1904.04232).

    The classifier is the head itself, whose task is not fitted to a support set but learned.

    Args:
      network: rows -> features [B, D].
      head: as `linear` for Baseline and `cosine` for Baseline++.

    Returns:
      An objective over Labelled rows and the parameters {"network": ..., "head": ...,
      "classes": ...}, the last of `init_classes`; its metrics are "loss" and "accuracy".
    """

    def of_params(params: Params, batch: Labelled, key: Key) -> tuple[Array, Metrics]:
        z, _ = network.apply(params["network"], batch.inputs, key=key, train=True)
        logits = head.score(params["head"], params["classes"], z)
        loss = cross_entropy(logits, batch.targets)
        right = logits.argmax(-1) == batch.targets.argmax(-1)
        accuracy = weighted_mean(right, batch.targets.sum(-1))
        return loss, {"loss": loss, "accuracy": accuracy}

    def objective(params: Params, batch: Labelled, key: Key, step: Step):
        return jax.grad(of_params, has_aux=True)(params, batch, key)

    return objective


def init_classes(key: Key, head: Head, params: Params, *, features: int, classes: int) -> Task:
    """A head's task over all training classes, drawn at random, to be learned.

    Args:
      key: a random key.
      head: of `supervised`.
      params: the head's.
      features: D.
      classes: C.

    Returns:
      A task as `head.fit` would give it, its entries normal with variance 1 / D.

    Raises:
      ValueError: if the task of the head keeps support rows, as that of matching networks, and
        so is nothing that could be learned.
    """

    def task(rows: int) -> Task:
        z, y = jnp.zeros((rows, features)), jnp.zeros((rows, classes))
        return jax.eval_shape(head.fit, params, z, y)

    shapes = task(1)
    if shapes != task(2):
        raise ValueError(
            "the head keeps its support rows, so it has no classifier to learn from single rows; "
            "train it on episodes, or take a head such as linear, cosine or prototype"
        )
    leaves, structure = jax.tree.flatten(shapes)
    keys = jax.random.split(key, len(leaves))
    drawn = [
        jax.random.normal(k, x.shape, x.dtype) / jnp.sqrt(features)
        for k, x in zip(keys, leaves, strict=True)
    ]
    return jax.tree.unflatten(structure, drawn)
