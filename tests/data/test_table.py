"""Tables on the host: rows, classes and modalities that are taken from them."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fsjax.data.table import (
    Table,
    modalities,
    rows,
    scales,
    standardise,
    take_classes,
    take_modalities,
)

CLASSES = ("ant", "bee", "cow", "doe")


def small_table() -> Table:
    """Rows whose value tells their class: 10 * label + a counter."""
    labels = np.array([2, 0, 1, 2, 3, 0, 2])
    image = {"image": 10 * labels + np.arange(7), "depth": -labels}
    sound = {"sound": np.array([[30.0], [0.0], [20.0], [10.0]])}
    side = {"word": np.arange(4)[:, None], "image": np.arange(4)}
    return Table(
        CLASSES,
        {"seen": rows(image, labels, labels % 2), "heard": rows(sound, np.array([3, 0, 2, 1]))},
        side,
    )


def test_rows_are_all_present_and_each_is_its_own_group_unless_told():
    made = rows({"x": np.zeros((3, 2))}, [0, 1, 1])
    np.testing.assert_array_equal(made.present["x"], np.ones(3, np.float32))
    np.testing.assert_array_equal(made.group, [0, 1, 2])
    assert made.labels.dtype == made.group.dtype == np.int32
    np.testing.assert_array_equal(rows({}, [0, 1], [5, 5]).group, [5, 5])


def test_modalities_are_those_of_every_source():
    assert sorted(modalities(small_table())) == ["depth", "image", "sound"]


@settings(max_examples=30, deadline=None)
@given(st.lists(st.sampled_from(CLASSES), unique=True, min_size=1))
def test_rows_follow_their_class_whatever_the_order(names):
    table = small_table()
    taken = take_classes(table, tuple(names))
    assert taken.classes == tuple(names)
    for source, part in taken.sources.items():
        whole = table.sources[source]
        for label, name in enumerate(names):
            old = whole.labels == CLASSES.index(name)
            for modality, x in part.values.items():
                np.testing.assert_array_equal(x[part.labels == label], whole.values[modality][old])
                assert len(part.present[modality]) == len(x)
            np.testing.assert_array_equal(part.group[part.labels == label], whole.group[old])
        assert set(part.labels) == set(range(len(names)))
    np.testing.assert_array_equal(taken.side["image"], [CLASSES.index(name) for name in names])


def test_a_class_that_is_not_there_is_named():
    with pytest.raises(ValueError, match="no such class in the data: yak"):
        take_classes(small_table(), ("ant", "yak"))


def test_taking_a_modality_drops_the_others_and_sources_left_empty():
    taken = take_modalities(small_table(), ("image",))
    assert list(taken.sources) == ["seen"] and list(taken.side) == ["image"]
    seen = taken.sources["seen"]
    assert list(seen.values) == list(seen.present) == ["image"]
    np.testing.assert_array_equal(seen.labels, small_table().sources["seen"].labels)


def test_a_modality_that_is_not_there_is_named_with_those_that_are():
    with pytest.raises(ValueError, match=r"no modality smell; it has .*image.*sound"):
        take_modalities(small_table(), ("image", "smell"))


def test_descriptions_are_kept_where_they_are_named_and_one_that_nothing_has_is_refused():
    table = small_table()._replace(side={"words": np.zeros((2, 3)), "taste": np.ones((2, 1))})
    assert not take_modalities(table, ("image",)).side
    kept = take_modalities(table, ("image",), ("taste",)).side
    np.testing.assert_array_equal(kept["taste"], np.ones((2, 1)))
    with pytest.raises(ValueError, match="no class description is called smell; there is words"):
        take_modalities(table, ("image",), ("smell",))


def test_values_are_standardised_by_what_was_observed_in_training_alone():
    x = np.array([[1.0, 5], [3, 5], [1000, 5]])
    seen = rows({"x": x, "y": x}, [0, 0, 0])
    seen = seen._replace(present=seen.present | {"x": np.array([1, 1, 0], np.float32)})
    train, test = (Table(("a",), {"s": part}, {}) for part in (seen, rows({"x": x + 2}, [0, 0, 0])))
    by = scales(train, ("x",))
    found = {"train": standardise(train, by), "test": standardise(test, by)}
    values = {split: found[split].sources["s"].values["x"] for split in found}
    assert values["train"].dtype == values["test"].dtype == np.float32
    np.testing.assert_allclose(values["train"][:2], [[-1, 0], [1, 0]])
    np.testing.assert_allclose(values["test"][:2], [[1, 0], [3, 0]])
    np.testing.assert_array_equal(found["train"].sources["s"].values["y"], x)


def test_statistics_of_many_rows_and_of_large_numbers_are_not_rounded_away():
    drawn = np.random.default_rng(0).normal(size=(200_000, 2))
    x = np.float32(1000 + drawn) * np.float32([1, 1e15])
    x = np.concatenate([x, np.full((len(x), 1), 0.1, np.float32)], axis=1)
    train = Table(("a",), {"s": rows({"x": x}, np.zeros(len(x)))}, {})
    found = standardise(train, scales(train, ("x",))).sources["s"].values["x"]
    np.testing.assert_allclose(found.mean(0, dtype=float), 0, atol=1e-4)
    np.testing.assert_allclose(found.std(0, dtype=float), [1, 1, 0], atol=1e-4)


def test_what_no_training_row_has_cannot_be_standardised():
    seen = rows({"x": np.ones((2, 3))}, [0, 0])
    seen = seen._replace(present={"x": np.zeros(2, np.float32)})
    with pytest.raises(ValueError, match="no training row has 'x'"):
        scales(Table(("a",), {"s": seen}, {}), ("x",))
