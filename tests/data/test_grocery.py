"""Grocery Store: photos, descriptions, and what a faulty file is told."""

import io
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fsjax.data.grocery import read_grocery
from fsjax.data.splits import split_by_rank
from fsjax.pretrained.tokens import decode_texts

DATA = Path(os.environ.get("FSJAX_DATA", Path(__file__).parents[3] / "shared" / "data"))


def jpegs(colours):
    """Plain pictures as JPEG bytes end to end, and where each ends."""
    parts = []
    for colour in colours:
        file = io.BytesIO()
        Image.new("RGB", (12, 12), colour).save(file, "JPEG", quality=95)
        parts.append(file.getvalue())
    return np.frombuffer(b"".join(parts), np.uint8), np.cumsum([0, *map(len, parts)])


def arrays():
    colours = [(250, 0, 0), (0, 250, 0), (0, 0, 250), (250, 250, 0)]
    jpeg, offsets = jpegs(colours)
    iconic, ends = jpegs(colours[:2])
    return {
        "jpeg": jpeg,
        "offsets": offsets,
        "cls": np.array([0, 1, 1, 0], np.int16),
        "split": np.array([0, 2, 1, 2], np.int8),
        "names": np.array(["Sour-Lime", "Kiwi"]),
        "coarse": np.array(["Citrus", "Kiwi"]),
        "descriptions": np.array(["Crème of limes", "Green"]),
        "iconic_jpeg": iconic,
        "iconic_offsets": ends,
    }


def written(tmp_path, **changes):
    held = {key: x for key, x in (arrays() | changes).items() if x is not None}
    np.savez(tmp_path / "grocery.npz", **held)
    return tmp_path / "grocery.npz"


def test_photos_are_rows_and_what_a_shop_says_describes_classes(tmp_path):
    table = read_grocery(written(tmp_path), size=8, length=20)
    assert table.classes == ("Sour-Lime", "Kiwi")
    values, present, labels, group = table.sources["image"]
    assert values["image"].shape == (4, 8, 8, 3) and values["image"].dtype == np.uint8
    assert labels.tolist() == [0, 1, 1, 0] and group.tolist() == [0, 2, 1, 2]
    assert (values["image"][1].mean((0, 1)) > 128).tolist() == [False, True, False]
    assert present["image"].tolist() == [1, 1, 1, 1]
    assert decode_texts(table.side["description"]) == ["crème of limes", "green"]
    assert decode_texts(table.side["name"]) == ["sour lime", "kiwi"]
    assert decode_texts(table.side["coarse"]) == ["citrus", "kiwi"]
    assert table.side["icon"].shape == (2, 8, 8, 3) and table.side["icon"][0, 0, 0, 0] > 128


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"coarse": None}, "has no array coarse"),
        ({"cls": np.array([0, 2, 1, 0])}, "cls is 2 in row 1; expected a number from 0 to 1"),
        ({"cls": np.array([0, 1])}, r"cls has shape \(2,\)"),
        ({"split": np.array([0, 1, 3, 0])}, "split is 3 in row 2"),
        ({"split": np.array([0, 1, -1, 0])}, "split is -1 in row 2"),
        ({"descriptions": np.array(["one"])}, r"descriptions has shape \(1,\)"),
        ({"jpeg": arrays()["jpeg"][:-200]}, "picture 3 of jpeg cannot be read"),
        ({"iconic_jpeg": np.zeros(900, np.uint8)}, "picture 0 of iconic_jpeg cannot be read"),
        ({"names": np.array(["Lime", {}], object)}, "array names,.*pickles"),
    ],
)
def test_a_fault_names_its_place(tmp_path, changes, message):
    with pytest.raises(ValueError, match=message):
        read_grocery(written(tmp_path, **changes), size=8)


def test_a_file_that_is_absent_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="name an npz"):
        read_grocery(tmp_path / "none.npz")


def test_the_published_set_is_whole_and_has_20_classes_to_test():
    path = DATA / "grocery112.npz"
    if not path.is_file():
        pytest.skip(f"grocery112.npz is not in {DATA}; set FSJAX_DATA to the folder that holds it")
    table = read_grocery(path, size=4)
    rows = table.sources["image"]
    assert len(table.classes) == 81 and np.bincount(rows.group).tolist() == [2640, 296, 2485]
    assert rows.values["image"].std() > 40
    splits = split_by_rank(table.classes, {"train": 0.5, "validation": 0.25, "test": 0.25})
    assert [len(names) for names in splits.values()] == [40, 21, 20]
    described = decode_texts(table.side["description"])
    assert max(map(len, described)) > 500 and all(described)
