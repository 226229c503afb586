"""The relation module of the triangular relation network."""

from collections.abc import Callable
from typing import NamedTuple

import chex
import flax.linen as nn
import jax.numpy as jnp

from fsjax.heads.distances import squared_euclidean
from fsjax.heads.product import product
from fsjax.heads.prototype import typical_distance
from fsjax.types import Array, Key, Params, Task


class RelationHead(NamedTuple):
    """A head, as `fsjax.types.Head`, and the relation of any two rows."""

    init: Callable[[Key, Array, Array], Params]
    fit: Callable[[Params, Array, Array], Task]
    score: Callable[[Params, Task, Array], Array]
    relate: Callable[
        [Params, Array, Array], Array
    ]  # params, anchors [A, D], members [R, D] -> [A, R]


class Comparison(nn.Module):
    """What two rows have in common, seen in a space of its own; at first nothing."""

    embedding: int = 64
    hidden: int = 64

    @nn.compact
    def __call__(self, anchors: Array, members: Array) -> Array:
        """anchors [A, D], members [R, D] -> [A, R]."""
        embed = nn.Dense(self.embedding, name="embed")
        a, b = embed(anchors)[:, None], embed(members)
        pairs = jnp.concatenate([jnp.square(a - b), a * b], axis=-1)
        x = nn.relu(nn.Dense(self.hidden, name="compare")(pairs))
        return nn.Dense(1, kernel_init=nn.initializers.zeros, name="score")(x)[..., 0]


def triangular(module: nn.Module | None = None, *, temperature: float = 0.1) -> RelationHead:
    """Classifies by the mean relation to the rows of a class, for training by triplets with
    `fsjax.objectives.ranking`.

    Args:
      module: anchors [A, D], members [R, D] -> [A, R], added to minus their squared distance, so
        that learning starts from what is known without it; `Comparison` by default. It must not
        mix pairs.
      temperature: initial value of the learned scale that divides the distances, in units of the
        mean distance between the rows that `init` sees.

    Returns:
      The head; the task is the support set. A class without rows gets a logit so low that its
      probability is zero.

    Raises:
      ValueError: if the temperature is not positive.
    """
    if temperature <= 0:
        raise ValueError(f"the temperature must be positive, got {temperature}")
    module = Comparison() if module is None else module

    def init(key, z, y):
        scale = temperature * typical_distance(squared_euclidean, z, y)
        return {"log_temperature": jnp.log(scale), "module": module.init(key, z, z)["params"]}

    def fit(params, z, y):
        chex.assert_rank(y, 2)
        return z, y

    def relate(params, anchors, members):
        near = -squared_euclidean(anchors, members) * jnp.exp(-params["log_temperature"])
        return near + module.apply({"params": params["module"]}, anchors, members)

    def score(params, task, z):
        support, y = task
        total = y.sum(0)
        mean = product(relate(params, z, support), y) / jnp.where(total > 0, total, 1.0)
        return jnp.where(total > 0, mean, jnp.finfo(mean.dtype).min / 2)

    return RelationHead(init, fit, score, relate)
