"""Grocery Store (Klasson et al. 2019, https://arxiv.org/abs/1901.00711), packed into one npz."""

import io
from itertools import pairwise
from pathlib import Path

import numpy as np
from PIL import Image

from fsjax.data.npz import load_arrays
from fsjax.data.preprocess import encode_texts, resize_image
from fsjax.data.table import Table, rows

PARTS = ("train", "validation", "test")  # of the photos; each has its own shelves and days
KEYS = (
    *("jpeg", "offsets", "cls", "split", "names", "coarse", "descriptions"),
    *("iconic_jpeg", "iconic_offsets"),
)


def read_grocery(path: str | Path, *, size: int = 112, length: int = 540) -> Table:
    """Reads photos of groceries, taken by phone in shops, and what a shop says of each product.

    Args:
      path: an npz of jpeg (bytes end to end, photo i at offsets[i]:offsets[i + 1]), cls, split
        (0 train, 1 validation, 2 test) of each photo; names, coarse, descriptions and
        iconic_jpeg, iconic_offsets of each class.
      size: side to which pictures are fitted, in pixels.
      length: bytes of a description that are kept.

    Returns:
      A table of one source, "image" [N, size, size, 3] uint8, whose groups are the parts of the
      official split of the photos, which leaves classes whole. A class is described by
      "description" [C, length], "name" [C, 64] and "coarse" [C, 32] int32, bytes of a text, of
      the name and of the kind of product, and by "icon" [C, size, size, 3] uint8, its picture in
      a studio.

    Raises:
      FileNotFoundError: if there is no such file.
      ValueError: if an array is missing or damaged, or a picture cannot be read.
    """
    path = Path(path).expanduser()
    arrays = load_arrays(path, set(KEYS))
    names = tuple(str(name) for name in arrays["names"])
    _check(path, arrays, len(names))
    images = _pictures(path, arrays, "", size)
    source = rows({"image": images}, arrays["cls"], arrays["split"])
    side = {
        "description": encode_texts(arrays["descriptions"].tolist(), length),
        "coarse": encode_texts(arrays["coarse"].tolist(), 32),
        "name": encode_texts([name.replace("-", " ") for name in names], 64),
        "icon": _pictures(path, arrays, "iconic_", size),
    }
    return Table(names, {"image": source}, side)


def _check(path: Path, arrays: dict[str, np.ndarray], classes: int) -> None:
    """Raises ValueError if arrays are of the wrong length, or a number lies out of its range."""
    photos = len(arrays["offsets"]) - 1
    lengths = {"cls": photos, "split": photos, "iconic_offsets": classes + 1}
    lengths |= dict.fromkeys(("coarse", "descriptions"), classes)
    for key, count in lengths.items():
        if arrays[key].shape != (count,):
            raise ValueError(
                f"{path}: {key} has shape {arrays[key].shape} beside {photos} photos of {classes} "
                f"classes; save a list of {count}"
            )
    for key, most in (("cls", classes), ("split", len(PARTS))):
        bad = (arrays[key] < 0) | (arrays[key] >= most)
        if bad.any():
            raise ValueError(
                f"{path}: {key} is {arrays[key][bad][0]} in row {bad.argmax()}; expected a number "
                f"from 0 to {most - 1}"
            )


def _pictures(path: Path, arrays: dict[str, np.ndarray], of: str, size: int) -> np.ndarray:
    data, ends = arrays[f"{of}jpeg"].tobytes(), arrays[f"{of}offsets"].tolist()
    images = np.empty((len(ends) - 1, size, size, 3), np.uint8)
    for i, (start, end) in enumerate(pairwise(ends)):
        try:
            with Image.open(io.BytesIO(data[start:end])) as picture:
                images[i] = resize_image(picture, size)
        except Exception as error:  # damaged bytes make decoders raise almost anything
            raise ValueError(
                f"{path}: picture {i} of {of}jpeg cannot be read ({error}); copy the file again"
            ) from error
    return images
