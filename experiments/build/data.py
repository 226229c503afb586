"""From a config to the data that it names."""

from collections.abc import Callable, Sequence

from ml_collections import ConfigDict

from experiments.dealer import episode_settings
from experiments.names import named, parse_names, parse_pairs, pick
from fsjax.data import files, omniglot, pool, splits, table, tfds
from fsjax.data.emoji import emoji

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


def tables(config: ConfigDict) -> dict[str, table.Table]:
    """Split -> table of the data that a config names, with the modalities that it names.

    Raises:
      ValueError: if the data lack a modality, or a class is too small for the episodes asked.
    """
    whole = named(DATA, config.data, "name")(config.data)
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
