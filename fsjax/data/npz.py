"""Data sets in one npz."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from fsjax.data.table import Table, rows


def load_arrays(path: Path, needed: set[str], optional: str = "") -> dict[str, np.ndarray]:
    """The arrays of an npz that are asked for; the others stay packed.

    Raises:
      FileNotFoundError: if there is no such file.
      ValueError: if it is damaged, holds pickles or lacks an array that is needed.
    """
    if not path.is_file():
        raise FileNotFoundError(f"{path} is not a file: name an npz")
    where, arrays = f"{path}", {}
    try:
        with np.lib.npyio.NpzFile(path, allow_pickle=False) as archive:
            held = archive.files
            for key in sorted({*needed, optional}.intersection(held)):
                where = f"{path}, array {key},"
                arrays[key] = np.asarray(archive[key])
    except Exception as error:  # damaged bytes make decoders raise almost anything
        raise ValueError(
            f"{where} cannot be read ({error}); copy the file again or write it with np.savez, "
            "from arrays of numbers or str (arrays of objects are pickles, which may run code)"
        ) from error
    if missing := sorted(needed - set(held)):
        raise ValueError(f"{path} has no array {', '.join(missing)}; it has {', '.join(held)}")
    return arrays


def _flat(path: Path, key: str, x: np.ndarray) -> np.ndarray:
    """A list of integers or strings, which it must be."""
    if x.ndim != 1 or not len(x) or x.dtype.kind not in "iuSU":
        raise ValueError(
            f"{path}: {key} has shape {x.shape} and type {x.dtype}; save a list of integers or str"
        )
    return np.char.decode(x, "utf-8", "replace") if x.dtype.kind == "S" else x


def _check_length(path: Path, key: str, x: np.ndarray, count: int) -> None:
    if x.ndim == 0 or len(x) != count:
        raise ValueError(
            f"{path}: {key} has shape {x.shape}, yet there are {count} labels; save a row for each"
        )


def _check_numbers(path: Path, key: str, x: np.ndarray) -> None:
    if x.dtype.kind not in "biuf":
        raise ValueError(
            f"{path}: {key} has type {x.dtype}, not numbers; encode it first, str by encode_texts"
        )
    bad = ~np.isfinite(x).all(axis=tuple(range(1, x.ndim)))
    if bad.any():
        raise ValueError(
            f"{path}: {key} has NaN or Inf in {bad.sum()} of {len(x)} rows, first in row "
            f"{bad.argmax()}; remove those rows or fill them in"
        )


def _places(path: Path, key: str, labels: np.ndarray, names: list[str]) -> np.ndarray:
    """The place of each row's class among the names; integer labels are such places already."""
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"{path}: the class name {twice} occurs twice; give each class its own")
    known = names if labels.dtype.kind == "U" else range(len(names))
    place = {label: i for i, label in enumerate(known)}
    found, row, inverse = np.unique(labels, return_index=True, return_inverse=True)
    for label, first in zip(found.tolist(), row, strict=True):
        if label not in place:
            raise ValueError(
                f"{path}: {key} is {label} in row {first}, which is none of the {len(names)} class "
                f"names; expected a name, or its place from 0 to {len(names) - 1}"
            )
    return np.array([place[label] for label in found.tolist()])[inverse]


def read_npz(
    path: str | Path,
    *,
    modalities: Mapping[str, str],
    labels: str = "cls",
    group: str | None = None,
    names: str = "names",
) -> Table:
    """Reads a data set whose modalities were recorded together, a row of each for each thing.

    Args:
      path: an npz as `np.savez` writes it, without pickles.
      modalities: name of a modality -> key of its array [N, ...], numbers.
      labels: key of the classes [N]: integers, or str.
      group: key of the groups [N] such as designers or speakers: integers, or str.
      names: key of the class names [C], in which integer labels are places. It may be absent:
        the classes are then the labels that occur, sorted.

    Returns:
      A table of one source, "rows", with the arrays as they are in the file; one number a row, [N],
      is [N, 1].

    Raises:
      FileNotFoundError: if there is no such file.
      ValueError: if it is damaged or holds pickles, if an array is missing, not finite or of
        another length than the labels, or if a label has no name.
    """
    path = Path(path)
    arrays = load_arrays(path, {labels, *modalities.values(), *([group] if group else [])}, names)
    label = _flat(path, labels, arrays[labels])
    for key in modalities.values():
        _check_length(path, key, arrays[key], len(label))
        _check_numbers(path, key, arrays[key])
    if names in arrays:
        classes = [str(name) for name in _flat(path, names, arrays[names])]
        place = _places(path, labels, label, classes)
    else:
        found, place = np.unique(label, return_inverse=True)
        classes = [str(name) for name in found]
    member = None
    if group:
        _check_length(path, group, arrays[group], len(label))
        _, member = np.unique(_flat(path, group, arrays[group]), return_inverse=True)
    found = {name: arrays[key] for name, key in modalities.items()}
    values = {name: x[:, None] if x.ndim == 1 else x for name, x in found.items()}
    return Table(tuple(classes), {"rows": rows(values, place, member)}, {})
