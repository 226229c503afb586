"""Prototypes mixed with what classes are described by."""

from collections.abc import Mapping

import flax.linen as nn
import jax
import jax.numpy as jnp

from fsjax.learners.descriptions import of_kind
from fsjax.learners.metric import MetricTask, metric
from fsjax.types import Array, Head, Inputs, Key, Learner, Network, Params, Support


class Told(nn.Module):
    """A description's place among the features of rows, and how little it is to be trusted."""

    features: int
    hidden: int

    @nn.compact
    def __call__(self, x: Array) -> tuple[Array, Array]:
        """x [W, E] -> [W, features], [W]: a logit for the prototype against the description."""
        read = nn.relu(nn.Dense(self.hidden, name="read")(x))
        place = nn.Dense(self.features, name="place")(read)
        weighed = nn.relu(nn.Dense(self.hidden, name="weigh")(place))
        return place, nn.Dense(1, name="against")(weighed)[:, 0]


def am3(network: Network, side: Mapping[str, Network], head: Head, *, hidden: int = 256) -> Learner:
    """A learner whose prototypes are mixtures of the mean of a class's rows and of its description,
    by a share that the description tells (Xing et al. 2019, https://arxiv.org/abs/1902.07104).

    With several kinds of descriptions w_k and their logits h_k the mean counts as one and each
    description as exp(-h_k), over their sum: for one kind the paper's sigmoid of h. A class without
    rows is known by its descriptions alone, one without a description by its rows.

    Args:
      network: rows -> features [B, D].
      side: kind of description -> network of it, descriptions [W, ...] -> [W, E].
      head: whose task is the prototypes [W, D], as that of `fsjax.heads.prototype`.
      hidden: width of the hidden layers between a description and the features.

    Returns:
      The learner; its parameters are {"network": ..., "head": ..., "side": {kind: ...}}.

    Raises:
      ValueError: if there is no kind of description, or adapting finds one missing.
    """
    if not side:
        raise ValueError("AM3 wants a kind of class descriptions at least, and got none")

    def told(params: Params, kind: str, described: Inputs, features: int) -> tuple[Array, Array]:
        e, _ = side[kind].apply(params["network"], described)
        return Told(features, hidden).apply({"params": params["told"]}, e)

    alone = metric(network, head)

    def init(key: Key, support: Support) -> Params:
        key_alone, *keys = jax.random.split(key, 1 + len(side))
        params = alone.init(key_alone, support)
        features = alone.adapt(params, support).fitted.shape[-1]
        kinds = {}
        for kind, key in zip(sorted(side), keys, strict=True):
            described = of_kind(support.side, kind)
            own = side[kind].init(key, described)
            e, _ = side[kind].apply(own, described)
            made = Told(features, hidden).init(jax.random.fold_in(key, 1), e)
            kinds[kind] = {"network": own, "told": made["params"]}
        return params | {"side": kinds}

    def adapt(
        params: Params, support: Support, *, key: Key | None = None, train: bool = False
    ) -> MetricTask:
        task = alone.adapt(params, support, key=key, train=train)
        places = [task.fitted]
        logits = [jnp.where(support.labels.any(0), 0.0, -jnp.inf)]
        for kind in sorted(side):
            described = of_kind(support.side, kind)
            place, against = told(params["side"][kind], kind, described, places[0].shape[-1])
            places.append(place)
            logits.append(jnp.where(described.present[kind] > 0, -against, -jnp.inf))
        shares = _shares(jnp.stack(logits))  # [1 + kinds, W]
        mixed = (shares[..., None] * jnp.stack(places)).sum(0)
        return task._replace(fitted=mixed)

    return Learner(init, adapt, alone.predict)


def _shares(logits: Array) -> Array:
    """Softmax over the first axis, zero where all are -inf: nothing is known of such a class."""
    known = jnp.isfinite(logits).any(0)
    return jax.nn.softmax(jnp.where(known, logits, 0.0), axis=0) * known
