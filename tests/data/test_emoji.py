"""The embedded data set: whole, without leaks between classes, split for good."""

import hashlib

import numpy as np
import pytest

from fsjax.data import emoji as module
from fsjax.data.emoji import emoji
from fsjax.data.pool import check_episodes
from fsjax.data.splits import split_by_digest
from fsjax.data.table import take_classes

SIZES = {"train": 569, "validation": 153, "test": 187}
DIGESTS = {
    "train": "940438317a50d656",
    "validation": "a80e7fd8928d45fe",
    "test": "b62e49bcd7708d1e",
}


@pytest.fixture(scope="module")
def table():
    return emoji()


@pytest.fixture(scope="module")
def splits(table):
    return split_by_digest(table.classes)


def test_a_damaged_file_is_refused(monkeypatch):
    class Damaged:
        def joinpath(self, name):
            return self

        def read_bytes(self):
            return b"PK, but not the file released"

    monkeypatch.setattr(module.resources, "files", lambda package: Damaged())
    with pytest.raises(ValueError, match=r"emoji.npz is damaged .*install fsjax again"):
        emoji()


def test_an_unknown_language_is_named_with_those_known():
    with pytest.raises(ValueError, match=r"no names in \['xx'\]; the languages are \[.*'en'"):
        emoji(languages=("en", "xx"))


def test_the_sources_have_the_shapes_documented(table):
    image, text, audio = (table.sources[name] for name in ("image", "text", "audio"))
    classes, drawings = len(table.classes), len(image.labels)
    assert image.values["image"].shape == (drawings, 32, 32, 3)
    assert text.values["text"].shape == (classes * len(module.LANGUAGES), 40)
    assert audio.values["audio"].shape == (classes * 8, 48, 32)
    dtypes = [s.values[name].dtype for name, s in table.sources.items()]
    assert dtypes == [np.uint8, np.int32, np.uint8]


def test_909_classes_have_at_least_seven_drawings(table):
    assert len(table.classes) == len(set(table.classes)) == 909
    assert np.bincount(table.sources["image"].labels, minlength=909).min() >= 7


def test_fewer_classes_have_more_drawings(table):
    fuller = emoji(drawings=9)
    assert set(fuller.classes) < set(table.classes)
    assert np.bincount(fuller.sources["image"].labels).min() >= 9


def test_no_drawing_stands_in_two_classes(table):
    image = table.sources["image"]
    owner = {}
    for drawing, label in zip(image.values["image"], image.labels, strict=True):
        assert owner.setdefault(drawing.tobytes(), label) == label


def test_drawings_are_grouped_by_seven_teams(table):
    assert sorted(set(table.sources["image"].group.tolist())) == list(range(7))


@pytest.mark.parametrize(("source", "rows"), [("text", 10), ("audio", 8)])
def test_every_class_is_named_and_spoken_in_every_way(table, source, rows):
    part = table.sources[source]
    np.testing.assert_array_equal(part.labels, np.repeat(np.arange(909), rows))
    np.testing.assert_array_equal(part.group, np.tile(np.arange(rows), 909))


def test_the_english_names_read_back_are_the_classes(table):
    english = table.sources["text"].values["text"][:: len(module.LANGUAGES)]
    read = [bytes((row[row > 0] - 1).tolist()).decode(errors="ignore") for row in english]
    assert all(k.lower().startswith(v) for k, v in zip(table.classes, read, strict=True))


def test_languages_and_length_are_those_asked_for():
    text = emoji(languages=("de", "en"), length=12).sources["text"]
    assert text.values["text"].shape == (909 * 2, 12)


def test_every_class_of_every_split_allows_episodes_with_teams_apart(table, splits):
    for names in splits.values():
        check_episodes(take_classes(table, names), ways=20, shots=5, queries=2, apart=True)


def test_the_splits_never_change(splits):
    digests = {
        split: hashlib.sha256("\n".join(names).encode()).hexdigest()[:16]
        for split, names in splits.items()
    }
    assert {split: len(names) for split, names in splits.items()} == SIZES
    assert digests == DIGESTS
