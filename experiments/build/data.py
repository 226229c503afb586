"""From a config to the data that it names."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ml_collections import ConfigDict

from experiments.dealer import episode_settings
from experiments.names import named, parse_names, parse_pairs, pick
from fsjax.data import csv_table, files, omniglot, pool, splits, table, tfds
from fsjax.data.emoji import emoji

DATA: dict[str, Callable[[ConfigDict], table.Table]] = {
    "emoji": lambda data: emoji(),
    "folder": lambda data: files.read_folder(data.path, image_size=data.image_size),
    "csv": lambda data: csv_table.read_csv(
        data.path,
        columns=parse_pairs(data.columns),
        label=data.label,
        sizes=files.Sizes(image=data.image_size),
    ),
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


def tables(config: ConfigDict) -> dict[str, table.Table]:
    """Split -> table of the data that a config names, with the modalities that it names.

    Raises:
      ValueError: if the data lack a modality, or a class is too small for the episodes asked.
    """
    whole = named(DATA, config.data, "name")(config.data)
    whole = table.take_modalities(
        whole, parse_names(config.modalities), parse_names(config.generation.side)
    )
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
            more = config.test.unknown if split == "test" else 0
            _check(config, split, parts[split], one | {"ways": one["ways"] + more})
    return parts


def _check(config: ConfigDict, split: str, part: table.Table, asked: Mapping[str, Any]) -> None:
    shots = asked["shots"] if isinstance(asked["shots"], int) else asked["shots"][1]
    counts = {"ways": asked["ways"], "shots": shots, "queries": asked["queries"]}
    try:
        pool.check_episodes(part, **counts, apart=config.apart)
    except ValueError as error:
        raise ValueError(f"the {split} split: {error}") from error


def base_tables(config: ConfigDict, train: table.Table) -> tuple[table.Table, table.Table]:
    """The training classes of the network that comes before all else, and those of the models.

    They are the same if `config.base.share` is 1.

    Raises:
      ValueError: if either are too few for the training episodes.
    """
    share = config.base.share
    if share == 1:
        return train, train
    # Names of their own, as the position of a class by its own name has chosen its split.
    salted = {f"base/{name}": name for name in train.classes}
    fractions = {"base": share, "models": 1 - share}
    chosen = splits.split_by_digest(tuple(salted), fractions)
    parts = tuple(
        table.take_classes(train, [salted[name] for name in chosen[part]]) for part in fractions
    )
    for name, part in zip(fractions, parts, strict=True):
        _check(config, f"{name} part of the train", part, episode_settings(config)["train"][0])
    return parts


def _splits(data: ConfigDict, classes: Sequence[str]) -> splits.Splits:
    if data.splits.endswith(".json"):
        return splits.read_splits(data.splits)
    return pick(SPLITS, data.splits, "data.splits")(classes)
