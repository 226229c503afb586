"""Pools: rows listed by class, and errors before any work is lost."""

from itertools import chain, combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fsjax.data.pool import _can_separate, check_episodes, check_seen, make_pool
from fsjax.data.table import Table, rows

LABELS = np.array([2, 0, 2, 1, 2, 0, 2])


def table_of(values, labels=LABELS, group=None, side=None) -> Table:
    names = tuple("abcdefgh"[: max(labels) + 1])
    return Table(names, {"scan": rows({"x": np.asarray(values)}, labels, group)}, side or {})


def one_class(*groups: int) -> Table:
    return table_of(np.zeros(len(groups)), np.zeros(len(groups), int), groups)


@settings(max_examples=10, deadline=None)
@given(st.lists(st.integers(0, 3), max_size=12))
def test_the_index_lists_the_rows_of_each_class_and_then_repeats_the_first(labels):
    labels = np.array([*labels, 0, 1, 2, 3])
    source = make_pool(table_of(np.arange(len(labels)), labels)).sources["scan"]
    assert source.index.shape == (4, np.bincount(labels).max())
    for label, (index, count) in enumerate(zip(source.index, source.count, strict=True)):
        own = np.flatnonzero(labels == label)
        np.testing.assert_array_equal(index[:count], own)
        np.testing.assert_array_equal(index[count:], own[0])


def test_values_groups_and_side_information_arrive_unchanged():
    side = {"word": np.arange(6).reshape(3, 2)}
    pool = make_pool(table_of(np.arange(7, dtype=np.uint8), group=np.arange(7) % 3, side=side))
    source = pool.sources["scan"]
    np.testing.assert_array_equal(source.inputs.values["x"], np.arange(7))
    assert source.inputs.values["x"].dtype == np.uint8
    np.testing.assert_array_equal(source.group, np.arange(7) % 3)
    np.testing.assert_array_equal(pool.side.values["word"], side["word"])
    np.testing.assert_array_equal(pool.side.present["word"], np.ones(3))


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_value_that_is_not_finite_is_named_by_modality_row_and_class(bad):
    values = np.zeros((7, 2, 2))
    values[3, 1, 0] = values[5] = bad
    message = r"2 rows of modality 'x' \(source 'scan'\).*first is row 3 \(class 'b'\)"
    with pytest.raises(ValueError, match=message):
        make_pool(table_of(values))


def beside(values, present):
    """A table of rows whose values may be missing, beside a number that all of them have."""
    both = rows({"x": values, "y": np.zeros(7)}, LABELS)
    return Table(tuple("abc"), {"scan": both._replace(present={**both.present, "x": present})}, {})


@pytest.mark.parametrize(
    ("values", "held"),
    [(np.arange(7) * 2**40, "int32"), (np.arange(7) * 1e39, "float32"), (-np.arange(7.0), None)],
)
def test_numbers_that_a_device_cannot_hold_are_named(values, held):
    if held is None:
        make_pool(beside(values, np.ones(7)))
        return
    with pytest.raises(ValueError, match=f"beyond {held}, the first is row 1"):
        make_pool(beside(values, np.ones(7)))


def test_nan_in_an_absent_value_is_allowed():
    present = (np.arange(7) != 3) * 1.0
    pool = make_pool(beside(np.where(np.arange(7) == 3, np.nan, 0.0), present))
    np.testing.assert_array_equal(pool.sources["scan"].inputs.present["x"], present)


def test_a_row_without_any_modality_is_named():
    table = beside(np.zeros(7), np.ones(7))
    table.sources["scan"].present["x"][[3, 5]] = 0.0
    make_pool(table)
    table.sources["scan"].present["y"][[3, 4]] = 0.0
    with pytest.raises(ValueError, match=r"1 rows of source 'scan'.* x, y, .*row 3 \(class 'b'\)"):
        make_pool(table)
    table.sources["scan"].present["x"][[4]] = 0.0
    with pytest.raises(ValueError, match=r"2 rows of source 'scan' have none of the modalities"):
        make_pool(table)


