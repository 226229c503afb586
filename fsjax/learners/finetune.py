"""Fine-tuning to the support set, after a training that knows nothing of it."""

import re
from collections.abc import Callable, Collection, Mapping

import jax
import optax

from fsjax.learners.gradient import Loop, Rates, inner_loop
from fsjax.learners.maml import AdaptedTask, GradientLearner, Loss, maml, of_known_classes
from fsjax.learners.metric import MetricTask, metric
from fsjax.types import Array, Head, Inputs, Key, Learner, Network, Params, Support

# Whatever is drawn where tuning begins is drawn alike for every support set.
DRAW = 0


def by_optimizer(direction: optax.GradientTransformation) -> Loop:
    """Steps of an optimiser through which no gradient passes.

    Args:
      direction: of each step, as `inner_loop` takes it.
    """

    def loop(loss_fn, params, rates):
        return inner_loop(loss_fn, params, rates, first_order=True, direction=direction)

    return loop


def finetune(
    network: Network,
    head: Head,
    loss: Loss,
    *,
    rates: Rates,
    begins: Callable[[Network, Params], Network],
    parts: Collection[str] = ("network", "head"),
    loop: Loop = inner_loop,
) -> Learner:
    """Trains as `metric`, and outside of training tunes itself to the support set from there: the
    baselines of Chen et al. 2019 (https://arxiv.org/abs/1904.04232) and Dhillon et al. 2020
    (https://arxiv.org/abs/1909.02729).

    Args:
      network: rows -> features [B, D].
      head: its task, fitted to the support set before the first step, is where the last layer
        starts: a pytree of floats to which gradients lead, such as prototypes or weights.
      loss: of the support rows; it must ignore rows that have no weight. A class without rows has
        no part in it, its logits being almost minus infinity.
      rates: of the steps, none of them learned.
      begins: the network and its trained parameters -> the one that is tuned, whose `init` gives
        where it begins: the same, or with adapters beside frozen parameters.
      parts: what is tuned, by name, as `adapts` of `maml`: the head alone is a linear probe.
      loop: what takes the steps, such as `by_optimizer` of an optimiser.

    Returns:
      The learner; its parameters are those of `metric`. Adapting raises ValueError if a name in
      `parts` is that of nothing.
    """
    plain = metric(network, head)

    def tuned(params: Params) -> GradientLearner:
        begun = begins(network, params["network"])
        return maml(begun, head, of_known_classes(loss), rates=rates, adapts=parts, loop=loop)

    def adapt(
        params: Params, support: Support, *, key: Key | None = None, train: bool = False
    ) -> MetricTask | AdaptedTask:
        if train:
            return plain.adapt(params, support, key=key, train=True)
        learner = tuned(params)
        start = learner.init(jax.random.key(DRAW), support) | {"head": params["head"]}
        return learner.adapt(start, support, key=key)

    def predict(
        params: Params,
        task: MetricTask | AdaptedTask,
        query: Inputs,
        *,
        key: Key | None = None,
        train: bool = False,
    ) -> Array:
        learner = plain if train else tuned(params)
        return learner.predict(params, task, query, key=key, train=train)

    return Learner(plain.init, adapt, predict)


def layer_depths(paths: Collection[str]) -> Mapping[str, int]:
    """How many layers lie between parameters and the logits, as their paths tell.

    The head is the last layer and the fusion the one below it. Below that the layers of an encoder
    are its modules by the first number in their paths, as Flax numbers modules of a kind:
    ConvBlock_3 lies above ConvBlock_2. What has no number is of the lowest layer.

    Args:
      paths: as "network/encoders_image/ConvBlock_3/Conv3x3_0/kernel".

    Returns:
      Path -> layers of those that are named above it.
    """
    places = {path: _place(path) for path in paths}
    stages = {stage for stage, _, _ in places.values()}
    above = {"encoder": ("fusion", "head"), "fusion": ("head",), "head": ()}
    highest: dict[str, int] = {}
    for _, encoder, number in places.values():
        highest[encoder] = max(number, highest.get(encoder, 0))
    return {
        path: highest[encoder] - number + sum(name in stages for name in above[stage])
        for path, (stage, encoder, number) in places.items()
    }


def _place(path: str) -> tuple[str, str, int]:
    """Stage, encoder and number of the layer of parameters."""
    names = path.split("/")
    if names[0] == "head":
        return "head", "head", 0
    if "fusion" in names:
        return "fusion", "fusion", 0
    encoder = next((name for name in names if name.startswith("encoders_")), "")
    inside = names[names.index(encoder) + 1 :] if encoder else names
    numbers = (re.search(r"_(\d+)$", name) for name in inside)
    return "encoder", encoder, next((int(found[1]) for found in numbers if found), 0)
