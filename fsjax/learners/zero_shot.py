"""Classes told apart by their descriptions alone."""

import jax.numpy as jnp

from fsjax.heads.distances import cosine
from fsjax.learners.descriptions import of_kind
from fsjax.types import Array, Inputs, Key, Learner, Params, Support


def nearest_description(modality: str, side: str) -> Learner:
    """The class whose description is nearest, whatever the support rows (zero-shot as in
    Norouzi et al. 2014, https://arxiv.org/abs/1312.5650).

    Args:
      modality: whose values [B, D] are compared.
      side: name of the descriptions [W, D], in the same space.

    Returns:
      A learner without parameters; logits are cosine similarities, zero to a class without a
      description and of a query without the modality.
    """

    def init(key: Key, support: Support) -> Params:
        return {}

    def adapt(
        params: Params, support: Support, *, key: Key | None = None, train: bool = False
    ) -> Array:
        return of_kind(support.side, side).values[side]

    def predict(
        params: Params, task: Array, query: Inputs, *, key: Key | None = None, train: bool = False
    ) -> Array:
        seen = query.present[modality][:, None] > 0
        return 1 - cosine(jnp.where(seen, query.values[modality], 0.0), task)

    return Learner(init, adapt, predict)
