"""From a config to parts: the only place where names become factories."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import optax
from ml_collections import ConfigDict

from experiments.dealer import episode_settings, training_tasks
from experiments.names import check_name, parse_names, parse_pairs, pick
from fsjax import heads
from fsjax.data import files, omniglot, pool, splits, table, tfds
from fsjax.data.emoji import emoji
from fsjax.encoders import audio, image, norms, tabular, text
from fsjax.encoders.comparison import ConvRelation
from fsjax.encoders.multimodal import Multimodal, as_network, encoded
from fsjax.episodes.rows import sample_rows
from fsjax.episodes.sample import bind_pool
from fsjax.evaluation.figures import accuracy
from fsjax.fusion import attention, pooled
from fsjax.fusion.centred import Centred
from fsjax.heads import distances
from fsjax.heads.relation import Relation
from fsjax.learners import maml, metric
from fsjax.learners.gradient import Rates, constant, per_parameter
from fsjax.learners.last_layer import learned_layer, prototype_layer
from fsjax.objectives import losses
from fsjax.objectives.episodic import over_tasks, query_loss
from fsjax.objectives.leave_one_out import leave_one_out
from fsjax.objectives.supervised import init_classes, supervised
from fsjax.types import Array, Head, Key, Learner, Network, Objective, Params, Pool, Sample

DATA: dict[str, Callable[[ConfigDict], table.Table]] = {
    "emoji": lambda data: emoji(),
    "folder": lambda data: files.read_folder(data.path, image_size=data.image_size),
    "omniglot": lambda data: omniglot.read_omniglot(data.path, size=data.image_size),
    "npz": lambda data: files.read_npz(data.path, modalities=parse_pairs(data.columns)),
    "tfds": lambda data: tfds.read_tfds(
        data.path,
        modalities=parse_pairs(data.columns),
        label=data.label,
        parts=parse_names(data.parts),
        image_size=data.image_size,
    ),
}
SPLITS = {"digest": splits.split_by_digest, "alphabet": omniglot.split_by_alphabet}
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
    "relation": lambda config: heads.relation(_named(RELATIONS, config, "relation")()),
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
LEARNERS: dict[str, Callable[[Network, ConfigDict], Learner]] = {
    "metric": lambda network, config: metric(network, head(config)),
    "maml": lambda network, config: _maml(network, config, learned_layer()),
    "anil": lambda network, config: _maml(network, config, learned_layer(), adapts=("head",)),
    "boil": lambda network, config: _maml(network, config, learned_layer(), adapts=("network",)),
    "meta_sgd": lambda network, config: _maml(network, config, learned_layer(), per_parameter),
    "proto_maml": lambda network, config: _maml(network, config, prototype_layer()),
}


def _maml(
    network: Network,
    config: ConfigDict,
    layer: Head,
    rates: Callable[..., Rates] = constant,
    **options: Any,
) -> Learner:
    inner = config.inner
    options = {"adapts": parse_names(inner.adapts), "first_order": inner.first_order} | options
    return maml(
        network,
        layer,
        _named(LOSSES, config, "loss"),
        rates=rates(inner.rate, steps=inner.steps),
        test_steps=inner.test_steps,
        **options,
    )


def _named(choices: Mapping[str, Any], config: ConfigDict, key: str) -> Any:
    return pick(choices, config[key], key)


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
    heads are compared or nothing is fused; else by its fusion.

    Raises:
      ValueError: if `config.compare` names no modality, fusion or head, and is not "raw".
    """
    modalities, compared = parse_names(config.modalities), parse_names(config.compare)
    by_head = len(modalities) == 1 or any(name in HEADS for name in compared)
    method = config.head if config.learner == "metric" else config.learner
    variants = {method if by_head else config.fusion: config}
    known = [*modalities, *FUSIONS, *HEADS, "raw"]
    for name in compared:
        check_name(known, name, "compare")
        variant = config.copy_and_resolve_references()
        if name in modalities:
            variant.update(modalities=name, fusion="plain")
        elif name == "raw":
            variant.encoders = dict.fromkeys(config.encoders, "raw")
            variant.update(fusion="concat", head="prototype", distance="cosine")
            variant.update(learner="metric", objective="episodic")
            variant.train.steps = 0
        elif name in HEADS:
            variant.update(head=name, learner="metric")
        else:
            variant.fusion = name
        variants.setdefault(name, variant)
    return variants


def distance(config: ConfigDict) -> Callable[[Array, Array], Array]:
    """The distance that a config names, for the heads that have one."""
    return _named(DISTANCES, config, "distance")


def head(config: ConfigDict) -> Head:
    """The head that a config names."""
    return _named(HEADS, config, "head")(config)


