"""Weights in npy files that hold a pickled dictionary of arrays; nothing that they hold is run."""

import io
import pickle
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from fsjax.pretrained.weights import Weights

_NUMBERS = re.compile("[fiu][1248]")
_ORDERS = "<>=|"


def read_npy(path: str | Path) -> Weights:
    """The arrays of a dictionary that `numpy.save` pickled, by their keys, joined by "/".

    A pickle may name anything and call it; here a name that does not rebuild an array ends the
    reading. Nor does numpy rebuild it, which would take bytes for the addresses of objects if the
    pickle says so: what stands for its functions keeps what they are told.

    Args:
      path: a file of one dictionary of arrays, or of dictionaries of them, of Python 2 or 3.

    Raises:
      FileNotFoundError: if there is no such file.
      ValueError: if the file is damaged, or holds anything but arrays of numbers by name.
    """
    file = io.BytesIO(Path(path).read_bytes())
    try:
        version = np.lib.format.read_magic(file)
        if version != (1, 0):
            raise ValueError(f"its format is {version}, not (1, 0)")
        np.lib.format.read_array_header_1_0(file)
        (found,) = _Arrays(file, encoding="latin1").load().items()
        return dict(_named(found))
    except Exception as error:  # damaged bytes make an unpickler raise almost anything
        raise ValueError(
            f"{path} cannot be read as the weights of a network ({error}); install it again"
        ) from error


class _Type:
    """What stands for numpy.dtype."""

    __slots__ = ("name", "order")

    def __init__(self, name: str, *more: Any):
        self.name, self.order = name, "="

    def __setstate__(self, state: tuple) -> None:
        self.order = state[1]


class _Array:
    """What stands for an array: its shape, type, order of axes and bytes, or objects."""

    __slots__ = ("state",)

    def __setstate__(self, state: tuple) -> None:
        self.state = state

    def items(self) -> list[Any]:
        """The objects of an array of such."""
        _, _, kind, _, items = self.state
        if kind.name != "O8" or not isinstance(items, list):
            raise ValueError("it holds an array of numbers, not a dictionary of arrays")
        return items

    def numbers(self) -> np.ndarray:
        """The array, of one of numbers."""
        _, shape, kind, by_columns, content = self.state
        if not _NUMBERS.fullmatch(kind.name) or kind.order not in _ORDERS:
            raise ValueError(f"an array of type {kind.name} holds no numbers")
        data = content.encode("latin1") if isinstance(content, str) else content
        values = np.frombuffer(data, kind.order + kind.name)
        return values.reshape(shape, order="F" if by_columns else "C")


class _Rebuild:
    """What stands for numpy's own function; without attributes that a pickle could set."""

    __slots__ = ()

    def __call__(self, *described: Any) -> _Array:
        return _Array()


class _Arrays(pickle.Unpickler):
    """An unpickler of arrays and dictionaries of them."""

    def find_class(self, module: str, name: str) -> Any:
        if module in ("numpy.core.multiarray", "numpy._core.multiarray") and name == "_reconstruct":
            return _Rebuild()
        if (module, name) == ("numpy", "dtype"):
            return _Type
        if (module, name) == ("numpy", "ndarray"):
            return None  # an argument of what rebuilds an array
        raise pickle.UnpicklingError(f"it asks for {module}.{name}, which rebuilds no array")


def _named(
    found: Mapping[str, Any], path: tuple[str, ...] = ()
) -> Iterator[tuple[str, np.ndarray]]:
    if not isinstance(found, dict):
        raise ValueError("it holds something else than arrays by name")
    for key, value in found.items():
        here = (*path, str(key))
        if isinstance(value, _Array):
            yield "/".join(here), value.numbers()
        else:
            yield from _named(value, here)
