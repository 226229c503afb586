"""From a config to learners by name, and what is known of each."""

from collections.abc import Callable
from functools import partial
from typing import Any

import jax.numpy as jnp
import optax
from ml_collections import ConfigDict

from experiments.build.generation import generator, imputation, synthetic
from experiments.build.heads import LOSSES, head
from experiments.build.networks import computed, encoder, module_of
from experiments.names import named, parse_names
from fsjax.encoders.low_rank import low_rank
from fsjax.encoders.multimodal import Multimodal, encoded
from fsjax.encoders.transfer import begun, frozen, passed_on, scaled
from fsjax.fusion import pooled
from fsjax.learners import am3, described, imputed, maml, metric, pictures, tip_adapter
from fsjax.learners.finetune import by_optimizer, finetune, layer_depths
from fsjax.learners.gradient import (
    Rates,
    constant,
    inner_loop,
    per_depth,
    per_layer_and_step,
    per_parameter,
)
from fsjax.learners.hallucinate import FEATURES, hallucinate
from fsjax.learners.implicit import implicit
from fsjax.learners.last_layer import learned_layer, prototype_layer
from fsjax.learners.maml import of_known_classes
from fsjax.learners.tip_adapter import choose
from fsjax.types import Head, Learner, Network, Params

# How a network goes on from parameters that have been learned.
BEGINS: dict[str, Callable[[Network, Params, ConfigDict], Network]] = {
    "frozen": lambda network, params, config: frozen(network, params),
    "tuned": lambda network, params, config: begun(network, params),
    "low_rank": lambda network, params, config: low_rank_of(begun(network, params), config),
}
LEARNERS: dict[str, Callable[[Network, ConfigDict], Learner]] = {
    "metric": lambda network, config: metric(network, head(config)),
    "maml": lambda network, config: _maml(network, config),
    "anil": lambda network, config: _maml(network, config, adapts=("head",)),
    "boil": lambda network, config: _maml(network, config, adapts=("network",)),
    "meta_sgd": lambda network, config: _maml(network, config, per_parameter),
    "maml_pp": lambda network, config: _maml(
        network, config, per_layer_and_step, per_step=_is_of_norm
    ),
    "reptile": lambda network, config: _maml(network, config),
    "imaml": lambda network, config: _maml(
        network,
        config,
        loop=implicit(strength=config.inner.strength, iterations=config.inner.iterations),
    ),
    "proto_maml": lambda network, config: _maml(network, config, layer=prototype_layer()),
    "finetune": lambda network, config: _finetune(
        network, config, parse_names(config.finetune.parts)
    ),
    "probe": lambda network, config: _finetune(network, config, ("head",)),
    "lora": lambda network, config: _finetune(
        network,
        config,
        ("network/adapters", "head"),
        "tuned" if has_adapters(config) else "low_rank",
    ),
    "am3": lambda network, config: am3(network, _side(config), _head_of_means(config)),
    "described": lambda network, config: described(
        network, _side(config), head(config), weight=config.side_weight
    ),
    "tip_adapter": lambda network, config: tip_adapter(network, _side(config)),
    "hallucinate": lambda network, config: hallucinate(
        network,
        metric(passed_on(FEATURES), head(config)),
        generator(config),
        **synthetic(config),
    ),
    "pictures": lambda network, config: pictures(
        scaled(_alone(config)),
        network,
        head(config),
        generator(config),
        modality=_alone(config),
        **synthetic(config),
    ),
    "imputed": lambda network, config: imputed(
        network,
        computed(config, module_of(config), method="encode"),
        metric(computed(config, encoded(module_of(config))), head(config)),
        imputation(),
        pool=pooled.mean_pool,
    ),
}
# Learners that have a generator.
GENERATE = ("hallucinate", "pictures")
# Learners that see a row only through its features.
EMBEDS = ("metric", "hallucinate", "am3", "described", "tip_adapter")
# Learners that train as metric does, and are tuned to a support set at test.
TUNED = ("finetune", "probe", "lora")
AS_METRIC = ("metric", *TUNED)
# Learners that are told class descriptions, and what some parameters are set by on validation.
TOLD = ("am3", "described", "tip_adapter")
CHOSEN = {"tip_adapter": choose}
# Heads whose task is the mean of each class.
OF_MEANS = ("prototype", "relation")
# Heads whose task is a last layer that gradients can tune.
OF_WEIGHTS = ("prototype", "ridge", "logistic", "linear", "cosine")