def test_a_class_description_that_is_not_finite_is_named():
    table = table_of(np.zeros(7))
    side = {"words": np.array([[0.0], [np.inf], [1.0]])}
    with pytest.raises(ValueError, match="description 'words' of class 'b' holds NaN"):
        make_pool(table._replace(side=side))


@pytest.mark.parametrize("labels", [[0, 2, 2], []])
def test_a_class_without_rows_is_named(labels):
    source = rows({"x": np.zeros((len(labels), 2))}, np.array(labels, int))
    table = Table(("a", "b", "c"), {"scan": source}, {})
    empty = "b" if labels else "a"
    with pytest.raises(ValueError, match=f"source 'scan' has no row of class '{empty}'"):
        make_pool(table)


@pytest.mark.parametrize(
    ("table", "message"),
    [
        (table_of(np.zeros((1, 2))), "'x' of source 'scan' has 1 rows, and there are 7 labels"),
        (table_of(np.zeros(7), group=np.arange(3)), "'group' of source 'scan' has 3 rows"),
        (
            table_of(np.zeros(7))._replace(classes=("a", "b")),
            "row 0 of source 'scan' is labelled 2, and labels of 2 classes are 0 to 1",
        ),
        (table_of(np.zeros(7), side={"words": np.zeros(2)}), "2 descriptions 'words' .* 3 classes"),
        (
            Table(tuple("abc"), dict.fromkeys("ab", rows({"x": LABELS}, LABELS)), {}),
            "two sources have the modality 'x'",
        ),
    ],
)
def test_arrays_that_are_not_of_the_same_rows_are_named(table, message):
    with pytest.raises(ValueError, match=message):
        make_pool(table)


def test_too_few_classes_are_refused():
    with pytest.raises(ValueError, match="4 ways asked of a split with 3 classes; ask for fewer"):
        check_episodes(table_of(np.zeros(7)), ways=4, shots=1, queries=0, apart=False)


def test_too_few_rows_name_class_and_source():
    with pytest.raises(ValueError, match="class 'b' has 1 rows in source 'scan', too few for 1"):
        check_episodes(table_of(np.zeros(7)), ways=2, shots=1, queries=1, apart=False)


def test_groups_that_cannot_be_separated_name_class_source_and_sizes():
    table = one_class(0, 1, 1, 1, 1)
    message = r"class 'a' cannot be split into 2 shots and 2 queries .*'scan'.*\[1, 4\] rows"
    with pytest.raises(ValueError, match=message):
        check_episodes(table, ways=1, shots=2, queries=2, apart=True)
    check_episodes(table, ways=1, shots=2, queries=2, apart=False)
    check_episodes(table, ways=1, shots=1, queries=4, apart=True)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.integers(0, 5), max_size=9), st.integers(0, 5), st.integers(0, 5))
def test_separable_is_what_trying_every_subset_of_groups_finds(groups, shots, queries):
    groups = np.array(groups, int)
    names = set(groups.tolist())
    subsets = chain.from_iterable(combinations(names, n) for n in range(len(names) + 1))
    sizes = [np.isin(groups, subset).sum() for subset in subsets]
    possible = any(size >= shots and len(groups) - size >= queries for size in sizes)
    assert _can_separate(groups, shots, queries) == possible


def test_a_class_that_is_never_seen_through_some_modalities_is_named():
    table = table_of(np.zeros(7))
    scan = table.sources["scan"]
    both = scan._replace(present={"x": (LABELS == 0) * 1.0, "y": (LABELS == 2) * 1.0})
    table.sources["scan"] = both
    with pytest.raises(ValueError, match="class 'b' has no row with x or y"):
        check_seen(table, ("x", "y"))
    with pytest.raises(ValueError, match="class 'a' has no row with y"):
        check_seen(table, ("y",))

    table.sources["scan"] = both._replace(present={"x": both.present["x"], "y": LABELS > 0})
    check_seen(table, ("x", "y"))
