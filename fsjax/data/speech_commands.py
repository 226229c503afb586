"""Spoken Arabic commands with pictures of what they name, packed into one npz."""

from pathlib import Path

import numpy as np

from fsjax.data.npz import load_arrays
from fsjax.data.preprocess import encode_texts
from fsjax.data.table import Table, rows

KEYS = {"images", "img_cls", "logmel", "aud_cls", "speaker", "names"}


def read_speech_commands(path: str | Path, *, length: int = 16) -> Table:
    """Reads spoken commands and icons, two sources paired by class.

    Args:
      path: an npz of logmel [N, mels, frames] with the classes aud_cls and the speakers, images
        [M, H, W] with the classes img_cls, and the names of the classes.
      length: bytes of a class name that are kept.

    Returns:
      A table of the sources "audio" [N, frames, mels], grouped by speaker, and "image" [M, H, W];
      a class is described by "keyword" [C, length] int32, the bytes of its name.

    Raises:
      FileNotFoundError: if there is no such file.
      ValueError: if an array is missing or damaged, or is not as long as its classes.
    """
    path = Path(path).expanduser()
    arrays = load_arrays(path, KEYS)
    names = tuple(str(name) for name in arrays["names"])
    sources = {"images": "img_cls", "logmel": "aud_cls", "speaker": "aud_cls"}
    for key, labels in sources.items():
        classes = arrays[labels]
        if len(arrays[key]) != len(classes):
            raise ValueError(
                f"{path}: {key} has {len(arrays[key])} rows beside {len(classes)} classes in "
                f"{labels}; save one for each"
            )
        if not ((classes >= 0) & (classes < len(names))).all():
            raise ValueError(f"{path}: {labels} is not everywhere from 0 to {len(names) - 1}")
    frames_first = np.ascontiguousarray(arrays["logmel"].swapaxes(1, 2))
    return Table(
        names,
        {
            "audio": rows({"audio": frames_first}, arrays["aud_cls"], arrays["speaker"]),
            "image": rows({"image": arrays["images"]}, arrays["img_cls"]),
        },
        {"keyword": encode_texts(names, length)},
    )
