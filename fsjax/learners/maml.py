"""Model-agnostic meta-learning: the network and its last layer adapt by gradient steps."""

from collections.abc import Callable, Collection
from typing import NamedTuple

import jax
import jax.numpy as jnp
from flax.traverse_util import flatten_dict, unflatten_dict

from fsjax.learners.gradient import Adapted, Loop, Rates, constant, extended, inner_loop
from fsjax.types import Array, Head, Inputs, Key, Learner, Network, Params, Stats, Support, Task

Loss = Callable[[Array, Array], Array]  # logits [S, W], labels [S, W] -> []


class AdaptedTask(NamedTuple):
    """What is kept of a support set."""

    network: Params  # adapted
    head: Task  # the last layer, adapted
    stats: Stats  # normalisation statistics of the support set


class GradientLearner(NamedTuple):
    """A few-shot method, as `fsjax.types.Learner`, and what it is after every inner step."""

    init: Callable[[Key, Support], Params]
    adapt: Callable[..., AdaptedTask]
    predict: Callable[..., Array]
    path: Callable[..., AdaptedTask]  # as adapt -> after 0, 1, 2 ... steps, leaves [steps + 1, ...]


class _Descent(NamedTuple):
    start: Params
    adapted: Adapted
    task: Callable[[Params, Array], AdaptedTask]  # of what adapts, after so many steps


def row_weights(labels: Array) -> Array:
    """The weights [S] of support rows of a classification: rows of zeros are padding."""
    return labels.sum(-1)


def of_known_classes(loss: Loss) -> Loss:
    """A loss of support rows in which classes without rows have no part, their logits being almost
    minus infinity.
    """

    def among_them(logits: Array, labels: Array) -> Array:
        return loss(jnp.where(labels.any(0), logits, jnp.finfo(logits.dtype).min / 2), labels)

    return among_them


def nothing(path: str) -> bool:
    """Says of no parameter that each inner step has its own."""
    return False


