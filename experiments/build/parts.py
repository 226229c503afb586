"""From a config to models: those of a run, and the parts of each."""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

from ml_collections import ConfigDict

from experiments.build.heads import HEADS, LATE
from experiments.build.learners import (
    AS_METRIC,
    BEGINS,
    EMBEDS,
    LEARNERS,
    has_adapters,
    low_rank_of,
)
from experiments.build.networks import (
    FUSIONS,
    RAW,
    ROWS_SHARE,
    computed,
    encoder_name,
    module_of,
)
from experiments.build.optimizers import OPTIMIZERS
from experiments.names import check_name, named, parse_names
from fsjax.encoders.low_rank import merged
from fsjax.encoders.multimodal import Multimodal, encoded
from fsjax.encoders.spread import spread
from fsjax.types import Learner, Network, Params

TAUGHT = "taught"  # a model's name among those compared says that it has a teacher
DISTILLATION = "distillation"  # the objective of those that have one
# Objectives that can be compared, of the learner metric.
TRAINED = ("leave_one_out", "supervised", "views")
# Learners the rows of whose one task can be spread, and objectives that train them so.
SPREADS = AS_METRIC
TRAIN_SPREAD = ("own", "episodic", "leave_one_out")
# What is compared where methods are, rather than what is fused.
METHODS = {*HEADS, *LEARNERS, "leave_one_out", "supervised"}


class Model(NamedTuple):
    """One of the models that a run trains and compares."""

    module: Multimodal
    network: Network
    learner: Learner
    fast: "Model | None"  # the same on tokens that `encode_pool` made, if rows are independent
    weights: Callable[[Params], Params]  # of the network -> of the module
    # The same where the rows of a task are spread over devices, if they can be.
    spread: "Model | None" = None


def models(config: ConfigDict) -> dict[str, ConfigDict]:
    """Name -> config of every model of a run: the one configured first, then those compared.

    The first is called by its method, which is its head or a learner other than `metric`, where
    methods are compared or nothing is fused; else by its fusion. Of the others, each is what
    `config.compare` calls it; "prototype+hallucinate" is two changes, one after the other.

    Raises:
      ValueError: if a name is no modality, fusion, head, learner, objective or optimiser, and not
        "raw" or "taught", or a modality that the run does not see, or one of several changes undoes
        another.
    """
    modalities, compared = parse_names(config.modalities), parse_names(config.compare)
    unseen = set(config.encoders) - set(modalities)
    seen = [name for name in compared if unseen.isdisjoint(name.split("+"))]
    if len(seen) < len(compared):
        raise ValueError(
            f"config.compare={config.compare!r} names modalities that are not among "
            f"config.modalities={config.modalities!r}: set --config.compare={','.join(seen)}"
        )
    parts = [part for name in compared for part in name.split("+")]
    methods = len(modalities) == 1 or any(part in METHODS for part in parts)
    method = config.head if config.learner == "metric" else config.learner
    variants = {method if methods else config.fusion: config}
    known = [*modalities, *FUSIONS, *HEADS, *LEARNERS, *TRAINED, *OPTIMIZERS, "raw", TAUGHT]
    for name in compared:
        variant = config.copy_and_resolve_references()
        # A learner that is named brings its own objective, so that who teaches it comes last.
        for part in sorted(name.split("+"), key=TAUGHT.__eq__):
            check_name(known, part, "compare")
            _change(variant, part, modalities)
        _check_kept(variant, name, modalities)
        if variants.setdefault(name, variant) != variant:
            raise ValueError(
                f"config.compare names {name!r}, as the model configured is called, which has "
                f"config.objective={config.objective!r} and so is another one: leave the objective "
                "at its default, or take it out of config.compare"
            )
    return variants


def _change(variant: ConfigDict, name: str, modalities: tuple[str, ...]) -> None:
    if name in modalities:
        variant.update(modalities=name, fusion="plain")
    elif name == "raw":
        raw = {kind: RAW.get(name, "raw") for kind, name in variant.encoders.items()}
        variant.encoders = raw
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
    elif name in OPTIMIZERS:
        variant.train.optimizer = name
    else:
        variant.fusion = name


def _check_kept(variant: ConfigDict, name: str, modalities: tuple[str, ...]) -> None:
    """Checks that none of several changes has undone another."""
    kinds = {"modalities": modalities, "head": HEADS, "learner": LEARNERS}
    kinds |= {"objective": TRAINED, "fusion": FUSIONS}
    for part in name.split("+"):
        key = next((key for key, names in kinds.items() if part in names), None)
        if key and variant[key] != part:
            raise ValueError(
                f"config.compare names {name!r}, which has {key}={variant[key]!r} in the end, and "
                f"so nothing of {part!r}: leave one out, or name it last, as a learner after its "
                "head in ridge+hallucinate; modalities are fused as config.modalities has them"
            )


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
    module = module_of(config)
    make = named(LEARNERS, config, "learner")

    check_name(BEGINS, config.base.begins, "base.begins")
    # One that has been trained holds its base, and is restored without another.
    adapters = has_adapters(config)
    weights = partial(merged, alpha=config.low_rank.alpha) if adapters else lambda params: params

    def of(module: Multimodal, changed: Callable[[Network], Network] = lambda n: n) -> Model:
        network = changed(computed(config, module))
        if base is not None:
            network = BEGINS[config.base.begins](network, base, config)
        elif adapters:
            network = low_rank_of(network, config)
        return Model(module, network, make(network, config), None, weights)

    independent = config.norm not in ROWS_SHARE and config.learner in EMBEDS and not adapters
    # What does not fit the memory as bytes does not fit it as so many floats.
    seen = {encoder_name(config, name) for name in parse_names(config.modalities)}
    grows = config.data.stream and "raw" in seen
    return of(module)._replace(
        fast=of(encoded(module)) if independent and not grows else None,
        spread=of(module, spread) if config.learner in SPREADS else None,
    )
