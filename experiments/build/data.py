"""The data of a run, from what is read to the classes of each split."""

from collections.abc import Collection, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

import jax
from ml_collections import ConfigDict

from experiments.build.conditions import check_conditions
from experiments.build.numbers import check_numbers
from experiments.build.reading import columns, encoders, located, read
from experiments.cache import embedded
from experiments.dealer import episode_settings
from experiments.names import check_name, parse_names, pick
from fsjax.data import omniglot, pool, splits, table

# Of eighty classes these leave 20 each for validation and test.
_HALVES = {"train": 0.5, "validation": 0.25, "test": 0.25}
SPLITS = {
    "digest": splits.split_by_digest,
    "halves": partial(splits.split_by_rank, fractions=_HALVES),
    "alphabet": omniglot.split_by_alphabet,
    "all": lambda classes: {"train": (), "validation": (), "test": tuple(classes)},
}
HELD_OUT = ("validation", "test")


class Data(NamedTuple):
    """The data of a run, and what was done to rows before a model sees them."""

    tables: dict[str, table.Table]  # by split
    read: Mapping[str, jax.ShapeDtypeStruct]  # modality -> a row as it was read
    scales: Mapping[str, table.Scale]  # of the modalities that are standardised
    columns: Mapping[str, Sequence[str]] = {}  # modality -> those of a CSV


def tables(config: ConfigDict, names: Collection[str] = ()) -> dict[str, table.Table]:
    """Split -> table of the data that a config names, as of `prepared`."""
    return prepared(config, names).tables


def prepared(config: ConfigDict, names: Collection[str] = ()) -> Data:
    """The data that a config names, with the modalities that it names.

    Args:
      config: of a run.
      names: of the models that see them; all of the run if there are none.

    Raises:
      ValueError: if the data lack a modality, a class is too small for the episodes asked, or as
        `check_numbers`.
      ImportError, FileNotFoundError: if the weights of a frozen encoder are not installed.
    """
    check_numbers(config, names)
    frozen = encoders(config)
    whole = read(config)
    parts = split(config, whole)
    check_parts(config, parts)
    # Embedded before they are split, rows are the same to the cache in whatever split they are.
    parts = split(config, embedded(whole, frozen)) if frozen else parts
    scales = table.scales(parts["train"], _standardised(config))
    parts = {name: table.standardise(part, scales) for name, part in parts.items()}
    if config.data.stream:
        parts = {name: pool.on_host(part) for name, part in parts.items()}
    sources = whole.sources.values()
    read_as = {
        name: jax.ShapeDtypeStruct(x.shape[1:], x.dtype)
        for source in sources
        for name, x in source.values.items()
    }
    return Data(parts, read_as, scales, columns(config))


def check_parts(config: ConfigDict, parts: Mapping[str, table.Table]) -> None:
    """Checks that there are the classes and rows that the episodes of these splits ask for.

    Raises:
      ValueError: if a class is too small, or not seen as the conditions of the tests want it.
    """
    asked = episode_settings(config)
    # There a temperature is chosen, and what each modality alone is worth.
    if config.test.calibrate or config.test.risk or config.test.missing:
        asked["validation"] += asked["test"]
    for name, part in parts.items():
        for one in asked[name]:
            more = config.test.unknown if name == "test" else 0
            wanted = one | {"ways": one["ways"] + more}
            check_setting(config, f"the {name} split", part, wanted)
    check_conditions(config, parts["test"])


def split(config: ConfigDict, whole: table.Table) -> dict[str, table.Table]:
    """Split -> its classes, by what a config says of data."""
    parts = {
        name: table.take_classes(whole, classes)
        for name, classes in _splits(config.data, whole.classes).items()
    }
    if config.data.rotations:
        parts = {name: omniglot.with_rotations(part) for name, part in parts.items()}
    if config.data.reflections:
        parts["train"] = omniglot.with_reflections(parts["train"])
    return parts


def _standardised(config: ConfigDict) -> tuple[str, ...]:
    names = parse_names(config.data.standardise)
    for name in names:
        check_name(parse_names(config.modalities), name, "data.standardise")
    return names


def check_setting(
    config: ConfigDict, where: str, part: table.Table, asked: Mapping[str, Any]
) -> None:
    """Raises ValueError, saying where, if classes are too few or too small for episodes asked."""
    shots = asked["shots"] if isinstance(asked["shots"], int) else asked["shots"][1]
    counts = {"ways": asked["ways"], "shots": shots, "queries": asked["queries"]}
    try:
        pool.check_episodes(part, **counts, apart=config.apart)
    except ValueError as error:
        raise ValueError(f"{where}: {error}") from error


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
        where, asked = f"the {name} part of the train split", episode_settings(config)["train"][0]
        check_setting(config, where, part, asked)
    return parts


def seen_by_models(config: ConfigDict, data: Data) -> Data:
    """Data whose training classes are those of the models, without the base's own if it has any."""
    if not config.base.steps:
        return data
    _, train = base_tables(config, data.tables["train"])
    return data._replace(tables={**data.tables, "train": train})


def _splits(data: ConfigDict, classes: Sequence[str]) -> splits.Splits:
    if data.splits.endswith(".json"):
        return splits.read_splits(located(data.splits))
    return pick(SPLITS, data.splits, "data.splits")(classes)
