"""Omniglot (Lake et al. 2015, https://doi.org/10.1126/science.aab3050), as it is published."""

import io
import zipfile
import zlib
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image

from fsjax.data.splits import check_splits
from fsjax.data.table import Table, modalities, rows
from fsjax.data.tfds import open_tfds

PARTS = ("images_background", "images_evaluation")
# The alphabets of images_evaluation; the others are those of images_background.
EVALUATION = frozenset(
    (
        *("Angelic", "Atemayar_Qelisayer", "Atlantean", "Aurek-Besh", "Avesta", "Ge_ez"),
        *("Glagolitic", "Gurmukhi", "Kannada", "Keble", "Malayalam", "Manipuri", "Mongolian"),
        *("Old_Church_Slavonic_(Cyrillic)", "Oriya", "Sylheti", "Syriac_(Serto)", "Tengwar"),
        *("Tibetan", "ULOG"),
    )
)
# Of the background alphabets, those kept for validation: about a sixth of their characters.
VALIDATION = frozenset(
    ("Armenian", "Burmese_(Myanmar)", "Cyrillic", "Gujarati", "Japanese_(katakana)")
)


def read_omniglot(path: str | Path, *, size: int = 28) -> Table:
    """Reads Omniglot's drawings from the published folders or zips, or as tensorflow-datasets
    prepared them.

    Args:
      path: folder that holds images_background and images_evaluation, unpacked or as zips,
        whose names may begin with "omniglot_"; or ~/tensorflow_datasets/omniglot/3.0.0.
      size: to which the drawings of 105 x 105 are reduced, in pixels.

    Returns:
      A table of one source, "image", [N, size, size, 1] uint8, ink 255 on 0, whose classes are
      named ALPHABET/CHARACTER; the group of a row is its drawer, which tensorflow-datasets does
      not tell: there each row of a class is a group.

    Raises:
      FileNotFoundError: if a part lacks.
      ValueError: if a picture or a zip is damaged, or as `fsjax.data.tfds.read_tfds`.
    """
    if size < 1:
        raise ValueError(f"the size must be at least 1 pixel, not {size}")
    path = Path(path).expanduser()
    if (path / "features.json").is_file():
        pictures = sorted(_prepared(path))
    else:
        pictures = sorted(picture for part in PARTS for picture in _pictures(path, part))
    names = sorted({name for name, _, _ in pictures})
    place = {name: i for i, name in enumerate(names)}
    images = np.stack([_shrunk(data, f"{name}/{file}", size) for name, file, data in pictures])
    labels = [place[name] for name, _, _ in pictures]
    # A file is named CHARACTER_DRAWER.png; each drawer of an alphabet drew each character once.
    drawer = [int(file.rsplit("_", 1)[1]) for _, file, _ in pictures]
    source = rows({"image": images}, np.array(labels), np.array(drawer))
    return Table(tuple(names), {"image": source}, {})


def split_by_alphabet(classes: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """The published split: evaluation alphabets for test; five of the others for validation."""

    def split_of(name: str) -> str:
        alphabet = name.split("/")[0]
        if alphabet in EVALUATION:
            return "test"
        return "validation" if alphabet in VALIDATION else "train"

    splits = {
        split: tuple(name for name in classes if split_of(name) == split)
        for split in ("train", "validation", "test")
    }
    check_splits(splits)
    return splits


def with_rotations(table: Table) -> Table:
    """Each class four times, turned by 0, 90, 180 and 270 degrees: four classes (Santoro et al.
    2016, https://arxiv.org/abs/1605.06065).

    Args:
      table: with square images in the source "image", without class descriptions.

    Returns:
      The table with classes NAME, NAME/90, NAME/180 and NAME/270.

    Raises:
      ValueError: if the table holds anything else, which a turn would not fit.
    """
    return _with_changed(
        table, {f"/{90 * turns}": partial(np.rot90, k=turns, axes=(1, 2)) for turns in (1, 2, 3)}
    )


def with_reflections(table: Table) -> Table:
    """Each class twice, as it is and mirrored, left for right: two classes.

    Args:
      table: with images in the source "image", without class descriptions.

    Returns:
      The table with classes NAME and NAME/mirrored.

    Raises:
      ValueError: if the table holds anything else, which a mirror would not fit.
    """
    return _with_changed(table, {"/mirrored": partial(np.flip, axis=2)})


def _with_changed(table: Table, changes: Mapping[str, Callable[[np.ndarray], np.ndarray]]) -> Table:
    """The classes of a table, and for each change NAME + its suffix, all images changed."""
    held = sorted({*modalities(table), *table.side})
    if held != ["image"]:
        raise ValueError(f"images alone can be turned, and the data has {', '.join(held)}")
    source, count = table.sources["image"], len(table.classes)
    images = [source.values["image"]]
    images += [change(images[0]) for change in changes.values()]
    labels = [source.labels + i * count for i in range(len(images))]
    group = np.tile(source.group, len(images))
    names = tuple(name + suffix for suffix in ("", *changes) for name in table.classes)
    changed = rows({"image": np.concatenate(images)}, np.concatenate(labels), group)
    return Table(names, {"image": changed}, {})


def _pictures(folder: Path, part: str) -> Iterator[tuple[str, str, bytes]]:
    """Class, file name without its ending, and bytes of each picture of a part."""
    if (folder / part).is_dir():
        for file in sorted((folder / part).glob("*/*/*.png")):
            yield f"{file.parts[-3]}/{file.parts[-2]}", file.stem, file.read_bytes()
        return
    found = [
        path for name in (part, f"omniglot_{part}") if (path := folder / f"{name}.zip").is_file()
    ]
    if not found:
        raise FileNotFoundError(
            f"{folder} has neither a folder {part} nor {part}.zip; get them from "
            "https://github.com/brendenlake/omniglot/tree/master/python"
        )
    try:
        with zipfile.ZipFile(found[0]) as archive:
            for name in archive.namelist():
                if name.endswith(".png") and "__MACOSX" not in name:
                    *_, alphabet, character, file = name.removesuffix(".png").split("/")
                    yield f"{alphabet}/{character}", file, archive.read(name)
    except (zipfile.BadZipFile, zlib.error, EOFError) as error:
        raise ValueError(f"{found[0]} is damaged ({error}); copy it again") from error


def _prepared(folder: Path) -> Iterator[tuple[str, str, bytes]]:
    """The same of a data set that tensorflow-datasets prepared, rows numbered as they come."""
    features, examples = open_tfds(folder, ("train", "test"), encoded=("image",))
    if lacking := {"image", "alphabet", "alphabet_char_id"} - set(features):
        raise ValueError(
            f"{folder} is not Omniglot: it has no feature {', '.join(sorted(lacking))}; "
            "read other data sets by data.name=tfds"
        )
    drawn: Counter[str] = Counter()
    for example in examples:
        alphabet = features["alphabet"].int2str(example["alphabet"])
        name = f"{alphabet}/character{example['alphabet_char_id'] + 1:02}"
        drawn[name] += 1
        yield name, f"row_{drawn[name]:02}", example["image"]


def _shrunk(data: bytes, name: str, size: int) -> np.ndarray:
    try:
        with Image.open(io.BytesIO(data)) as image:
            small = image.convert("L").resize((size, size), Image.Resampling.BOX)
    except Exception as error:  # damaged bytes make decoders raise almost anything
        raise ValueError(f"the picture {name} cannot be read ({error}); copy it again") from error
    return 255 - np.asarray(small)[..., None]
