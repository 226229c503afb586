"""Class-disjoint meta-train, meta-validation and meta-test splits."""

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from itertools import combinations, pairwise
from pathlib import Path
from typing import Any

import numpy as np

Splits = Mapping[str, tuple[str, ...]]  # split -> class names

FRACTIONS = {"train": 0.64, "validation": 0.16, "test": 0.2}
_LONG = {"val": "validation"}


def _position(name: str) -> float:
    digest = hashlib.sha256(name.encode()).digest()
    return int.from_bytes(digest[:8], "big") / 2**64


def split_by_digest(
    classes: Sequence[str], fractions: Mapping[str, float] | None = None
) -> dict[str, tuple[str, ...]]:
    """Splits classes by a digest of their names, so that a class never changes its split.

    Args:
      classes: names of the classes, all different.
      fractions: split -> share of the classes; 64% train, 16% validation, 20% test if absent.

    Returns:
      split -> names of its classes, in the order given.

    Raises:
      ValueError: if the shares do not add up to one, or a class stands twice.
    """
    return _split(classes, fractions or FRACTIONS, _position)


def _split(
    classes: Sequence[str], fractions: Mapping[str, float], position: Callable[[str], float]
) -> dict[str, tuple[str, ...]]:
    """Splits classes where their positions in [0, 1) lie between the sums of the shares."""
    if not np.isclose(sum(fractions.values()), 1.0):
        raise ValueError(f"the shares of a split must add up to 1, got {dict(fractions)}")
    edges = np.cumsum([0.0, *fractions.values()])
    edges[-1] = np.inf
    splits = {
        split: tuple(name for name in classes if low <= position(name) < high)
        for split, (low, high) in zip(fractions, pairwise(edges), strict=True)
    }
    check_splits(splits)
    return splits


def split_by_rank(
    classes: Sequence[str], fractions: Mapping[str, float]
) -> dict[str, tuple[str, ...]]:
    """Splits classes in the order of a digest of their names, for sets so small that the shares
    of `split_by_digest` would come out too unlike what is asked; a new class moves others.

    Args:
      classes: names of the classes, all different.
      fractions: split -> share of the classes, exact but for rounding.

    Returns:
      split -> names of its classes, in the order given.

    Raises:
      ValueError: as `split_by_digest`.
    """
    ranked = sorted(classes, key=_position)
    places = {name: (i + 0.5) / len(ranked) for i, name in enumerate(ranked)}
    return _split(classes, fractions, places.__getitem__)


def read_splits(path: str | Path) -> dict[str, tuple[str, ...]]:
    """Reads splits from a JSON file of class names: {"train": [...], "val": [...], "test": [...]}.

    Args:
      path: the file; "validation" may be called so, or "val".

    Returns:
      split -> names of its classes, in the file's order.

    Raises:
      FileNotFoundError: if there is no such file.
      ValueError: if it is not JSON, lacks a split or has another, or a class stands twice.
    """
    try:
        lists = json.loads(Path(path).read_text("utf-8"))
        splits = {_LONG.get(split, split): _names(names) for split, names in lists.items()}
    except (ValueError, AttributeError, TypeError) as error:
        raise ValueError(
            f"{path} does not hold lists of class names by split ({error}); write it as "
            '{"train": [...], "validation": [...], "test": [...]}'
        ) from error
    if len(splits) < len(lists):
        raise ValueError(f"{path} has both val and validation, which are one: remove one of them")
    if set(splits) != set(FRACTIONS):
        raise ValueError(f"{path} has splits {', '.join(splits)}; expected {', '.join(FRACTIONS)}")
    check_splits(splits)
    return splits


def _names(names: Any) -> tuple[str, ...]:
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise TypeError(f"{names!r:.40} is no list of names in quotes")
    return tuple(names)


def check_splits(splits: Splits) -> None:
    """Raises ValueError, naming a class, if it stands in two splits or twice in one."""
    for split, names in splits.items():
        if len(set(names)) < len(names):
            twice = next(name for name in names if names.count(name) > 1)
            raise ValueError(f"class {twice!r} stands twice in split {split!r}")
    for (one, a), (other, b) in combinations(splits.items(), 2):
        if shared := sorted(set(a) & set(b)):
            raise ValueError(
                f"splits {one!r} and {other!r} share {len(shared)} classes, {shared[0]!r} among "
                "them; each class may stand in one split only"
            )
