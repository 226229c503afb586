"""Features of frozen encoders, computed once and kept on disk."""

import hashlib
import os
import sys
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from uuid import uuid4

import numpy as np
from absl import logging
from rich.progress import track

from fsjax.data.stored import Stored
from fsjax.data.table import Rows, Table
from fsjax.pretrained import Pretrained

BLOCK = 256  # rows of a file: what is lost at most when a run is killed


def root() -> Path:
    """Where all that can be made again lies: FSJAX_CACHE, or fsjax in the user's cache folder."""
    users = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache")
    return Path(os.environ.get("FSJAX_CACHE") or users / "fsjax").expanduser()


def folder() -> Path:
    """Where features lie."""
    return root() / "features"


def features(encoder: Pretrained, rows: np.ndarray | Stored) -> np.ndarray:
    """What an encoder makes of rows, read from the cache where it has seen them before.

    Blocks of rows are files of their own, named by a digest of the encoder's weights and of what
    the rows hold: one that was killed goes on where it was, and no file is ever out of date.

    Args:
      encoder: any of `fsjax.pretrained`.
      rows: [N, ...], as it takes them, N at least 1.

    Returns:
      [N, D] float32.
    """
    blocks = [rows[start : start + BLOCK] for start in range(0, len(rows), BLOCK)]
    paths = [
        folder() / encoder.name / f"{_digest(encoder, np.asarray(block))}.npy" for block in blocks
    ]
    held = [_read(path, block) for path, block in zip(paths, blocks, strict=True)]
    lacking = [i for i, found in enumerate(held) if found is None]
    told = f"{encoder.name}, {sum(len(blocks[i]) for i in lacking)} rows"
    hidden = not (lacking and sys.stdout.isatty())
    for i in track(lacking, told, disable=hidden, transient=True):
        held[i] = encoder.embed(np.asarray(blocks[i]))
        _write(paths[i], held[i])
    return np.concatenate(held)


def embedded(table: Table, encoders: Mapping[str, Pretrained]) -> Table:
    """A table with modalities and class descriptions seen through frozen encoders.

    Args:
      table: the data.
      encoders: name of a modality, of a description or of both -> its encoder.

    Returns:
      The table, in which these are features [N, D] float32.

    Raises:
      ValueError: naming it, if what a table holds is nothing that its encoder takes.
    """

    def seen(values: Mapping[str, np.ndarray | Stored]) -> dict[str, np.ndarray | Stored]:
        return {
            name: _named(name, encoders[name], x) if name in encoders else x
            for name, x in values.items()
        }

    def source(rows: Rows) -> Rows:
        return rows._replace(values=seen(rows.values))

    sources = {name: source(rows) for name, rows in table.sources.items()}
    return table._replace(sources=sources, side=seen(table.side))


def _named(name: str, encoder: Pretrained, rows: np.ndarray | Stored) -> np.ndarray:
    try:
        return features(encoder, rows)
    except ValueError as error:
        raise ValueError(f"{name} cannot be frozen by {encoder.name}: {error}") from error


def _digest(encoder: Pretrained, rows: np.ndarray) -> str:
    content = hashlib.sha256(f"{encoder.digest} {rows.dtype} {rows.shape}".encode())
    content.update(np.ascontiguousarray(rows))
    return content.hexdigest()


def _read(path: Path, rows: np.ndarray | Stored) -> np.ndarray | None:
    """The features of rows as kept, or None if they are absent or damaged."""
    try:
        found = np.load(path, allow_pickle=False)
    except Exception:  # damaged bytes make a decoder raise almost anything
        return None
    whole = found.dtype == np.float32 and found.ndim == 2 and len(found) == len(rows)
    return found if whole and found.size else None


def _write(path: Path, found: np.ndarray) -> None:
    """Writes a file that is whole whenever it is there, if the folder can be written."""
    unfinished = path.with_suffix(f".{uuid4().hex}")  # processes of containers have equal numbers
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with unfinished.open("wb") as file:
            np.save(file, found)
        unfinished.replace(path)
    except OSError as error:
        logging.warning("features are computed anew the next time: %s", error)
        with suppress(OSError):
            unfinished.unlink(missing_ok=True)
