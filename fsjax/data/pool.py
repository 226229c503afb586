"""From a table on the host to a pool on the device."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np

from fsjax.data.stored import Stored, is_stored, loaded, stored
from fsjax.data.table import Rows, Table, modalities
from fsjax.types import Inputs, Pool, Source


def make_pool(table: Table) -> Pool:
    """Puts a table on the device, with the rows of each class listed; stored rows stay there.

    Args:
      table: rows on the host; every class needs at least one row in every source.

    Returns:
      The pool. `index[c, p]` names the rows of class c; beyond `count[c]` it repeats the first.

    Raises:
      ValueError: if arrays are not of the same rows, a source lacks a class, a value is not finite
        in the type that devices have for it, or a row has no modality.
    """
    check_alike(table)
    check_finite(table)
    check_present(table)
    sources = {
        name: _make_source(name, rows, table.classes) for name, rows in table.sources.items()
    }
    side = {name: jnp.asarray(x) for name, x in table.side.items()}
    ones = {name: jnp.ones(len(table.classes)) for name in side}
    return Pool(sources, Inputs(side, ones))


def on_host(table: Table) -> Table:
    """A table whose images and sounds a pool leaves where they are, until they are asked for.

    Raises:
      ValueError: if a value is NaN or infinite.
    """
    check_finite(table)

    def keep(source: Rows) -> Rows:
        values = {
            name: x if is_stored(x) else loaded(stored(len(x), x.__getitem__), stream=True)
            for name, x in source.values.items()
        }
        return source._replace(values=values)

    return table._replace(sources={name: keep(s) for name, s in table.sources.items()})


def _make_source(name: str, rows: Rows, classes: tuple[str, ...]) -> Source:
    count = np.bincount(rows.labels, minlength=len(classes))
    if empty := np.flatnonzero(count == 0).tolist():
        raise ValueError(
            f"source {name!r} has no row of class {classes[empty[0]]!r}; drop the class or add rows"
        )
    by_class = np.argsort(rows.labels, kind="stable")
    start = np.cumsum(count) - count
    step = np.arange(count.max())
    index = by_class[start[:, None] + np.where(step < count[:, None], step, 0)]
    inputs = Inputs(
        jax.tree.map(jnp.asarray, dict(rows.values)),
        {m: jnp.asarray(x, jnp.float32) for m, x in rows.present.items()},
    )
    return Source(
        inputs,
        jnp.asarray(index, jnp.int32),
        jnp.asarray(count, jnp.int32),
        jnp.asarray(rows.group, jnp.int32),
    )


def check_alike(table: Table) -> None:
    """Raises ValueError, naming them, if arrays of a source are not as long as its labels, labels
    are of no class, classes have more or fewer descriptions, or sources share a modality.
    """
    classes = len(table.classes)
    for source, rows in table.sources.items():
        for name, x in {"group": rows.group, **rows.values}.items():
            if len(x) != len(rows.labels):
                raise ValueError(
                    f"{name!r} of source {source!r} has {len(x)} rows, and there are "
                    f"{len(rows.labels)} labels; give one for each row"
                )
        if (beyond := (rows.labels < 0) | (rows.labels >= classes)).any():
            raise ValueError(
                f"row {int(np.argmax(beyond))} of source {source!r} is labelled "
                f"{rows.labels[beyond][0]}, and labels of {classes} classes are 0 to {classes - 1}"
            )
    for name, x in table.side.items():
        if len(x) != classes:
            raise ValueError(f"{len(x)} descriptions {name!r} are given of {classes} classes")
    names = modalities(table)
    if twice := [name for name in names if names.count(name) > 1]:
        raise ValueError(f"two sources have the modality {twice[0]!r}; call them by other names")


def check_finite(table: Table) -> None:
    """Raises ValueError, naming modality and row, if an observed value is NaN or infinite, or
    becomes so, or another number, in the type that devices have for it.
    """
    for source, rows in table.sources.items():
        for modality, x in rows.values.items():
            bad = _not_finite(x) & (rows.present[modality] > 0)
            if bad.any():
                row = int(np.argmax(bad))
                raise ValueError(
                    f"{bad.sum()} rows of modality {modality!r} (source {source!r}) hold NaN or "
                    f"infinite values, or beyond {_on_device(x)}, the first is row {row} (class "
                    f"{table.classes[rows.labels[row]]!r}); mend them or mark them as missing"
                )
    for modality, x in table.side.items():
        if (bad := _not_finite(x)).any():
            raise ValueError(
                f"the description {modality!r} of class {table.classes[int(np.argmax(bad))]!r} "
                f"holds NaN or infinite values, or beyond {_on_device(x)}; mend it"
            )


def check_present(table: Table) -> None:
    """Raises ValueError, naming source and row, if every modality of a row is missing."""
    for source, rows in table.sources.items():
        empty = np.stack([np.asarray(x) for x in rows.present.values()]).max(0) == 0
        if empty.any():
            row = int(np.argmax(empty))
            raise ValueError(
                f"{empty.sum()} rows of source {source!r} have none of the modalities "
                f"{', '.join(sorted(rows.present))}, the first is row {row} (class "
                f"{table.classes[rows.labels[row]]!r}); drop them or name more modalities"
            )


def _not_finite(x: np.ndarray | Stored) -> np.ndarray:
    """[N, ...] -> [N] bool, whether a row holds NaN or Inf, or a number too large for a device;
    who reads stored ones looks.
    """
    if is_stored(x) or (x.dtype.kind in "biu" and x.dtype == _on_device(x)):
        return np.zeros(len(x), bool)
    limit = jnp.finfo if jnp.issubdtype(x.dtype, jnp.floating) else jnp.iinfo
    held = limit(_on_device(x))
    return ~((x >= held.min) & (x <= held.max)).all(axis=tuple(range(1, x.ndim)))


def _on_device(x: np.ndarray) -> np.dtype:
    return jax.dtypes.canonicalize_dtype(x.dtype)


def check_episodes(table: Table, *, ways: int, shots: int, queries: int, apart: bool) -> None:
    """Checks that every class of a table can be split into shots and queries.

    Args:
      table: the rows of one split.
      ways: classes of an episode.
      shots: support rows of a class, the most of them if they vary.
      queries: query rows of a class.
      apart: whether support and query must come from different groups.

    Raises:
      ValueError: if there are fewer classes than ways, or a class cannot be split; says which.
    """
    if len(table.classes) < ways:
        raise ValueError(
            f"{ways} ways asked of a split with {len(table.classes)} classes; ask for fewer, add "
            "classes, or split them otherwise"
        )
    for name, rows in table.sources.items():
        for label, title in enumerate(table.classes):
            groups = rows.group[rows.labels == label]
            if len(groups) < shots + queries:
                raise ValueError(
                    f"class {title!r} has {len(groups)} rows in source {name!r}, too few for "
                    f"{shots} shots and {queries} queries; ask for fewer or drop the class"
                )
            if apart and not _can_separate(groups, shots, queries):
                raise ValueError(
                    f"class {title!r} cannot be split into {shots} shots and {queries} queries "
                    f"from different groups in source {name!r}: its groups have "
                    f"{np.unique(groups, return_counts=True)[1].tolist()} rows; ask for fewer, "
                    "drop the class or allow shared groups"
                )


def check_seen(table: Table, names: Sequence[str]) -> None:
    """Checks that every class can be seen through one of some modalities.

    Args:
      table: the rows of one split.
      names: of the modalities.

    Raises:
      ValueError: if a class has no row in which one of them is observed; says which.
    """
    seen = np.zeros(len(table.classes), bool)
    for rows in table.sources.values():
        for name in rows.present.keys() & set(names):
            seen[rows.labels[rows.present[name] > 0]] = True
    if not seen.all():
        raise ValueError(
            f"class {table.classes[int(np.argmin(seen))]!r} has no row with {' or '.join(names)}; "
            "name other modalities or drop the class"
        )


def _can_separate(groups: np.ndarray, shots: int, queries: int) -> bool:
    sums = {0}
    for size in np.unique(groups, return_counts=True)[1].tolist():
        sums |= {reached + size for reached in sums}
    return any(shots <= reached <= len(groups) - queries for reached in sums)
