"""Classes whose descriptions are further labelled rows."""

from collections.abc import Mapping

import jax
import jax.numpy as jnp

from fsjax.learners.descriptions import init_places, places
from fsjax.learners.embedding import embed_support
from fsjax.learners.metric import MetricTask, metric
from fsjax.types import Head, Key, Learner, Network, Params, Support


def described(
    network: Network, side: Mapping[str, Network], head: Head, *, weight: float = 1.0
) -> Learner:
    """A learner whose head is fitted to the support rows and to the description of each class as
    to further rows of it: cross-modal adaptation (Lin et al. 2023,
    https://arxiv.org/abs/2301.06267).

    Descriptions and rows have to share a space. One in which they do, as that of published towers,
    takes networks without parameters and as many features of both; else one is learned on other
    classes, by networks or by a linear map to the features of rows where descriptions have another
    number of them.

    Args:
      network: rows -> features [B, D].
      side: kind of description -> network of it, descriptions [W, ...] -> [W, E].
      head: fitted to the features of both.
      weight: of a description beside a row, which has 1.

    Returns:
      The learner; its parameters are {"network": ..., "head": ..., "side": {kind: ...}}. A class
      without a description is known by its rows, one without rows by its descriptions.

    Raises:
      ValueError: if the weight is negative; as `init_places`.
    """
    if weight < 0:
        raise ValueError(f"a description weighs as much as 0 rows or more, not {weight}")
    alone = metric(network, head)

    def init(key: Key, support: Support) -> Params:
        key_alone, key_side = jax.random.split(key)
        params = alone.init(key_alone, support)
        z, _ = jax.eval_shape(network.apply, params["network"], support.inputs)
        return params | {"side": init_places(key_side, side, support.side, z.shape[-1])}

    def adapt(
        params: Params, support: Support, *, key: Key | None = None, train: bool = False
    ) -> MetricTask:
        z, stats = embed_support(network, params["network"], support, key=key, train=train)
        told, there = places(params["side"], side, support.side)
        of_told = weight * there[..., None] * jnp.eye(support.labels.shape[1])  # [kinds, W, W]
        rows = jnp.concatenate([z, *told])
        labels = jnp.concatenate([support.labels, *of_told])
        return MetricTask(head.fit(params["head"], rows, labels), stats)

    return Learner(init, adapt, alone.predict)
