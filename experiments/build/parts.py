"""From a config to a model: encoders, fusion, head and learner by name."""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import optax
from ml_collections import ConfigDict

from experiments.build.networks import FUSIONS, ROWS_SHARE, computed, encoder
from experiments.names import check_name, named, parse_names
from fsjax import generators, heads
from fsjax.encoders.comparison import ConvRelation
from fsjax.encoders.convolution import conv3x3_stride2
from fsjax.encoders.layers import Conv3x3
from fsjax.encoders.low_rank import low_rank, merged
from fsjax.encoders.multimodal import Multimodal, encoded, multimodal
from fsjax.encoders.transfer import begun, frozen, passed_on, scaled
from fsjax.fusion import pooled
from fsjax.fusion.centred import Centred
from fsjax.generators import features
from fsjax.generators.pictures import PictureCritic, PictureGenerator
from fsjax.heads import distances
from fsjax.heads.late import alike, late, precision
from fsjax.heads.relation import Relation
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
from fsjax.learners.hallucinate import (
    FEATURES,
    Describe,
    Weights,
    by_both,
    by_prototype,
    by_side,
    equal_weights,
    hallucinate,
    missing_weights,
)
from fsjax.learners.implicit import implicit
from fsjax.learners.last_layer import learned_layer, prototype_layer
from fsjax.learners.tip_adapter import choose
from fsjax.objectives import distillation, losses, ranking
from fsjax.types import Array, Autoencoder, Critic, Generator, Head, Learner, Network, Params

# Fusions of what the head makes of each modality: how it is trusted, and further places.
LATE = {"late": (alike, 0), "late_precision": (precision(), 0), "late_common": (alike, 1)}
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
    "triangular": lambda config: heads.triangular(),
}
LOSSES = {"cross_entropy": losses.cross_entropy, "squared_error": losses.squared_error}
# What of a teacher its student is to match.
MATCHES: dict[str, Callable[[ConfigDict], distillation.Match]] = {
    "probabilities": lambda teacher: distillation.softened(temperature=teacher.temperature),
    "neighbours": lambda teacher: distillation.neighbouring(temperature=teacher.temperature),
    "distances": lambda teacher: distillation.related(),
}
TAUGHT = "taught"  # a model's name among those compared says that it has a teacher
DISTILLATION = "distillation"  # the objective of those that have one
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
        network, config, ("network/adapters", "head"), "low_rank"
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
        **_synthetic(config),
    ),
    "pictures": lambda network, config: pictures(
        scaled(_alone(config)),
        network,
        head(config),
        generator(config),
        modality=_alone(config),
        **_synthetic(config),
    ),
    "imputed": lambda network, config: imputed(
        network,
        computed(config, _module(config), method="encode"),
        metric(computed(config, encoded(_module(config))), head(config)),
        imputation(),
        pool=pooled.mean_pool,
    ),
}
# Learners that have a generator.
GENERATE = ("hallucinate", "pictures")
_HALVE = partial(Conv3x3, convolve=conv3x3_stride2)
GENERATORS: dict[str, Callable[[], Generator | Autoencoder]] = {
    "wgan": lambda: generators.generator(features.FeatureGenerator()),
    "vae": lambda: generators.autoencoder(features.FeatureEncoder(), features.FeatureGenerator()),
    "wgan_pictures": lambda: generators.generator(PictureGenerator(Conv3x3, _HALVE)),
}
CRITICS: dict[str, Callable[[], Critic]] = {
    "wgan": lambda: generators.critic(features.FeatureCritic()),
    "wgan_pictures": lambda: generators.critic(PictureCritic(_HALVE)),
}

# How a network goes on from parameters that have been learned.
BEGINS: dict[str, Callable[[Network, Params, ConfigDict], Network]] = {
    "frozen": lambda network, params, config: frozen(network, params),
    "tuned": lambda network, params, config: begun(network, params),
    "low_rank": lambda network, params, config: _low_rank(begun(network, params), config),
}
WEIGHTS: dict[str, Callable[[ConfigDict], Weights]] = {
    "equal": lambda settings: equal_weights(settings.rows, total=settings.weight),
    "missing": lambda settings: missing_weights(settings.rows),
}
CONDITIONS: dict[str, Callable[[str], Describe]] = {
    "prototype": lambda side: by_prototype,
    "side": by_side,
    "both": by_both,
}


