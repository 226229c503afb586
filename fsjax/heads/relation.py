"""Relation networks."""

import flax.linen as nn
import jax.numpy as jnp

from fsjax.heads.prototype import class_means
from fsjax.types import Array, Head


class Relation(nn.Module):
    """A relation module on pairs of feature vectors: two dense layers."""

    hidden: int = 64

    @nn.compact
    def __call__(self, a: Array, b: Array) -> Array:
        """a, b [N, D] -> [N] how much each pair belongs together, before the sigmoid."""
        x = nn.relu(nn.Dense(self.hidden)(jnp.concatenate([a, b], axis=-1)))
        return nn.Dense(1)(x)[:, 0]


def relation(module: nn.Module | None = None) -> Head:
    """Classifies by a learned comparison with each class (Sung et al. 2018,
    https://arxiv.org/abs/1711.06025).

    Args:
      module: class features [N, D], query features [N, D] -> scores [N]; `Relation` by default.
        It must not mix pairs. The paper's compares feature maps by convolutions.

    Returns:
      The head; the paper's relation score is the sigmoid of a logit, and its loss
      `fsjax.objectives.losses.squared_error`. The task is the mean features of each class
      [W, D]: the paper's sum would change its scale with the shots.
    """
    module = Relation() if module is None else module

    def init(key, z, y):
        return module.init(key, z, z)["params"]

    def fit(params, z, y):
        return class_means(z, y)

    def score(params, classes, z):
        ways, queries = len(classes), len(z)
        pairs = jnp.tile(classes, (queries, 1)), jnp.repeat(z, ways, axis=0)
        return module.apply({"params": params}, *pairs).reshape(queries, ways)

    return Head(init, fit, score)
