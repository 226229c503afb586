"""From a config to a model: encoders, fusion, head and learner by name."""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import flax.linen as nn
from ml_collections import ConfigDict

from experiments.names import check_name, named, parse_names, pick
from fsjax import heads
from fsjax.encoders import audio, image, norms, tabular, text
from fsjax.encoders.comparison import ConvRelation
from fsjax.encoders.multimodal import Multimodal, as_network, encoded
from fsjax.fusion import attention, pooled
from fsjax.fusion.centred import Centred
from fsjax.heads import distances
from fsjax.heads.relation import Relation
from fsjax.learners import maml, metric
from fsjax.learners.gradient import (
    Rates,
    constant,
    inner_loop,
    per_layer_and_step,
    per_parameter,
)
from fsjax.learners.implicit import implicit
from fsjax.learners.last_layer import learned_layer, prototype_layer
from fsjax.objectives import losses
from fsjax.types import Array, Head, Learner, Network

NORMS = {
    "group": norms.GroupNorm,
    "episode": norms.EpisodeNorm,
    "support": norms.SupportNorm,
    "calibrated": norms.CalibratedNorm,
}
# The norms whose output for a row depends on other rows at test.
ROWS_SHARE = ("episode", "support")
ENCODERS: dict[str, Callable[[type[nn.Module]], nn.Module]] = {
    "conv4": lambda norm: image.Conv4(norm=norm),
    "conv4_widening": lambda norm: image.Conv4((32, 64, 128, 256), norm),
    "conv4_strided": lambda norm: image.StridedConv4(norm=norm),
    "conv4_maps": lambda norm: image.Conv4(norm=norm, pooled=2),
    "resnet12": lambda norm: image.ResNet12(norm=norm),
    "conv_audio": lambda norm: audio.ConvAudio(norm=norm),
    "bytes": lambda norm: text.ByteTransformer(),
    "ngrams": lambda norm: text.CharNgrams(),
    "ngrams_dropout": lambda norm: text.CharNgrams(dropout=0.5),
    "mlp": lambda norm: tabular.MLP(),
    "raw": lambda norm: tabular.Raw(),
}
FUSIONS = {"attention": attention.Attention, "concat": pooled.Concat, "plain": pooled.Plain}
DISTANCES = {
    "squared_euclidean": distances.squared_euclidean,
    "euclidean": distances.euclidean,
    "cosine": distances.cosine,
}
# Heads of features less their mean over the training set.
CENTRED = ("simpleshot",)
RELATIONS = {"features": Relation, "maps": ConvRelation}
HEADS: dict[str, Callable[[ConfigDict], Head]] = {
    "prototype": lambda config: heads.prototype(distance=distance(config)),
    "matching": lambda config: heads.matching(),
    "full_context": lambda config: heads.full_context(),
    "relation": lambda config: heads.relation(named(RELATIONS, config, "relation")()),
    "ridge": lambda config: heads.ridge(),
    "logistic": lambda config: heads.logistic(),
    "linear": lambda config: heads.linear(),
    "cosine": lambda config: heads.cosine(),
    "mahalanobis": lambda config: heads.mahalanobis(),
    "feat": lambda config: heads.feat(distance=distance(config)),
    "soft_kmeans": lambda config: heads.soft_kmeans(distance=distance(config)),
    "simpleshot": lambda config: heads.simpleshot(),
    "propagation": lambda config: heads.propagation(),
}
LOSSES = {"cross_entropy": losses.cross_entropy, "squared_error": losses.squared_error}
LOSSES = {"cross_entropy": losses.cross_entropy, "squared_error": losses.squared_error}
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
}


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
    return maml(
        network,
        layer or learned_layer(),
        named(LOSSES, config, "loss"),
        rates=rates(inner.rate, steps=inner.steps),
        test_steps=inner.test_steps,
        **{"adapts": parse_names(inner.adapts), "loop": loop} | options,
    )


def _is_of_norm(path: str) -> bool:
    return "Norm" in path and path.endswith(("/scale", "/bias"))


# For programs that run once: they take longer to compile than to run.
RUNS_ONCE = {"xla_backend_optimization_level": 0, "xla_llvm_disable_expensive_passes": True}


class Model(NamedTuple):
    """One of the models that a run trains and compares."""

    module: Multimodal
    learner: Learner  # on raw inputs
    fast: Learner | None  # the same on tokens that `encode_pool` made, if rows are independent


def models(config: ConfigDict) -> dict[str, ConfigDict]:
    """Name -> config of every model of a run: the one configured first, then those compared.

    The first is called by its method, which is its head or a learner other than `metric`, where
    methods are compared or nothing is fused; else by its fusion.

    Raises:
      ValueError: if `config.compare` names no modality, fusion, head or learner, and is not "raw".
    """
    modalities, compared = parse_names(config.modalities), parse_names(config.compare)
    methods = len(modalities) == 1 or any(name in {*HEADS, *LEARNERS} for name in compared)
    method = config.head if config.learner == "metric" else config.learner
    variants = {method if methods else config.fusion: config}
    known = [*modalities, *FUSIONS, *HEADS, *LEARNERS, "raw"]
    for name in compared:
        check_name(known, name, "compare")
        variant = config.copy_and_resolve_references()
        if name in modalities:
            variant.update(modalities=name, fusion="plain")
        elif name == "raw":
            variant.encoders = dict.fromkeys(config.encoders, "raw")
            variant.update(fusion="concat", head="prototype", distance="cosine")
            variant.update(learner="metric", objective="own")
            variant.train.steps = 0
        elif name in HEADS:
            variant.update(head=name, learner="metric")
        elif name in LEARNERS:
            variant.update(learner=name, objective="own")
        else:
            variant.fusion = name
        variants.setdefault(name, variant)
    return variants


def distance(config: ConfigDict) -> Callable[[Array, Array], Array]:
    """The distance that a config names, for the heads that have one."""
    return named(DISTANCES, config, "distance")


def head(config: ConfigDict) -> Head:
    """The head that a config names."""
    return named(HEADS, config, "head")(config)


def encoder_name(config: ConfigDict, modality: str) -> str:
    """The encoder of a modality; one that the config does not name is taken for table rows."""
    return config.encoders.get(modality, config.encoders.tabular)


def model(config: ConfigDict) -> Model:
    """The network and the learner that a config names."""
    norm = named(NORMS, config, "norm")
    encoders = {
        modality: pick(ENCODERS, encoder_name(config, modality), f"encoders.{modality}")(norm)
        for modality in parse_names(config.modalities)
    }
    fusion = named(FUSIONS, config, "fusion")()
    module = Multimodal(encoders, Centred(fusion) if config.head in CENTRED else fusion)
    make = named(LEARNERS, config, "learner")
    independent = config.norm not in ROWS_SHARE and config.learner == "metric"
    fast = make(as_network(encoded(module)), config) if independent else None
    return Model(module, make(as_network(module), config), fast)
