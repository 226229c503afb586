"""From a config to parts: the only place where names become factories."""

import difflib
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import optax
from ml_collections import ConfigDict

from fsjax import heads
from fsjax.data import files, omniglot, pool, splits, table, tfds
from fsjax.data.emoji import emoji
from fsjax.encoders import audio, image, norms, tabular, text
from fsjax.encoders.comparison import ConvRelation
from fsjax.encoders.multimodal import Multimodal, as_network, encoded
from fsjax.episodes import sample
from fsjax.episodes.augment import warp_images
from fsjax.episodes.missing import drop_modalities
from fsjax.episodes.open_set import sample_open_episode
from fsjax.evaluation.figures import accuracy
from fsjax.fusion import attention, pooled
from fsjax.heads import distances
from fsjax.heads.relation import Relation
from fsjax.learners import metric
from fsjax.objectives import losses
from fsjax.objectives.episodic import over_tasks, query_loss
from fsjax.types import Array, Episode, Head, Key, Learner, Network, Objective, Pool

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
    "propagation": lambda config: heads.propagation(),
}
LOSSES = {"cross_entropy": losses.cross_entropy, "squared_error": losses.squared_error}
LEARNERS: dict[str, Callable[[Network, ConfigDict], Learner]] = {
    "metric": lambda network, config: metric(network, head(config)),
}


def _named(choices: Mapping[str, Any], config: ConfigDict, key: str) -> Any:
    return pick(choices, config[key], key)


def pick(choices: Mapping[str, Any], name: str, key: str) -> Any:
    """choices[name]; raises ValueError with the nearest name known if there is none."""
    check_name(choices, name, key)
    return choices[name]


def check_name(choices: Collection[str], name: str, key: str) -> None:
    """Raises ValueError with the nearest name known if `name` is not among the choices."""
    if name in choices:
        return
    near = difflib.get_close_matches(str(name), choices, n=1)
    hint = f"; did you mean {near[0]!r}?" if near else ""
    raise ValueError(f"config.{key}={name!r} is not one of {', '.join(choices)}{hint}")


def parse_names(names: str) -> tuple[str, ...]:
    """The names in a string like "image,text"."""
    return tuple(name.strip() for name in names.split(",") if name.strip())


def parse_pairs(pairs: str) -> dict[str, str]:
    """The pairs in a string like "image:images,tabular:margin"."""
    return dict(pair.split(":", 1) for pair in parse_names(pairs))


class Model(NamedTuple):
    """One of the models that a run trains and compares."""

    module: Multimodal
    learner: Learner  # on raw inputs
    fast: Learner | None  # the same on tokens that `encode_pool` made, if rows are independent


def models(config: ConfigDict) -> dict[str, ConfigDict]:
    """Name -> config of every model of a run: the one configured first, then those compared.

    The first is called by its head where heads are compared or nothing is fused, else by its
    fusion.

    Raises:
      ValueError: if `config.compare` names no modality, fusion or head, and is not "raw".
    """
    modalities, compared = parse_names(config.modalities), parse_names(config.compare)
    by_head = len(modalities) == 1 or any(name in HEADS for name in compared)
    variants = {config.head if by_head else config.fusion: config}
    known = [*modalities, *FUSIONS, *HEADS, "raw"]
    for name in compared:
        check_name(known, name, "compare")
        variant = config.copy_and_resolve_references()
        if name in modalities:
            variant.update(modalities=name, fusion="plain")
        elif name == "raw":
            variant.encoders = dict.fromkeys(config.encoders, "raw")
            variant.update(fusion="concat", head="prototype", distance="cosine")
            variant.train.steps = 0
        elif name in HEADS:
            variant.head = name
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
    module = Multimodal(encoders, _named(FUSIONS, config, "fusion")())
    make = _named(LEARNERS, config, "learner")
    independent = config.norm not in ROWS_SHARE and config.learner == "metric"
    fast = make(as_network(encoded(module)), config) if independent else None
    return Model(module, make(as_network(module), config), fast)


def objective(learner: Learner, config: ConfigDict) -> Objective:
    """The loss of the queries that a config names, over a batch of tasks; accuracy watched."""
    loss = _named(LOSSES, config, "loss")
    return over_tasks(query_loss(learner, loss, watch={"accuracy": accuracy}))


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


def episode_settings(config: ConfigDict) -> dict[str, list[dict[str, Any]]]:
    """Split -> the ways, shots and queries that its episodes are asked with."""
    train, validation, test = config.train, config.validation, config.test

    def setting(ways: int, shots: int | Sequence[int], queries: int) -> dict[str, Any]:
        # JSON makes a list of the pair (low, high), and a list has no hash.
        shots = shots if isinstance(shots, int) else tuple(shots)
        return {"ways": ways, "shots": shots, "queries": queries}

    return {
        "train": [setting(train.ways, train.shots, train.queries)],
        "validation": [setting(validation.ways, validation.shots, validation.queries)],
        "test": [setting(ways, shots, test.queries) for ways, shots in test.settings],
    }


def draw(config: ConfigDict) -> sample.Draw:
    """How the rows of a class are drawn."""
    return sample.draw_apart if config.apart else sample.draw_rows


def training_tasks(config: ConfigDict, train: Pool) -> Callable[[Key], Episode]:
    """key -> a batch of training tasks, images warped and modalities dropped as the config asks."""
    names = parse_names(config.modalities)
    changes = (
        (warp_images, "amount", config.train.warp if "image" in names else 0.0),
        (drop_modalities, "rate", config.train.drop if len(names) > 1 else 0.0),
    )
    settings = episode_settings(config)["train"][0] | {"tasks": config.train.tasks}
    asked = tuple(change for change in changes if change[-1])
    return sample.bind_pool(_changed, train, changes=asked, draw=draw(config), **settings)


def _changed(key: Key, rows: Pool, *, changes: Sequence[tuple], **settings: Any) -> Episode:
    key_tasks, *keys = jax.random.split(key, 1 + len(changes))
    tasks = sample.sample_tasks(key_tasks, rows, **settings)
    for key, (change, name, amount) in zip(keys, changes, strict=True):
        each = jax.vmap(partial(change, **{name: amount}))
        tasks = each(jax.random.split(key, settings["tasks"]), tasks)
    return tasks


def episodes(config: ConfigDict, rows: Pool, **settings: int) -> Callable[[Key], Episode]:
    """key -> one episode of the given ways, shots and queries."""
    return sample.bind_pool(sample.sample_episode, rows, draw=draw(config), **settings)


def open_episodes(config: ConfigDict, rows: Pool, **settings: int) -> Callable[[Key], Episode]:
    """key -> one episode in which the queries of some classes are of none that it knows."""
    return sample.bind_pool(
        sample_open_episode, rows, draw=draw(config), unknown=config.test.unknown, **settings
    )


# For programs that run once: they take longer to compile than to run.
RUNS_ONCE = {"xla_backend_optimization_level": 0, "xla_llvm_disable_expensive_passes": True}

first_task = partial(jax.tree.map, lambda x: x[0])
