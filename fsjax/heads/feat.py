"""Prototypes that see each other."""

import flax.linen as nn
import jax
import jax.numpy as jnp

from fsjax.heads.distances import squared_euclidean
from fsjax.heads.prototype import Distance, class_means, prototype
from fsjax.types import Array, Head


class SetToSet(nn.Module):
    """Self-attention over the prototypes, added to them through a gate that is closed at first."""

    @nn.compact
    def __call__(self, x: Array, seen: Array) -> Array:
        """Prototypes x [W, D], and whether they are of any rows [W] -> [W, D]."""
        width, normal = x.shape[-1], nn.LayerNorm(name="norm")(x)
        q, k, v = (nn.Dense(width, use_bias=False, name=name)(normal) for name in "qkv")
        scores = jnp.where(seen, q @ k.T / jnp.sqrt(width), jnp.finfo(x.dtype).min)
        attended = jax.nn.softmax(scores) @ v
        gate = self.param("gate", nn.initializers.zeros, ())
        return x + gate * nn.Dense(width, name="out")(attended)


def feat(*, distance: Distance = squared_euclidean, temperature: float = 0.1) -> Head:
    """Classifies by the nearest class mean, adapted to the other classes of the task (FEAT, Ye et
    al. 2020, https://arxiv.org/abs/1812.03664).

    It lacks the paper's contrastive loss. The paper norms the sum of prototypes and attention,
    which moves the prototypes away from features that are not normalised; here what attends is
    normed, and what it reads is added through a learned gate.

    Args:
      distance: as in `prototype`.
      temperature: as in `prototype`.

    Returns:
      The head; its task is the adapted prototypes [W, D].

    Raises:
      ValueError: if the temperature is not positive.
    """
    nearest, adapted = prototype(distance=distance, temperature=temperature), SetToSet()

    def init(key, z, y):
        attention = adapted.init(key, class_means(z, y), y.any(0))["params"]
        return nearest.init(key, z, y) | {"attention": attention}

    def fit(params, z, y):
        return adapted.apply({"params": params["attention"]}, class_means(z, y), y.any(0))

    return Head(init, fit, nearest.score)
