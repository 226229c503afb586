"""Data sets in files, a folder for each class."""

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple, TypeVar

import numpy as np
from PIL import Image, ImageOps

from fsjax.data import preprocess, series, sounds
from fsjax.data.stored import loaded, stored
from fsjax.data.table import Table, rows

T = TypeVar("T")


class Sizes(NamedTuple):
    """To what files are fitted, as `read_folder` says."""

    image: int = 84  # pixels
    frames: int = 96
    sample_rate: int = 16000  # Hz
    text: int = 64  # bytes
    wave: int = 0  # samples; unless 0, sounds are read as waves and not as frames
    steps: int = 128  # of a series
    channels: int = 0  # which a series must have, unless 0


class _Kind(NamedTuple):
    modality: str
    read: Callable[[Path, Sizes], np.ndarray]  # -> [rows in the file, ...]


def _image(path: Path, sizes: Sizes) -> np.ndarray:
    with Image.open(path) as image:
        return preprocess.resize_image(ImageOps.exif_transpose(image), sizes.image)[None]


def _audio(path: Path, sizes: Sizes) -> np.ndarray:
    wave = sounds.read_wave(path, sizes.sample_rate)
    if sizes.wave:
        return sounds.fit_wave(wave, sizes.wave)[None]
    return sounds.log_mel_frames(wave, sizes.sample_rate, sizes.frames)[None]


def _lines(path: Path) -> list[str]:
    lines = path.read_text("utf-8-sig").split("\n")
    texts = [line.strip() for line in lines if line.strip()]
    if not texts:
        raise ValueError("it has no line of text")
    return texts


def _text(path: Path, sizes: Sizes) -> np.ndarray:
    return preprocess.encode_texts(_lines(path), sizes.text)


def _series(path: Path, sizes: Sizes) -> np.ndarray:
    x = series.fit_series(series.read_series(path), sizes.steps)
    if sizes.channels not in (0, x.shape[1]):
        raise ValueError(f"it has {x.shape[1]} channels, and others have {sizes.channels}")
    return x[None]


ENDINGS: Mapping[str, _Kind] = {
    **dict.fromkeys((".png", ".jpg", ".jpeg", ".webp", ".bmp", ".gif"), _Kind("image", _image)),
    **dict.fromkeys((".wav", ".flac", ".ogg"), _Kind("audio", _audio)),
    ".txt": _Kind("text", _text),
    ".npy": _Kind("series", _series),
}


def kind_of(path: Path) -> str:
    """The modality of a file, by its ending.

    Raises:
      ValueError: if the ending is none of `ENDINGS`, or it is a folder.
    """
    if path.is_dir() or path.suffix.lower() not in ENDINGS:
        raise ValueError(
            f"{path} is neither an image, nor audio, text or a series: remove it or give it one of "
            f"the known endings, {' '.join(ENDINGS)}"
        )
    return ENDINGS[path.suffix.lower()].modality


def visible(folder: Path) -> list[Path]:
    """What lies in a folder and is not hidden, sorted."""
    return sorted(path for path in folder.iterdir() if not path.name.startswith("."))


def _find(folder: Path) -> tuple[list[str], dict[str, dict[str, list[Path]]]]:
    """The classes of a folder, and its files: modality -> class -> paths."""
    if not folder.is_dir():
        raise FileNotFoundError(f"{folder} is not a folder: name one that holds class folders")
    classes = [path for path in visible(folder) if path.is_dir()]
    found = defaultdict(lambda: {path.name: [] for path in classes})
    for path in (path for each in classes for path in visible(each)):
        found[kind_of(path)][path.parent.name].append(path)
    if not found:
        raise ValueError(f"{folder} has no files in class folders: expected {folder}/CLASS/FILE")
    for modality, of_class in found.items():
        if lacking := [name for name, paths in of_class.items() if not paths]:
            raise ValueError(
                f"{folder}: no {modality} file for class {', '.join(lacking[:5])}, yet others "
                f"have some; add {modality} to every class, or remove it from all"
            )
    return [path.name for path in classes], found


def read_file(path: Path, sizes: Sizes) -> np.ndarray:
    """The rows in a file of a known ending: [lines, L] of a text, else [1, ...].

    Raises:
      ValueError: if it cannot be read.
    """
    kind = ENDINGS[path.suffix.lower()]
    return _reading(path, kind.modality, lambda: kind.read(path, sizes))


def read_lines(path: Path) -> list[str]:
    """The lines of a text file that are not empty.

    Raises:
      ValueError: if it cannot be read.
    """
    return _reading(path, "text", lambda: _lines(path))


def _reading(path: Path, modality: str, read: Callable[[], T]) -> T:
    try:
        return read()
    except Exception as error:  # damaged bytes make decoders raise almost anything
        raise ValueError(
            f"{path} cannot be read as {modality} ({error}); replace or remove the file"
        ) from error


def read_folder(
    path: str | Path,
    *,
    image_size: int = 84,
    frames: int = 96,
    sample_rate: int = 16000,
    text_length: int = 64,
    wave: int = 0,
    steps: int = 128,
    stream: bool = False,
) -> Table:
    """Reads a data set whose files lie in one folder for each class, `path/CLASS/FILE`.

    Images, audio, text and series become sources of their own, paired by class alone; every class
    needs files for each of them. Hidden files, and files beside the class folders, are not read.

    Args:
      path: the folder that holds the class folders.
      image_size: side of the square to which images are fitted, in pixels.
      frames: to which audio is cut or filled up, each 320 samples after the last.
      sample_rate: to which audio is resampled, in Hz.
      text_length: to which each line of a text file is cut or filled up, in bytes.
      wave: samples to which audio is cut or filled up, if it is to be read as waves; 0: as frames.
      steps: to which series, files of `numpy.save` that hold [steps, channels], are cut, or held
        where they end.
      stream: whether images, sounds and series stay in their files until they are asked for.

    Returns:
      A table of the sources "image" ([N, image_size, image_size, 3] uint8), "audio" ([N,
      frames, 32] float32 in dB, or [N, wave] int16), "text" ([N, text_length] int32) and "series"
      ([N, steps, channels] float32), as far as there are such files; its rows are in the order of
      the sorted names.

    Raises:
      FileNotFoundError: if there is no such folder.
      ValueError: if a file is unreadable or of unknown kind, if a class lacks a source, or if
        there is nothing to read.
    """
    sizes = Sizes(image_size, frames, sample_rate, text_length, wave, steps)
    if min(image_size, frames, sample_rate, text_length, steps) < 1 or wave < 0:
        raise ValueError(f"sizes must be at least 1, but that of waves, not {sizes}")
    classes, found = _find(Path(path))
    sources = {}
    for modality, of_class in sorted(found.items()):
        files = [file for name in classes for file in of_class[name]]
        labels = np.repeat(np.arange(len(classes)), [len(of_class[name]) for name in classes])
        if modality == "text":
            blocks = [read_file(file, sizes) for file in files]
            labels = np.repeat(labels, [len(block) for block in blocks])
            values = np.concatenate(blocks)
        else:
            channels = read_file(files[0], sizes).shape[-1] if modality == "series" else 0
            read = partial(_row_of, files, sizes._replace(channels=channels))
            values = loaded(stored(len(files), read), stream=stream)
        sources[modality] = rows({modality: values}, labels)
    return Table(tuple(classes), sources, {})


def _row_of(files: Sequence[Path], sizes: Sizes, number: int) -> np.ndarray:
    return read_file(files[number], sizes)[0]
