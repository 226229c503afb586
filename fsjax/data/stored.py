"""Rows that stay where they are stored until they are asked for: those of data larger than memory.

As arrays they have a length, a shape and a type, and are indexed; what comes of that is again
stored. So they are split, put in a pool and drawn from as all rows are, by their numbers, and are
read when an episode needs them.
"""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache, partial
from typing import Any, NamedTuple

import jax
import numpy as np

from fsjax.types import Array


class Store(NamedTuple):
    """Where rows are, each with a number."""

    shape: tuple[int, ...]  # of a row
    dtype: np.dtype
    read: Callable[[int], np.ndarray]  # a number -> the row; called by several threads at once


@partial(jax.tree_util.register_dataclass, data_fields=["numbers"], meta_fields=["store"])
@dataclass(frozen=True)
class Stored:
    """Rows [B, ...] of a store; a pytree of their numbers."""

    numbers: Array | np.ndarray  # [B] int32; with more leading axes under vmap
    store: Store

    @property
    def shape(self) -> tuple[int, ...]:
        return (*self.numbers.shape, *self.store.shape)

    @property
    def dtype(self) -> np.dtype:
        return self.store.dtype

    @property
    def ndim(self) -> int:
        return len(self.shape)

    def __len__(self) -> int:
        return len(self.numbers)

    def __getitem__(self, chosen: Any) -> "Stored":
        return Stored(self.numbers[chosen], self.store)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return _read(self.store, self.numbers, _threads().map).astype(dtype or self.dtype)


def stored(count: int, read: Callable[[int], np.ndarray]) -> Stored:
    """All rows of a store, which look like the first one.

    Args:
      count: N, at least 1.
      read: the number of a row, below N -> the row, of the same shape and type as all others, and
        finite.
    """
    first = read(0)
    dtype = jax.dtypes.canonicalize_dtype(first.dtype)  # what a program can be given
    return Stored(np.arange(count, dtype=np.int32), Store(first.shape, dtype, read))


def loaded(rows: Stored, *, stream: bool) -> np.ndarray | Stored:
    """Rows in memory, unless they are to be streamed and of two axes or more: images, sounds."""
    return rows if stream and len(rows.store.shape) > 1 else np.asarray(rows)


def is_stored(x: Any) -> bool:
    """Whether something is `Stored`."""
    return isinstance(x, Stored)


def read(batch: Any) -> Any:
    """A pytree with arrays of numpy in place of rows that are stored, read one after the other."""
    return _of_stored(lambda x: _read(x.store, x.numbers, map), batch)


def fetched(batch: Any) -> Any:
    """A pytree with arrays in place of rows that are stored, within a program that is traced.

    The program waits while they are read; what is known before, as the rows of training steps, is
    better read ahead (`fsjax.data.stream`).
    """

    def fetch(x: Stored) -> Array:
        def of_host(numbers: Array) -> np.ndarray:
            return _read(x.store, numbers, _threads().map)

        out = jax.ShapeDtypeStruct(x.shape, x.dtype)
        return jax.pure_callback(of_host, out, x.numbers, vmap_method="broadcast_all")

    return _of_stored(fetch, batch)


def _of_stored(change: Callable[[Stored], Any], batch: Any) -> Any:
    return jax.tree.map(lambda x: change(x) if is_stored(x) else x, batch, is_leaf=is_stored)


def _read(store: Store, numbers: Array | np.ndarray, each: Callable[..., Any]) -> np.ndarray:
    numbers = np.asarray(numbers)
    rows = np.empty((numbers.size, *store.shape), store.dtype)
    for place, row in enumerate(each(partial(_row, store), numbers.reshape(-1).tolist())):
        rows[place] = row
    return rows.reshape(*numbers.shape, *store.shape)


def _row(store: Store, number: int) -> np.ndarray:
    row = store.read(number)
    if row.shape != store.shape or jax.dtypes.canonicalize_dtype(row.dtype) != store.dtype:
        raise ValueError(
            f"row {number} has shape {row.shape} and type {row.dtype}, and the first has "
            f"{store.shape} and {store.dtype}; store rows that are alike"
        )
    return row


@cache
def _threads() -> ThreadPoolExecutor:
    """They read files; the reading itself is what libraries do without Python's lock."""
    return ThreadPoolExecutor(thread_name_prefix="rows")
