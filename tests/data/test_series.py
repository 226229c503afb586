"""Series in files: what is read of them, and what is refused."""

import numpy as np
import pytest

from fsjax.data.csv_table import read_csv
from fsjax.data.files import Sizes, read_folder
from fsjax.data.series import fit_series, read_series


def save(path, x):
    path.parent.mkdir(parents=True, exist_ok=True)
    np.save(path, x)
    return path


def path_of(steps, channels=2, start=0.0):
    return start + np.arange(steps * channels, dtype=float).reshape(steps, channels)


def test_a_series_is_cut_or_held_where_it_ends():
    x = path_of(3)
    np.testing.assert_array_equal(fit_series(x, 2), x[:2])
    np.testing.assert_array_equal(fit_series(x, 5), [*x, x[-1], x[-1]])


@pytest.mark.parametrize("dtype", [np.float64, np.float16, np.int64, np.uint8, bool])
def test_numbers_of_any_type_are_read_as_floats(tmp_path, dtype):
    x = (path_of(3) % 2).astype(dtype)
    found = read_series(save(tmp_path / "x.npy", x))
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, x)


@pytest.mark.parametrize(
    ("x", "message"),
    [
        (np.zeros(5), r"it holds \(5,\).*\[steps, channels\], one channel as x\[:, None\]"),
        (np.zeros((2, 3, 4)), r"it holds \(2, 3, 4\)"),
        (np.zeros((0, 2)), r"it holds \(0, 2\)"),
        (np.array([["a", "b"]]), "of type <U1"),
        (np.array([[1.0, np.nan]]), "NaN or beyond 1e"),
        (np.array([[1.0, -1e30]]), "NaN or beyond 1e"),
        (np.array([[1, None]], object), "allow_pickle"),
    ],
)
def test_what_is_no_series_is_told_with_its_file(tmp_path, x, message):
    path = save(tmp_path / "all" / "cat" / "x.npy", x)
    with pytest.raises(ValueError, match=message):
        read_series(path)
    with pytest.raises(ValueError, match=f"{path} cannot be read as series.*{message}"):
        read_folder(tmp_path / "all")


def test_a_folder_of_series_is_a_source_of_its_own(tmp_path):
    for start, name in enumerate(("cat", "dog")):
        save(tmp_path / name / "a.npy", path_of(2, start=start))
    table = read_folder(tmp_path, steps=4)
    assert list(table.sources) == ["series"]
    found = table.sources["series"].values["series"]
    np.testing.assert_array_equal(found[1], path_of(2, start=1)[[0, 1, 1, 1]])
    odd = save(tmp_path / "dog" / "b.npy", path_of(2, channels=3))
    with pytest.raises(ValueError, match=f"{odd}.*it has 3 channels, and others have 2"):
        read_folder(tmp_path, steps=4)


@pytest.mark.parametrize("stream", [False, True])
def test_a_column_of_series_may_lack_some(tmp_path, stream):
    save(tmp_path / "a.npy", path_of(3))
    path = tmp_path / "mine.csv"
    path.write_text("label,ecg,age\ncat,,3\ndog,a.npy,4\n")
    rows = read_csv(path, sizes=Sizes(steps=4), stream=stream).sources["rows"]
    assert rows.present["series"].tolist() == [0, 1]
    found = np.asarray(rows.values["series"])
    np.testing.assert_array_equal(found, [np.zeros((4, 2)), path_of(3)[[0, 1, 2, 2]]])


def test_a_row_of_another_number_of_channels_is_told_with_its_line(tmp_path):
    save(tmp_path / "a.npy", path_of(3))
    save(tmp_path / "b.npy", path_of(3, channels=1))
    path = tmp_path / "mine.csv"
    path.write_text("label,ecg\ncat,a.npy\ndog,b.npy\n")
    with pytest.raises(ValueError, match=r"line 3, column ecg.*has 1 channels, and others have 2"):
        read_csv(path)