# Heads whose task is the mean of each class.
OF_MEANS = ("prototype", "relation")


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
    return {kind: multimodal({kind: encoder(alone, kind)}, pooled.Plain()) for kind in kinds}


def _synthetic(config: ConfigDict) -> dict[str, Any]:
    """How a learner uses its generator."""
    settings = config.generation
    return {
        "weights": named(WEIGHTS, settings, "weights")(settings),
        "describe": _describe(config),
        "share": settings.share,
    }


def _alone(config: ConfigDict) -> str:
    """The one modality of a config whose learner makes rows of it."""
    modality, *more = parse_names(config.modalities)
    if more:
        raise ValueError(
            f"config.learner={config.learner!r} makes rows of one modality: leave "
            f"{modality} or another alone in config.modalities, or take the learner hallucinate"
        )
    return modality


def _describe(config: ConfigDict) -> Describe:
    settings = config.generation
    if settings.condition != "prototype" and not settings.side:
        raise ValueError(
            f"config.generation.condition={settings.condition!r} wants class descriptions: "
            "name them in config.generation.side, words for emoji"
        )
    return named(CONDITIONS, settings, "condition")(settings.side)


# Triplets that count, where a head is trained by them.
TRIPLETS = {
    "all": ranking.all_triplets,
    "hard": ranking.hard_triplets,
    "semi_hard": ranking.semi_hard_triplets,
}


def triplets(config: ConfigDict) -> ranking.Mine:
    """Which triplets a config wants to count."""
    return named(TRIPLETS, config.generation, "triplets")


def critic(config: ConfigDict) -> Critic:
    """What judges the rows of the generator that a config names."""
    return named(CRITICS, config.generation, "generator")()


def generator(config: ConfigDict) -> Generator | Autoencoder:
    """The generator that a config names."""
    return named(GENERATORS, config.generation, "generator")()


def imputation() -> Generator:
    """What fills in features: the mean of those that the rest of a row allows, without noise."""
    return generators.generator(features.FeatureGenerator(), noise=0)


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


def _low_rank(network: Network, config: ConfigDict) -> Network:
    return low_rank(network, rank=config.low_rank.rank, alpha=config.low_rank.alpha)


# Heads whose task is a last layer that gradients can tune.
OF_WEIGHTS = ("prototype", "ridge", "logistic", "linear", "cosine")


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


def _is_of_norm(path: str) -> bool:
    return "Norm" in path and path.endswith(("/scale", "/bias"))


# Learners that see a row only through its features.
EMBEDS = ("metric", "hallucinate", "am3", "described", "tip_adapter")
# Learners that train as metric does, and are tuned to a support set at test.
TUNED = ("finetune", "probe", "lora")
# Learners that are told class descriptions, and what some parameters are set by on validation.
TOLD = ("am3", "described", "tip_adapter")
CHOSEN = {"tip_adapter": choose}
# Heads that look at every pair of rows, so that drawing episodes is the smaller part.
OF_PAIRS = ("triangular",)
# Objectives that can be compared, of the learner metric.
TRAINED = ("leave_one_out", "supervised", "views")
# What is compared where methods are, rather than what is fused.
METHODS = {*HEADS, *LEARNERS, "leave_one_out", "supervised"}
# For programs that run once: they take longer to compile than to run.
RUNS_ONCE = {"xla_backend_optimization_level": 0, "xla_llvm_disable_expensive_passes": True}


class Model(NamedTuple):
    """One of the models that a run trains and compares."""

    module: Multimodal
    network: Network
    learner: Learner
    fast: "Model | None"  # the same on tokens that `encode_pool` made, if rows are independent
    weights: Callable[[Params], Params]  # of the network -> of the module


