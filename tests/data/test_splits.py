"""Class-disjoint splits that never change."""

import json
from collections import Counter
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fsjax.data.splits import (
    FRACTIONS,
    check_splits,
    read_splits,
    split_by_digest,
    split_by_rank,
)

NAMES = st.lists(st.text(max_size=5), unique=True, max_size=30)


@settings(max_examples=30, deadline=None)
@given(NAMES)
def test_every_class_stands_in_exactly_one_split_in_the_order_given(names):
    splits = split_by_digest(names)
    assert list(splits) == ["train", "validation", "test"]
    assert Counter(name for part in splits.values() for name in part) == Counter(names)
    for part in splits.values():
        assert list(part) == [name for name in names if name in part]


@settings(max_examples=30, deadline=None)
@given(NAMES, NAMES)
def test_new_classes_never_move_an_old_one(names, others):
    before = split_by_digest(names)
    after = split_by_digest(list(dict.fromkeys([*others, *names])))
    assert all(set(before[split]) <= set(after[split]) for split in before)


def test_the_shares_are_met_within_four_standard_errors():
    splits = split_by_digest([f"class {i}" for i in range(4000)])
    for split, share in FRACTIONS.items():
        tolerance = 4 * np.sqrt(share * (1 - share) / 4000)
        assert abs(len(splits[split]) / 4000 - share) < tolerance


@settings(max_examples=30, deadline=None)
@given(NAMES)
def test_shares_by_rank_are_exact_and_in_the_order_of_the_digest(names):
    shares = {"train": 0.5, "validation": 0.25, "test": 0.25}
    splits = split_by_rank(names, shares)
    assert Counter(name for part in splits.values() for name in part) == Counter(names)
    for split, share in shares.items():
        assert abs(len(splits[split]) - share * len(names)) <= 1
    # A class of an early split by digest is in no later one by rank than a class after it.
    digest, order = split_by_digest(names, shares), list(shares)
    rank = {name: order.index(split) for split in order for name in splits[split]}
    for early, late in pairwise(order):
        assert all(rank[a] <= rank[b] for a in digest[early] for b in digest[late])


def test_other_shares_and_names_of_splits_are_possible():
    splits = split_by_digest(["a", "b", "c"], {"all": 1.0, "none": 0.0})
    assert splits == {"all": ("a", "b", "c"), "none": ()}


def test_shares_that_do_not_add_up_are_refused():
    with pytest.raises(ValueError, match="add up to 1"):
        split_by_digest(["a"], {"train": 0.5, "test": 0.4})


def test_a_class_given_twice_is_named():
    with pytest.raises(ValueError, match="class 'b' stands twice in split"):
        split_by_digest(["a", "b", "b"], {"train": 1.0})


def test_an_overlap_of_two_splits_names_both_and_a_class():
    with pytest.raises(ValueError, match=r"'train' and 'test' share 1 classes, 'b'"):
        check_splits({"train": ("a", "b"), "validation": ("c",), "test": ("b", "d")})


def test_splits_are_read_from_lists_of_names(tmp_path):
    path = tmp_path / "splits.json"
    path.write_text(json.dumps({"train": ["b", "a"], "val": ["c"], "test": ["d"]}))
    assert read_splits(path) == {"train": ("b", "a"), "validation": ("c",), "test": ("d",)}


@pytest.mark.parametrize(
    "text, message",
    [
        ("{", "does not hold lists"),
        ("[1]", "does not hold lists"),
        ('{"train": 1}', "does not hold lists"),
        ('{"train": "a", "val": ["b"], "test": ["c"]}', "'a' is no list of names in quotes"),
        ('{"train": [1, 2], "val": [3], "test": [4]}', "1, 2. is no list of names in quotes"),
        ('{"train": ["a"], "test": ["b"]}', "expected train, validation, test"),
        ('{"train": ["a"], "val": ["b"], "test": ["a"]}', "share 1 classes, 'a'"),
        ('{"train": [], "val": ["b"], "validation": [], "test": []}', "both val and validation"),
    ],
)
def test_a_file_that_is_no_list_of_splits_is_refused(tmp_path, text, message):
    path = tmp_path / "splits.json"
    path.write_text(text)
    with pytest.raises(ValueError, match=message):
        read_splits(path)