def maml(
    network: Network,
    head: Head,
    loss: Loss,
    *,
    rates: Rates | None = None,
    adapts: Collection[str] = ("network", "head"),
    loop: Loop = inner_loop,
    per_step: Callable[[str], bool] = nothing,
    weigh: Callable[[Array], Array] = row_weights,
    test_steps: int | None = None,
) -> GradientLearner:
    """A learner that takes gradient steps on the support set (Finn et al. 2017,
    https://arxiv.org/abs/1703.03400).

    Args:
      network: rows -> features [B, D].
      head: its task is the last layer as it starts, a pytree of floats: `learned_layer` for MAML,
        `prototype_layer` for ProtoMAML.
      loss: of the support rows; it must ignore rows that have no weight. `of_known_classes` it
        ignores classes without rows, as suits layers for any number of ways.
      rates: of the steps; five constant ones of 0.1 by default.
      adapts: what the steps change, by name: "network", "head", or a part of the network such as
        "network/encoders_image" or "network/fusion". The head alone is ANIL (Raghu et al. 2020,
        https://arxiv.org/abs/1909.09157), the network alone BOIL (Oh et al. 2021,
        https://arxiv.org/abs/2008.08882).
      loop: what takes the steps: `inner_loop`, that with `first_order`, or `implicit`.
      per_step: whether a parameter of the network, told its path, does not adapt and is learned
        anew for every step, as the scales and biases of the norms in MAML++ (Antoniou et al. 2019,
        https://arxiv.org/abs/1810.09502).
      weigh: labels [S, W] -> weights [S] of the support rows, zero for padding.
      test_steps: inner steps outside of training, as many as in training unless given; beyond
        those the last rate goes on.

    Returns:
      The learner; its parameters are {"network": ..., "head": ..., "rates": ..., "steps": ...}, of
      which the last are what each step adds to parameters of its own. Adapting raises ValueError
      if a name in `adapts` is that of nothing, or nothing adapts.
    """
    rates = constant(0.1, steps=5) if rates is None else rates

    def embed(params: Params, support: Support, key: Key | None, train: bool):
        weight = weigh(support.labels)
        z, stats = network.apply(params, support.inputs, weight=weight, key=key, train=train)
        # Padding rows may hold anything; their features must not even be multiplied by zero.
        return jnp.where(weight[:, None] > 0, z, 0.0), stats

    def split(params: Params, support: Support, z: Array) -> tuple[Params, Params]:
        start = head.fit(params["head"], z, support.labels)
        return _split({"network": params["network"], "head": start}, adapts, per_step)

    def init(key: Key, support: Support) -> Params:
        params = {"network": network.init(key, support.inputs)}
        z, _ = embed(params["network"], support, None, train=False)
        params["head"] = head.init(key, z, support.labels)
        moving, fixed = split(params, support, z)
        learned = rates.init(moving)
        steps = _length(rates.of(learned, moving))
        own = {
            path: jnp.zeros((steps + 1, *x.shape)) for path, x in fixed.items() if per_step(path)
        }
        return params | {"rates": learned, "steps": own}

    def descend(params: Params, support: Support, key: Key | None, train: bool) -> _Descent:
        z, _ = embed(params["network"], support, key, train)
        moving, fixed = split(params, support, z)
        own = params["steps"]
        still = not own and not any(path.startswith("network") for path in moving)

        def at(moving: Params, i: Array) -> Params:
            added = {path: fixed[path] + x[jnp.minimum(i, len(x) - 1)] for path, x in own.items()}
            return {"network": {}} | unflatten_dict(fixed | added | moving, sep="/")

        def loss_fn(moving: Params, i: Array) -> Array:
            now = at(moving, i)
            of_step = None if key is None else jax.random.fold_in(key, i)
            rows = z if still else embed(now["network"], support, of_step, train)[0]
            return loss(head.score(params["head"], now["head"], rows), support.labels)

        def task(moving: Params, i: Array) -> AdaptedTask:
            now = at(moving, i)
            return AdaptedTask(**now, stats=embed(now["network"], support, key, train)[1])

        sizes = rates.of(params["rates"], moving)
        if not train and test_steps is not None:
            sizes = extended(sizes, test_steps)
        return _Descent(moving, loop(loss_fn, moving, sizes), task)

    def adapt(
        params: Params, support: Support, *, key: Key | None = None, train: bool = False
    ) -> AdaptedTask:
        _, adapted, task = descend(params, support, key, train)
        return task(adapted.params, _length(adapted.path))

    def path(
        params: Params, support: Support, *, key: Key | None = None, train: bool = False
    ) -> AdaptedTask:
        start, adapted, task = descend(params, support, key, train)
        whole = jax.tree.map(lambda x, xs: jnp.concatenate([x[None], xs]), start, adapted.path)
        return jax.vmap(task)(whole, jnp.arange(_length(whole)))

    def predict(
        params: Params,
        task: AdaptedTask,
        query: Inputs,
        *,
        key: Key | None = None,
        train: bool = False,
    ) -> Array:
        z, _ = network.apply(task.network, query, stats=task.stats, key=key, train=train)
        return head.score(params["head"], task.head, z)

    return GradientLearner(init, adapt, predict, path)


def along_path(learner: GradientLearner) -> Learner:
    """The learner whose logits are those after 0, 1, 2 ... inner steps: [steps + 1, Q, W]."""

    def predict(params: Params, task: AdaptedTask, query: Inputs, **options) -> Array:
        return jax.vmap(lambda task: learner.predict(params, task, query, **options))(task)

    return Learner(learner.init, learner.path, predict)


def _split(
    parts: Params, adapts: Collection[str], per_step: Callable[[str], bool]
) -> tuple[Params, Params]:
    """What adapts and what stays, as flat dictionaries of paths."""
    flat = flatten_dict(parts, sep="/")

    def under(path: str, name: str) -> bool:
        return path == name or path.startswith(name + "/")

    if unknown := [name for name in adapts if not any(under(path, name) for path in flat)]:
        raise ValueError(f"nothing is named {', '.join(unknown)}; there are {', '.join(flat)}")
    names = [p for p in flat if any(under(p, name) for name in adapts) and not per_step(p)]
    if not names:
        raise ValueError(f"nothing is left to adapt: name some of {', '.join(flat)}")
    return {p: flat[p] for p in names}, {p: x for p, x in flat.items() if p not in names}


def _length(path: Params) -> int:
    return len(jax.tree.leaves(path)[0])