def models(config: ConfigDict) -> dict[str, ConfigDict]:
    """Name -> config of every model of a run: the one configured first, then those compared.

    The first is called by its method, which is its head or a learner other than `metric`, where
    methods are compared or nothing is fused; else by its fusion. Of the others, each is what
    `config.compare` calls it; "prototype+hallucinate" is two changes, one after the other.

    Raises:
      ValueError: if a name is no modality, fusion, head, learner or objective, and not "raw" or
        "taught".
    """
    modalities, compared = parse_names(config.modalities), parse_names(config.compare)
    parts = [part for name in compared for part in name.split("+")]
    methods = len(modalities) == 1 or any(part in METHODS for part in parts)
    method = config.head if config.learner == "metric" else config.learner
    variants = {method if methods else config.fusion: config}
    known = [*modalities, *FUSIONS, *HEADS, *LEARNERS, *TRAINED, "raw", TAUGHT]
    for name in compared:
        variant = config.copy_and_resolve_references()
        # A learner that is named brings its own objective, so that who teaches it comes last.
        for part in sorted(name.split("+"), key=TAUGHT.__eq__):
            check_name(known, part, "compare")
            _change(variant, part, modalities)
        variants.setdefault(name, variant)
    return variants


def _change(variant: ConfigDict, name: str, modalities: tuple[str, ...]) -> None:
    if name in modalities:
        variant.update(modalities=name, fusion="plain")
    elif name == "raw":
        variant.encoders = dict.fromkeys(variant.encoders, "raw")
        variant.update(fusion="concat", head="prototype", distance="cosine")
        variant.update(learner="metric", objective="own")
        variant.train.steps = 0
    elif name == TAUGHT:
        variant.objective = DISTILLATION
    elif name in HEADS:
        variant.update(head=name, learner="metric")
    elif name in LEARNERS:
        variant.update(learner=name, objective="own")
    elif name in TRAINED:
        variant.update(learner="metric", objective=name)
    else:
        variant.fusion = name


def base(config: ConfigDict) -> ConfigDict:
    """The config of the network that is trained before the models, which begin with it."""
    variant = config.copy_and_resolve_references()
    variant.update(learner="metric", head="prototype", compare="")
    variant.objective = config.base.objective
    variant.loss = "cross_entropy"
    for key in ("steps", "chunk", "learning_rate"):
        variant.train[key] = config.base[key]
    variant.base.steps = 0
    return variant


def distance(config: ConfigDict) -> Callable[[Array, Array], Array]:
    """The distance that a config names, for the heads that have one."""
    return named(DISTANCES, config, "distance")


def head(config: ConfigDict) -> Head:
    """The head that a config names; one for each modality if they are fused late.

    Raises:
      ValueError: if it cannot be one for each modality, or the learner does not fit a head.
    """
    chosen = named(HEADS, config, "head")(config)
    if config.fusion not in LATE:
        return chosen
    if config.head in (*OF_PAIRS, *CENTRED):
        raise ValueError(
            f"config.head={config.head!r} wants features of all modalities together, which "
            f"config.fusion={config.fusion!r} keeps apart: change one of them"
        )
    trust, more = LATE[config.fusion]
    return late(chosen, modalities=len(parse_names(config.modalities)) + more, trust=trust)


def model(config: ConfigDict, base: Params | None = None) -> Model:
    """The network and the learner that a config names.

    Args:
      config: of the model.
      base: parameters of the network, from which it goes on as `config.base.begins` says; it
        learns its own unless given.
    """
    if config.fusion in LATE and config.learner != "metric":
        raise ValueError(
            f"config.fusion={config.fusion!r} adds what a head says of each modality, and "
            f"config.learner={config.learner!r} has none: take the learner metric"
        )
    module = _module(config)
    make = named(LEARNERS, config, "learner")

    check_name(BEGINS, config.base.begins, "base.begins")
    # One that has been trained holds its base, and is restored without another.
    kept = config.base.steps > 0 and config.train.steps > 0
    adapters = config.base.begins == "low_rank" and (kept or base is not None)
    weights = partial(merged, alpha=config.low_rank.alpha) if adapters else lambda params: params

    def of(module: Multimodal) -> Model:
        network = computed(config, module)
        if base is not None:
            network = BEGINS[config.base.begins](network, base, config)
        elif adapters:
            network = _low_rank(network, config)
        return Model(module, network, make(network, config), None, weights)

    independent = config.norm not in ROWS_SHARE and config.learner in EMBEDS and not adapters
    return of(module)._replace(fast=of(encoded(module)) if independent else None)


def _module(config: ConfigDict) -> Multimodal:
    encoders = {name: encoder(config, name) for name in parse_names(config.modalities)}
    fusion = named(FUSIONS, config, "fusion")()
    return Multimodal(encoders, Centred(fusion) if config.head in CENTRED else fusion)