def encoder_name(config: ConfigDict, modality: str) -> str:
    """The encoder of a modality; one that the config does not name is taken for table rows."""
    return config.encoders.get(modality, config.encoders.tabular)


def model(config: ConfigDict) -> Model:
    """The network and the learner that a config names."""
    norm = _named(NORMS, config, "norm")
    encoders = {
        modality: pick(ENCODERS, encoder_name(config, modality), f"encoders.{modality}")(norm)
        for modality in parse_names(config.modalities)
    }
    fusion = _named(FUSIONS, config, "fusion")()
    module = Multimodal(encoders, Centred(fusion) if config.head in CENTRED else fusion)
    make = _named(LEARNERS, config, "learner")
    independent = config.norm not in ROWS_SHARE and config.learner == "metric"
    fast = make(as_network(encoded(module)), config) if independent else None
    return Model(module, make(as_network(module), config), fast)


class Training(NamedTuple):
    """What a model is trained by."""

    sample: Sample
    objective: Objective
    init: Callable[[Key, Params], Params]  # a learner's parameters -> all that are trained


def training(config: ConfigDict, model: Model, train: Pool) -> Training:
    """The batches and the objective that a config names.

    Raises:
      ValueError: if the objective trains a head and the learner has none.
    """
    if config.objective != "episodic" and config.learner != "metric":
        raise ValueError(
            f"config.objective={config.objective!r} trains the head of the learner metric, and "
            f"config.learner={config.learner!r} has none: set one of them to its default"
        )
    return _named(OBJECTIVES, config, "objective")(config, model, train)


def _episodic(config: ConfigDict, model: Model, train: Pool) -> Training:
    loss = _named(LOSSES, config, "loss")
    objective = over_tasks(query_loss(model.learner, loss, watch={"accuracy": accuracy}))
    return Training(training_tasks(config, train), objective, lambda key, params: params)


def _leave_one_out(config: ConfigDict, model: Model, train: Pool) -> Training:
    network, loss = as_network(model.module), _named(LOSSES, config, "loss")
    each = leave_one_out(network, head(config), loss, watch={"accuracy": accuracy})
    return Training(training_tasks(config, train), over_tasks(each), lambda key, params: params)


def _supervised(config: ConfigDict, model: Model, train: Pool) -> Training:
    network, classifier = as_network(model.module), head(config)
    sample = bind_pool(sample_rows, train, rows=config.train.rows)
    if idle := [name for name in ("warp", "drop") if config.train[name]]:
        raise ValueError(
            f"config.train.{idle[0]} changes episodes; supervised training has none: set it to 0"
        )

    def init(key: Key, params: Params) -> Params:
        rows = jax.eval_shape(sample, key)
        z, _ = jax.eval_shape(network.apply, params["network"], rows.inputs)
        sizes = {"features": z.shape[-1], "classes": rows.targets.shape[-1]}
        return params | {"classes": init_classes(key, classifier, params["head"], **sizes)}

    return Training(sample, supervised(network, classifier), init)


OBJECTIVES = {
    "episodic": _episodic,
    "leave_one_out": _leave_one_out,
    "supervised": _supervised,
}


def optimizer(config: ConfigDict) -> optax.GradientTransformation:
    """Adam with a rate that falls to zero along a cosine."""
    steps = max(config.train.steps, 1)
    return optax.adam(optax.cosine_decay_schedule(config.train.learning_rate, steps))


def tables(config: ConfigDict) -> dict[str, table.Table]:
    """Split -> table of the data that a config names, with the modalities that it names.

    Raises:
      ValueError: if the data lack a modality, or a class is too small for the episodes asked.
    """
    whole = _named(DATA, config.data, "name")(config.data)
    whole = table.take_modalities(whole, parse_names(config.modalities))
    parts = {
        split: table.take_classes(whole, names)
        for split, names in _splits(config.data, whole.classes).items()
    }
    if config.data.rotations:
        parts = {split: omniglot.with_rotations(part) for split, part in parts.items()}
    if config.data.reflections:
        parts["train"] = omniglot.with_reflections(parts["train"])
    asked = episode_settings(config)
    if config.test.calibrate:
        asked["validation"] += asked["test"]
    for split, settings in asked.items():
        for one in settings:
            shots = one["shots"] if isinstance(one["shots"], int) else one["shots"][1]
            try:
                pool.check_episodes(
                    parts[split],
                    ways=one["ways"] + (config.test.unknown if split == "test" else 0),
                    shots=shots,
                    queries=one["queries"],
                    apart=config.apart,
                )
            except ValueError as error:
                raise ValueError(f"the {split} split: {error}") from error
    return parts


def _splits(data: ConfigDict, classes: Sequence[str]) -> splits.Splits:
    if data.splits.endswith(".json"):
        return splits.read_splits(data.splits)
    return pick(SPLITS, data.splits, "data.splits")(classes)