def is_told(config: ConfigDict) -> bool:
    """Whether a model is told class descriptions."""
    return _generator_is_told(config) or config.learner in TOLD


def known_by(config: ConfigDict) -> tuple[str, ...]:
    """Kinds of class descriptions by which a model knows a class without rows."""
    if _generator_is_told(config):
        of_no_rows = synthetic(config)["weights"](jnp.zeros(1))
        return (config.generation.side,) if of_no_rows.any() else ()
    told = config.learner in TOLD and (config.learner != "described" or config.side_weight > 0)
    return parse_names(config.side) if told else ()


def _generator_is_told(config: ConfigDict) -> bool:
    return config.learner in GENERATE and config.generation.condition != "prototype"


def _head_of_means(config: ConfigDict) -> Head:
    if config.head not in OF_MEANS:
        raise ValueError(
            f"config.learner='am3' mixes the means of classes: take a head of {', '.join(OF_MEANS)}"
        )
    return head(config)


def _side(config: ConfigDict) -> dict[str, Network]:
    """Kind of class description -> the network that encodes it."""
    kinds = parse_names(config.side)
    if not kinds:
        raise ValueError(
            f"config.learner={config.learner!r} wants class descriptions: name them in "
            "config.side, words for emoji"
        )
    # A norm of each row by itself: nothing calibrates what describes classes.
    alone = config.copy_and_resolve_references()
    alone.norm = "group"
    modules = {kind: Multimodal({kind: encoder(alone, kind)}, pooled.Plain()) for kind in kinds}
    return {kind: computed(config, module) for kind, module in modules.items()}


def _alone(config: ConfigDict) -> str:
    """The one modality of a config whose learner makes rows of it."""
    modality, *more = parse_names(config.modalities)
    if more:
        raise ValueError(
            f"config.learner={config.learner!r} makes rows of one modality: leave "
            f"{modality} or another alone in config.modalities, or take the learner hallucinate"
        )
    return modality


def _maml(
    network: Network,
    config: ConfigDict,
    rates: Callable[..., Rates] = constant,
    layer: Head | None = None,
    **options: Any,
) -> Learner:
    inner = config.inner
    loop = partial(
        inner_loop, first_order=inner.first_order >= 1, rematerialise=inner.rematerialise
    )
    loss = named(LOSSES, config, "loss")
    return maml(
        network,
        layer or learned_layer(),
        of_known_classes(loss) if layer else loss,
        rates=rates(inner.rate, steps=inner.steps),
        test_steps=inner.test_steps,
        **{"adapts": parse_names(inner.adapts), "loop": loop} | options,
    )


def _is_of_norm(path: str) -> bool:
    return "Norm" in path and path.endswith(("/scale", "/bias"))


def has_adapters(config: ConfigDict) -> bool:
    """Whether the network of a model has adapters beside the kernels of its base."""
    return config.base.begins == "low_rank" and config.base.steps > 0 and config.train.steps > 0


def low_rank_of(network: Network, config: ConfigDict) -> Network:
    """A network with adapters of the rank that a config names."""
    return low_rank(network, rank=config.low_rank.rank, alpha=config.low_rank.alpha)


def _finetune(
    network: Network, config: ConfigDict, parts: tuple[str, ...], begins: str = "tuned"
) -> Learner:
    if config.head not in OF_WEIGHTS:
        raise ValueError(
            f"config.learner={config.learner!r} tunes the last layer, and config.head="
            f"{config.head!r} has none: take one of {', '.join(OF_WEIGHTS)}"
        )
    settings = config.finetune
    decay = {"decay": settings.decay, "depths": layer_depths}
    return finetune(
        network,
        head(config),
        named(LOSSES, config, "loss"),
        rates=per_depth(settings.rate, steps=settings.steps, **decay),
        begins=partial(BEGINS[begins], config=config),
        parts=parts,
        loop=by_optimizer(optax.scale_by_adam()),
    )
