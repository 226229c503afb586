"""A cache of support rows beside what descriptions say without a shot."""

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.lax import stop_gradient

from fsjax.heads.distances import cosine, unit
from fsjax.heads.product import product
from fsjax.learners.descriptions import init_places, places
from fsjax.learners.embedding import embed_support
from fsjax.types import Array, Inputs, Key, Learner, Network, Params, Stats, Support

# From the support rows hardly counting to nothing else counting, and up to the nearest row alone.
WEIGHTS = (0.1, 1.0, 3.0, 10.0, 30.0, 100.0, 1000.0)
SHARPNESSES = (0.5, 1.5, 5.5, 15.0, 50.0)


class Cache(NamedTuple):
    """What is kept of a support set."""

    rows: Array  # [S, D]
    labels: Array  # [S, W]
    told: Array  # [W, D] the mean of a class's descriptions at unit length
    known: Array  # [W], 1 for classes with a description
    stats: Stats  # normalisation statistics of the support set


def tip_adapter(network: Network, side: Mapping[str, Network], *, scale: float = 100.0) -> Learner:
    """Adds what similar support rows are labelled to what descriptions say without a shot:
    Tip-Adapter (Zhang et al. 2022, https://arxiv.org/abs/2207.09519).

    With the cosine c of a query and a row, and t of it and a class's descriptions, a logit is
    weight * sum over rows of exp(-sharpness (1 - c)) label + scale * t. Weight and sharpness are
    the paper's alpha and beta: no gradient reaches them, `choose` sets them. A class without a
    description gets the mean of what the others get for theirs.

    Args:
      network: rows -> features [B, D].
      side: kind of description -> network of it, descriptions [W, ...] -> [W, E].
      scale: of similarities to descriptions.

    Returns:
      The learner; its parameters are {"network": ..., "side": {kind: ...}, "weight": [],
      "sharpness": []}.

    Raises:
      ValueError: as `init_places`.
    """

    def init(key: Key, support: Support) -> Params:
        key_network, key_side = jax.random.split(key)
        params = network.init(key_network, support.inputs)
        z, _ = jax.eval_shape(network.apply, params, support.inputs)
        told = init_places(key_side, side, support.side, z.shape[-1])
        start = {"weight": jnp.asarray(1.0), "sharpness": jnp.asarray(5.5)}  # the paper's
        return {"network": params, "side": told} | start

    def adapt(
        params: Params, support: Support, *, key: Key | None = None, train: bool = False
    ) -> Cache:
        z, stats = embed_support(network, params["network"], support, key=key, train=train)
        told, there = places(params["side"], side, support.side)
        of_class = jax.vmap(unit)(told).sum(0)  # its length does not matter to a cosine
        return Cache(z, support.labels, of_class, there.max(0), stats)

    def predict(
        params: Params,
        task: Cache,
        query: Inputs,
        *,
        key: Key | None = None,
        train: bool = False,
    ) -> Array:
        options = {"key": None if key is None else jax.random.fold_in(key, 1), "train": train}
        z, _ = network.apply(params["network"], query, stats=task.stats, **options)
        weight, sharpness = (stop_gradient(params[name]) for name in ("weight", "sharpness"))
        cached = product(jnp.exp(-sharpness * cosine(z, task.rows)), task.labels)
        said = scale * (1 - cosine(z, task.told))
        middle = (said * task.known).sum(-1) / jnp.maximum(task.known.sum(), 1.0)
        return weight * cached + jnp.where(task.known > 0, said, middle[:, None])

    return Learner(init, adapt, predict)


def choose(
    params: Params,
    measure: Callable[[Params], float],
    *,
    weights: Sequence[float] = WEIGHTS,
    sharpnesses: Sequence[float] = SHARPNESSES,
) -> Params:
    """Parameters with that weight and sharpness of the cache that do best on validation.

    Args:
      params: of `tip_adapter`.
      measure: parameters -> their figure on validation classes, larger is better.
      weights: to choose from.
      sharpnesses: to choose from.

    Returns:
      The parameters; of those that do equally well, the first.
    """
    tried = [
        params | {"weight": jnp.asarray(weight), "sharpness": jnp.asarray(sharpness)}
        for weight in weights
        for sharpness in sharpnesses
    ]
    return max(tried, key=measure)
