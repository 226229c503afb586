"""A data set on the host, before it is split and put on the device."""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from fsjax.data.stored import Stored, is_stored


class Rows(NamedTuple):
    """The rows of one source: modalities that were recorded together."""

    values: Mapping[str, np.ndarray | Stored]  # modality -> [N, ...]
    present: Mapping[str, np.ndarray]  # modality -> [N] float32, 1 observed, 0 missing
    labels: np.ndarray  # [N] int32 index into the table's classes
    group: np.ndarray  # [N] int32 designer, speaker ...


class Table(NamedTuple):
    """A data set: named classes, rows that belong to them, class descriptions."""

    classes: tuple[str, ...]
    sources: Mapping[str, Rows]  # source -> rows; modality names differ between sources
    side: Mapping[str, np.ndarray]  # modality -> [C, ...] class descriptions; may be empty


class Scale(NamedTuple):
    """Of the values of a modality, number by number."""

    mean: np.ndarray
    deviation: np.ndarray


def rows(
    values: Mapping[str, np.ndarray | Stored],
    labels: np.ndarray,
    group: np.ndarray | None = None,
) -> Rows:
    """Rows with every modality observed; without `group`, each row is its own group."""
    count = len(labels)
    present = {name: np.ones(count, np.float32) for name in values}
    group = np.arange(count) if group is None else group
    return Rows(values, present, np.asarray(labels, np.int32), np.asarray(group, np.int32))


def modalities(table: Table) -> tuple[str, ...]:
    """The names of all modalities that the table's sources hold."""
    return tuple(name for source in table.sources.values() for name in source.values)


def take_classes(table: Table, names: tuple[str, ...]) -> Table:
    """The part of a table that belongs to the named classes, in the order given.

    Raises:
      ValueError: if a name is not one of the table's classes.
    """
    if unknown := sorted(set(names) - set(table.classes)):
        raise ValueError(f"no such class in the data: {', '.join(unknown[:5])}")
    old = np.array([table.classes.index(name) for name in names], np.int32)
    renumber = np.full(len(table.classes), -1, np.int32)
    renumber[old] = np.arange(len(old))

    def keep(source: Rows) -> Rows:
        new = renumber[source.labels]
        chosen = new >= 0
        values, present = (
            {name: x[chosen] for name, x in part.items()}
            for part in (source.values, source.present)
        )
        return Rows(values, present, new[chosen], source.group[chosen])

    return Table(
        tuple(names),
        {name: keep(source) for name, source in table.sources.items()},
        {name: x[old] for name, x in table.side.items()},
    )


def take_modalities(table: Table, names: tuple[str, ...], side: tuple[str, ...] = ()) -> Table:
    """The part of a table seen through the named modalities alone; empty sources go.

    Args:
      table: the data.
      names: of modalities.
      side: names of class descriptions to keep beside those of these modalities.

    Raises:
      ValueError: if the data lacks a modality or a description that is named.
    """
    if unknown := sorted(set(names) - set(modalities(table))):
        raise ValueError(
            f"the data has no modality {', '.join(unknown)}; it has {', '.join(modalities(table))}"
        )
    if unknown := sorted(set(side) - set(table.side)):
        raise ValueError(
            f"no class description is called {', '.join(unknown)}; "
            f"there is {', '.join(table.side) or 'none'}"
        )

    def keep(source: Rows) -> Rows:
        values, present = (
            {name: x for name, x in part.items() if name in names}
            for part in (source.values, source.present)
        )
        return source._replace(values=values, present=present)

    kept = {name: keep(source) for name, source in table.sources.items()}
    described = {name: x for name, x in table.side.items() if name in {*names, *side}}
    return Table(
        table.classes, {name: source for name, source in kept.items() if source.values}, described
    )


def scales(train: Table, names: tuple[str, ...]) -> dict[str, Scale]:
    """What values are standardised by: of the rows observed of the training classes.

    Args:
      train: the training classes.
      names: of modalities.

    Returns:
      modality -> its scale; the deviation of a value that does not vary is infinite.

    Raises:
      ValueError: if rows of one of them are stored elsewhere, or no training row has it.
    """
    found = {}
    for source in train.sources.values():
        for name in set(names) & set(source.values):
            if is_stored(source.values[name]):
                raise ValueError(f"{name!r} is streamed, and cannot be standardised: leave it out")
            if not (source.present[name] > 0).any():
                raise ValueError(f"no training row has {name!r}, by which to standardise it")
            # Sums of many rows are not held by float32.
            seen = source.values[name][source.present[name] > 0].astype(np.float64)
            deviation = seen.std(0)
            # One that differs by rounding alone does not vary.
            varies = deviation > 1e-5 * np.abs(seen).max(0)
            found[name] = Scale(seen.mean(0), np.where(varies, deviation, np.inf))
    return found


def standardise(table: Table, by: Mapping[str, Scale]) -> Table:
    """A table whose values are standardised by the `scales` of their modalities, as float32."""

    def change(source: Rows) -> Rows:
        values = {
            name: scaled(x, by[name]) if name in by else x for name, x in source.values.items()
        }
        return source._replace(values=values)

    return table._replace(sources={name: change(s) for name, s in table.sources.items()})


def scaled(x: np.ndarray, scale: Scale) -> np.ndarray:
    """Values [N, ...] less the mean, in units of the deviation, as float32."""
    return ((x - scale.mean) / scale.deviation).astype(np.float32)
