"""Model-agnostic meta-learning: the network and its last layer adapt by gradient steps."""

from collections.abc import Callable, Collection
from typing import NamedTuple

import jax
import jax.numpy as jnp
from flax.traverse_util import flatten_dict, unflatten_dict

from fsjax.learners.gradient import Rates, constant, extended, inner_loop
from fsjax.types import Array, Head, Inputs, Key, Learner, Network, Params, Stats, Support, Task

Loss = Callable[[Array, Array], Array]  # logits [S, W], labels [S, W] -> []


class AdaptedTask(NamedTuple):
    """What is kept of a support set."""

    network: Params  # adapted
    layer: Task  # the head's, adapted
    stats: Stats  # normalisation statistics of the support set


def maml(
    network: Network,
    head: Head,
    loss: Loss,
    *,
    rates: Rates | None = None,
    adapts: Collection[str] = ("network", "head"),
    first_order: bool = False,
    test_steps: int | None = None,
) -> Learner:
    """A learner that takes gradient steps on the support set (Finn et al. 2017,
    https://arxiv.org/abs/1703.03400).

    Args:
      network: rows -> features [B, D].
      head: its task is the last layer as it starts, a pytree of floats: `learned_layer` for MAML,
        `prototype_layer` for ProtoMAML.
      loss: of the support rows; it must ignore rows whose label is all zero.
      rates: of the steps; five constant ones of 0.1 by default.
      adapts: what the steps change, by name: "network", "head", or a part of the network such as
        "network/encoders_image" or "network/fusion". The head alone is ANIL (Raghu et al. 2020,
        https://arxiv.org/abs/1909.09157), the network alone BOIL (Oh et al. 2021,
        https://arxiv.org/abs/2008.08882).
      first_order: leaves second derivatives out.
      test_steps: inner steps outside of training, as many as in training unless given; beyond
        those the last rate goes on.

    Returns:
      The learner; its parameters are {"network": ..., "head": ..., "rates": ...}. Adapting raises
      ValueError if a name in `adapts` is that of nothing.
    """
    rates = constant(0.1, steps=5) if rates is None else rates

    def embed(params: Params, support: Support, key: Key | None, train: bool):
        weight = support.labels.sum(-1)
        z, stats = network.apply(params, support.inputs, weight=weight, key=key, train=train)
        # Padding rows may hold anything; their features must not even be multiplied by zero.
        return jnp.where(weight[:, None] > 0, z, 0.0), stats

    def init(key: Key, support: Support) -> Params:
        params = {"network": network.init(key, support.inputs)}
        z, _ = embed(params["network"], support, None, train=False)
        params["head"] = head.init(key, z, support.labels)
        start = head.fit(params["head"], z, support.labels)
        return params | {"rates": rates.init(_split(params["network"], start, adapts)[0])}

    def adapt(
        params: Params, support: Support, *, key: Key | None = None, train: bool = False
    ) -> AdaptedTask:
        z, stats = embed(params["network"], support, key, train)
        start = head.fit(params["head"], z, support.labels)
        moving, fixed = _split(params["network"], start, adapts)
        still = not any(name.startswith("network") for name in moving)

        def loss_fn(moving: Params, i: Array) -> Array:
            now = unflatten_dict(fixed | moving, sep="/")
            of_step = None if key is None else jax.random.fold_in(key, i)
            rows = z if still else embed(now["network"], support, of_step, train)[0]
            return loss(head.score(params["head"], now["head"], rows), support.labels)

        sizes = rates.of(params["rates"], moving)
        if not train and test_steps is not None:
            sizes = extended(sizes, test_steps)
        adapted = inner_loop(loss_fn, moving, sizes, first_order=first_order).params
        now = {"network": {}} | unflatten_dict(fixed | adapted, sep="/")
        if not still:
            stats = embed(now["network"], support, key, train)[1]
        return AdaptedTask(now["network"], now["head"], stats)

    def predict(
        params: Params,
        task: AdaptedTask,
        query: Inputs,
        *,
        key: Key | None = None,
        train: bool = False,
    ) -> Array:
        z, _ = network.apply(task.network, query, stats=task.stats, key=key, train=train)
        return head.score(params["head"], task.layer, z)

    return Learner(init, adapt, predict)


def _split(network: Params, layer: Task, adapts: Collection[str]) -> tuple[Params, Params]:
    """What adapts and what stays, as flat dictionaries of paths."""
    flat = flatten_dict({"network": network, "head": layer}, sep="/")

    def under(path: str, name: str) -> bool:
        return path == name or path.startswith(name + "/")

    if unknown := [name for name in adapts if not any(under(path, name) for path in flat)]:
        raise ValueError(f"nothing is named {', '.join(unknown)}; there are {', '.join(flat)}")
    moving = {path: x for path, x in flat.items() if any(under(path, name) for name in adapts)}
    return moving, {path: x for path, x in flat.items() if path not in moving}
