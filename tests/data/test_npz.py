"""An npz is read as it is, and a faulty one is named."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fsjax.data.npz import read_npz
from fsjax.data.table import Table


@pytest.fixture
def arrays() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    return {
        "pixels": rng.integers(0, 256, (6, 4, 4, 3), np.uint8),
        "leaf": rng.standard_normal((6, 5)).astype(np.float32),
        "cls": np.array([1, 0, 2, 1, 0, 2], np.int16),
        "names": np.array(["oak", "elm", "ash"]),
        "who": np.array(["b", "a", "b", "a", "b", "c"]),
    }


def read_arrays(path: Path, arrays: dict[str, np.ndarray], **options) -> Table:
    np.savez_compressed(path / "d.npz", **arrays)
    modalities = {"image": "pixels", "tabular": "leaf"}
    return read_npz(path / "d.npz", modalities=modalities, **options)


def test_read_npz_pairs_rows(tmp_path, arrays):
    table = read_arrays(tmp_path, arrays, group="who")
    assert table.classes == ("oak", "elm", "ash") and list(table.sources) == ["rows"]
    rows = table.sources["rows"]
    np.testing.assert_array_equal(rows.values["image"], arrays["pixels"])
    np.testing.assert_array_equal(rows.values["tabular"], arrays["leaf"])
    np.testing.assert_array_equal(rows.labels, arrays["cls"])
    assert rows.group.tolist() == [1, 0, 1, 0, 1, 2]
    assert read_arrays(tmp_path, arrays).sources["rows"].group.tolist() == [*range(6)]


def test_a_number_a_row_is_a_table_of_one_column(tmp_path, arrays):
    arrays["leaf"] = arrays["leaf"][:, 0]
    found = read_arrays(tmp_path, arrays).sources["rows"].values["tabular"]
    np.testing.assert_array_equal(found, arrays["leaf"][:, None])


@pytest.mark.parametrize("dtype", [str, "S3"])
def test_labels_may_be_strings(tmp_path, arrays, dtype):
    arrays["cls"] = arrays["names"][arrays["cls"]].astype(dtype)
    table = read_arrays(tmp_path, arrays)
    assert table.classes == ("oak", "elm", "ash")
    assert table.sources["rows"].labels.tolist() == [1, 0, 2, 1, 0, 2]
    del arrays["names"]
    table = read_arrays(tmp_path, arrays)
    assert table.classes == ("ash", "elm", "oak")
    assert table.sources["rows"].labels.tolist() == [1, 2, 0, 1, 2, 0]


def test_labels_without_names_may_be_any_integers(tmp_path, arrays):
    del arrays["names"]
    table = read_arrays(tmp_path, {**arrays, "cls": np.array([40, -7, 5, 40, -7, 5])})
    assert table.classes == ("-7", "5", "40")
    assert table.sources["rows"].labels.tolist() == [2, 0, 1, 2, 0, 1]


FAULTS = {
    "missing": ({"leaf": None}, r"no array leaf; it has pixels, cls, names, who"),
    "short": ({"leaf": np.zeros((5, 5))}, r"leaf has shape \(5, 5\), yet there are 6 labels"),
    "scalar": ({"leaf": np.float32(1)}, r"leaf has shape \(\)"),
    "nan": (
        {"leaf": np.array([0, 0, 0, np.nan, 0, np.inf])},
        r"leaf has NaN or Inf in 2 of 6 rows",
    ),
    "where": ({"leaf": np.array([0, 0, 0, np.nan, 0, np.inf])}, r"first in row 3; remove"),
    "text": ({"leaf": np.array(list("abcdef"))}, r"leaf has type <U1, not numbers; .*encode_texts"),
    "pickle": ({"leaf": np.array([None] * 6)}, r"array leaf, cannot be read .*np\.savez"),
    "high": ({"cls": np.array([0, 1, 3, 0, 3, 1])}, r"cls is 3 in row 2, .* 3 class names.*0 to 2"),
    "low": ({"cls": np.array([0, 1, 0, 0, -1, 1])}, r"cls is -1 in row 4"),
    "stranger": ({"cls": np.array(["oak", "fir"] * 3)}, r"cls is fir in row 1"),
    "twice": ({"names": np.array(["oak", "elm", "oak"])}, r"class name oak occurs twice"),
    "float": ({"cls": np.zeros(6)}, r"cls has shape \(6,\) and type float64"),
    "one-hot": ({"cls": np.eye(6, dtype=int)}, r"cls has shape \(6, 6\)"),
    "none": ({"cls": np.zeros(0, int)}, r"cls has shape \(0,\)"),
    "group": ({"who": np.arange(4)}, r"who has shape \(4,\), yet there are 6 labels"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_faulty_array_is_named(tmp_path, arrays, fault):
    change, message = FAULTS[fault]
    arrays = {key: x for key, x in {**arrays, **change}.items() if x is not None}
    with pytest.raises(ValueError, match=message) as caught:
        read_arrays(tmp_path, arrays, group="who")
    assert "d.npz" in str(caught.value)


def test_arrays_that_are_not_asked_for_are_not_read(tmp_path, arrays):
    read_arrays(tmp_path, {**arrays, "other": np.array([None])})


def test_a_missing_npz_or_one_of_another_format_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no\.npz is not a file"):
        read_npz(tmp_path / "no.npz", modalities={})
    np.save(tmp_path / "one.npy", np.zeros(3))
    with pytest.raises(ValueError, match=r"one\.npy cannot be read"):
        read_npz(tmp_path / "one.npy", modalities={})


@settings(deadline=None, max_examples=100)
@given(keep=st.floats(0, 1), flips=st.lists(st.integers(0, 10**6), max_size=3))
def test_a_damaged_npz_gives_a_value_error_or_the_arrays(tmp_path_factory, keep, flips):
    path = tmp_path_factory.getbasetemp() / "damaged.npz"
    leaf = np.arange(24.0).reshape(6, 4)
    np.savez_compressed(path, leaf=leaf, cls=np.arange(6) % 2)
    data = bytearray(path.read_bytes())
    data = data[: round(len(data) * keep)]
    for flip in flips if data else []:
        data[flip % len(data)] ^= 1 << flip % 8
    path.write_bytes(data)
    try:
        table = read_npz(path, modalities={"leaf": "leaf"})
    except ValueError as error:
        assert str(path) in str(error)
    else:
        np.testing.assert_array_equal(table.sources["rows"].values["leaf"], leaf)


def test_leaf64_is_read(needs):
    modalities = {name: name for name in ("margin", "shape", "texture")} | {"image": "images"}
    table = read_npz(needs("leaf64.npz"), modalities=modalities)
    assert len(table.classes) == 99 and table.classes[0] == "Acer Capillipes"
    rows = table.sources["rows"]
    assert rows.values["image"].shape == (990, 64, 64) and rows.values["shape"].shape == (990, 64)
    np.testing.assert_array_equal(np.bincount(rows.labels), 10)


def test_esc10_is_read_with_its_folds(needs):
    path = needs("esc10_logmel.npz")
    table = read_npz(path, modalities={"audio": "logmel"}, group="fold")
    assert len(table.classes) == 10
    np.testing.assert_array_equal(np.bincount(table.sources["rows"].group), 80)
