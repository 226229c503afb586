"""Omniglot's reader on small drawings laid out as the published ones, and on those themselves."""

import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fsjax.data.omniglot import (
    PARTS,
    read_omniglot,
    split_by_alphabet,
    with_reflections,
    with_rotations,
)
from fsjax.data.splits import read_splits
from fsjax.data.table import take_classes

DATA = Path(os.environ.get("FSJAX_DATA", Path(__file__).parents[3] / "shared" / "data"))
ALPHABETS = {"images_background": "Greek", "images_evaluation": "Tibetan"}
RNG = np.random.default_rng(0)
INK = {  # class -> drawings, a pixel of which covers 5 x 5 of the file
    f"{alphabet}/character0{number}": RNG.integers(0, 2, size=(3, 6, 6))
    for alphabet in ALPHABETS.values()
    for number in (1, 2)
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    root = tmp_path_factory.mktemp("omniglot")
    for part, alphabet in ALPHABETS.items():
        for name in (name for name in INK if name.startswith(alphabet)):
            (root / part / name).mkdir(parents=True)
            for drawer, ink in enumerate(INK[name], 1):
                pixels = 255 * (1 - np.kron(ink, np.ones((5, 5)))).astype(np.uint8)
                Image.fromarray(pixels).convert("1").save(
                    root / part / name / f"07_{drawer:02}.png"
                )
    return root


@pytest.fixture(scope="module")
def zipped(folder, tmp_path_factory):
    root = tmp_path_factory.mktemp("zips")
    for part, prefix in zip(PARTS, ("", "omniglot_"), strict=True):
        shutil.make_archive(str(root / f"{prefix}{part}"), "zip", folder, part)
    return root


def test_drawings_are_reduced_with_ink_bright_and_know_their_drawer(folder):
    classes, sources, side = read_omniglot(folder, size=6)
    assert classes == tuple(sorted(INK)) and not side
    values, present, labels, group = sources["image"]
    expected = np.concatenate([255 * INK[name] for name in classes])[..., None]
    np.testing.assert_array_equal(values["image"], expected)
    assert values["image"].dtype == np.uint8 and present["image"].all()
    assert labels.tolist() == np.repeat(range(4), 3).tolist() and group.tolist() == [1, 2, 3] * 4


def test_zips_hold_the_same_as_folders(folder, zipped):
    one, other = (read_omniglot(root, size=4) for root in (folder, zipped))
    assert one.classes == other.classes
    for a, b in zip(one.sources["image"][2:], other.sources["image"][2:], strict=True):
        np.testing.assert_array_equal(a, b)
    np.testing.assert_array_equal(*(t.sources["image"].values["image"] for t in (one, other)))


def test_rotations_are_classes_of_their_own(folder):
    table = read_omniglot(folder, size=6)
    turned = with_rotations(table)
    assert len(set(turned.classes)) == 16
    for quarter, suffix in enumerate(("", "/90", "/180", "/270")):
        names = tuple(name + suffix for name in table.classes)
        part = take_classes(turned, names).sources["image"]
        upright = table.sources["image"]
        expected = [np.rot90(image, quarter) for image in upright.values["image"]]
        np.testing.assert_array_equal(part.values["image"], expected)
        np.testing.assert_array_equal(part.labels, upright.labels)
        np.testing.assert_array_equal(part.group, upright.group)


def test_mirrored_classes_are_classes_of_their_own(folder):
    table = read_omniglot(folder, size=6)
    mirrored = with_reflections(table)
    assert mirrored.classes == (*table.classes, *(name + "/mirrored" for name in table.classes))
    part = take_classes(mirrored, mirrored.classes[4:]).sources["image"]
    upright = table.sources["image"]
    np.testing.assert_array_equal(part.values["image"], upright.values["image"][:, :, ::-1])
    np.testing.assert_array_equal(part.labels, upright.labels)


@pytest.mark.parametrize("change", [with_rotations, with_reflections])
def test_changes_of_anything_but_images_are_refused(folder, change):
    table = read_omniglot(folder, size=6)
    with pytest.raises(ValueError, match="the data has image, words"):
        change(table._replace(side={"words": np.zeros((4, 2))}))


def test_the_split_by_alphabet_tests_on_the_evaluation_alphabets(folder):
    splits = split_by_alphabet(("Greek/character01", "Cyrillic/character02", "Tibetan/character01"))
    assert splits == {
        "train": ("Greek/character01",),
        "validation": ("Cyrillic/character02",),
        "test": ("Tibetan/character01",),
    }


def test_a_part_that_lacks_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="images_background"):
        read_omniglot(tmp_path)


def test_damage_is_named(folder, zipped, tmp_path):
    copy = shutil.copytree(zipped, tmp_path / "zips")
    path = copy / "omniglot_images_evaluation.zip"
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(ValueError, match=r"omniglot_images_evaluation\.zip is damaged"):
        read_omniglot(copy)
    copy = shutil.copytree(folder, tmp_path / "folders")
    (copy / "images_background/Greek/character02/07_02.png").write_bytes(b"no picture")
    with pytest.raises(ValueError, match="Greek/character02/07_02"):
        read_omniglot(copy)


def test_a_size_without_pixels_is_refused(folder):
    with pytest.raises(ValueError, match="at least 1 pixel"):
        read_omniglot(folder, size=0)


@pytest.mark.skipif(
    not (DATA / "omniglot_vinyals_split.json").exists(), reason=f"Omniglot is not in {DATA}"
)
def test_the_published_set_has_1623_classes_of_20_that_the_splits_of_the_papers_share_out():
    table = read_omniglot(DATA)
    assert len(table.classes) == 1623
    assert (np.bincount(table.sources["image"].labels) == 20).all()
    vinyals = read_splits(DATA / "omniglot_vinyals_split.json")
    assert {split: len(names) for split, names in vinyals.items()} == {
        "train": 1028,
        "validation": 172,
        "test": 423,
    }
    assert {name for names in vinyals.values() for name in names} == set(table.classes)
    assert len(split_by_alphabet(table.classes)["test"]) == 659
