"""Data sets that tensorflow-datasets has prepared, read without TensorFlow."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

from fsjax.data import preprocess
from fsjax.data.stored import loaded, stored
from fsjax.data.table import Table, rows

Record = Mapping[str, Any]


def read_tfds(
    path: str | Path,
    *,
    modalities: Mapping[str, str],
    label: str = "label",
    parts: Sequence[str] = (),
    image_size: int = 84,
    text_length: int = 64,
    stream: bool = False,
) -> Table:
    """Reads a prepared data set of tensorflow-datasets, a row of every modality for each example.

    Args:
      path: the folder of a version, such as ~/tensorflow_datasets/beans/0.1.0, whose examples
        were written with file_format="array_record".
      modalities: name of a modality -> name of the feature that it comes from.
      label: the feature that names the class: a ClassLabel, an integer or a text.
      parts: splits of the data set to read; all of them unless named.
      image_size: side of the square to which images are fitted, in pixels.
      text_length: to which texts are cut or filled up, in bytes.
      stream: whether images and sounds stay on the disk until they are asked for. Every record is
        read once for its label, and once for each modality that does not stay there; an image is
        decoded where it is the modality.

    Returns:
      A table of one source, "rows": images [N, image_size, image_size, 3] uint8, text [N,
      text_length] int32, numbers [N, ...] float32.

    Raises:
      FileNotFoundError: if the folder holds no prepared data set.
      ValueError: if it is in another file format, lacks a split or a feature, or a feature is of
        a kind that no encoder takes, or an example cannot be read.
    """
    features, _ = open_tfds(path, parts)
    wanted = {label, *modalities.values()}
    if lacking := sorted(wanted - set(features)):
        raise ValueError(
            f"{path} has no feature {', '.join(lacking)}; it has {', '.join(sorted(features))}"
        )
    sizes = {"Image": image_size, "Text": text_length}
    columns = {
        m: _Column(path, name, m, _reader(path, name, features[name], sizes))
        for m, name in modalities.items()
    }
    images = {name for name, feature in features.items() if type(feature).__name__ == "Image"}

    def without(images: set[str]) -> Sequence[Record]:
        return open_tfds(path, parts, encoded=sorted(images))[1]

    labels = [_class_name(features[label], record[label]) for record in without(images)]
    classes, place = np.unique(labels, return_inverse=True)
    values = {
        m: stored(len(labels), partial(column.row, without(images - {column.feature})))
        for m, column in columns.items()
    }
    values = {m: loaded(x, stream=stream) for m, x in values.items()}
    return Table(tuple(map(str, classes)), {"rows": rows(values, place)}, {})


class _Column(NamedTuple):
    """A feature as a modality."""

    path: str | Path
    feature: str
    modality: str
    read: Callable[[Any], np.ndarray]

    def row(self, records: Sequence[Record], number: int) -> np.ndarray:
        record = records[number]
        try:
            return self.read(record[self.feature])
        except Exception as error:  # damaged bytes make decoders raise almost anything
            raise ValueError(
                f"{self.path}: feature {self.feature} of example {number} cannot be read as "
                f"{self.modality} ({error}); prepare the data set again"
            ) from error


def open_tfds(
    path: str | Path, parts: Sequence[str] = (), *, encoded: Sequence[str] = ()
) -> tuple[Mapping[str, Any], Sequence[Record]]:
    """The features of a prepared data set, and its examples.

    Args:
      path: the folder of a version.
      parts: splits to read; all of them unless named.
      encoded: features that stay as the bytes that were stored.

    Returns:
      Name -> feature of tensorflow-datasets; the examples of all splits, one after the other.

    Raises:
      FileNotFoundError, ValueError: as `read_tfds`.
    """
    import tensorflow_datasets as tfds  # takes seconds

    path = Path(path).expanduser()
    if not (path / "features.json").is_file():
        raise FileNotFoundError(
            f"{path} holds no data set prepared by tensorflow-datasets: name the folder of a "
            "version, such as ~/tensorflow_datasets/beans/0.1.0"
        )
    try:
        builder = tfds.builder_from_directory(path)
        features, known = builder.info.features, list(builder.info.splits)
    except ModuleNotFoundError as error:  # a sound or a video as such; a Tensor of samples is fine
        raise ValueError(
            f"{path} has a feature of which tensorflow-datasets knows nothing without TensorFlow "
            f"({error}); install that, or read the files themselves as class folders"
        ) from error
    if unknown := sorted(set(parts) - set(known)):
        raise ValueError(f"{path} has no split {', '.join(unknown)}; it has {', '.join(known)}")
    decoders = {name: tfds.decode.SkipDecoding() for name in encoded}
    try:
        sources = builder.as_data_source(list(parts or known), decoders=decoders or None)
    except NotImplementedError as error:
        raise ValueError(
            f"{path} is stored in a format that cannot be read without TensorFlow; prepare it "
            "once more with file_format='array_record'"
        ) from error
    return features, _Examples(path, sources)


class _Examples(Sequence):
    """The examples of all splits, one after the other; one that is damaged says where it is."""

    def __init__(self, path: Path, sources: Sequence[Sequence[Record]]):
        self._path, self._sources = path, sources
        self._ends = np.cumsum([len(source) for source in sources])

    def __len__(self) -> int:
        return int(self._ends[-1])

    def __getitem__(self, number: int) -> Record:
        if not 0 <= number < len(self):
            raise IndexError(number)
        place = int(np.searchsorted(self._ends, number, side="right"))
        source = self._sources[place]
        try:
            return source[number - int(self._ends[place]) + len(source)]
        except Exception as error:  # damaged bytes make decoders raise almost anything
            raise ValueError(
                f"{self._path}: example {number} cannot be read ({error}); prepare the data set "
                "again"
            ) from error


def _class_name(feature: Any, value: Any) -> str:
    if hasattr(feature, "int2str"):
        return feature.int2str(int(value))
    return value.decode() if isinstance(value, bytes) else str(value)


def _reader(
    path: str | Path, name: str, feature: Any, sizes: Mapping[str, int]
) -> Callable[[Any], np.ndarray]:
    """How the values of a feature become an array: by the kind of the feature."""
    kind = type(feature).__name__
    if kind == "Image":
        return partial(_image, size=sizes[kind])
    if kind == "Text":
        return lambda text: preprocess.encode_bytes(text.decode(), sizes[kind])
    if kind in ("Tensor", "Scalar") and None not in feature.shape:
        return lambda x: _finite(np.asarray(x, np.float32))
    raise ValueError(
        f"{path}: feature {name} is a {kind} of shape {feature.shape}, which no encoder takes; "
        "name an Image, a Text, or numbers of a fixed shape"
    )


def _image(pixels: np.ndarray, size: int) -> np.ndarray:
    grey = pixels.shape[-1] == 1
    return preprocess.resize_image(Image.fromarray(pixels[..., 0] if grey else pixels), size)


def _finite(x: np.ndarray) -> np.ndarray:
    if not np.isfinite(x).all():
        raise ValueError("it has NaN or Inf")
    return np.atleast_1d(x)
