"""Dictionaries of arrays that numpy pickled: what is read, and what is refused."""

import pickle
import pickletools

import numpy as np
import pytest

from fsjax.pretrained.npy import read_npy

RNG = np.random.default_rng(0)
WEIGHTS = {
    "conv1": {"weights": RNG.normal(size=(3, 1, 2)).astype(np.float32), "count": np.arange(4)},
    "norm": {"mean": np.asfortranarray(RNG.normal(size=(2, 3))), "none": np.zeros((0, 2))},
    "scale": np.array(7, np.int16),
}


def saved(path, pickled):
    """A file as numpy.save makes it, with any pickle in it."""
    with path.open("wb") as file:
        header = {"descr": "|O", "fortran_order": False, "shape": ()}
        np.lib.format.write_array_header_1_0(file, header)
        file.write(pickled)
    return path


def by_python_2(data):
    """The same pickle with bytes as Python 2 wrote them, as texts."""
    found = bytearray(data)
    for code, _, place in pickletools.genops(data):
        found[place] = {b"C": b"U", b"B": b"T"}.get(code.code.encode("latin1"), data[place:])[0]
    return bytes(found)


def test_arrays_are_read_by_name_as_numpy_reads_them(tmp_path):
    path = tmp_path / "a.npy"
    np.save(path, WEIGHTS, allow_pickle=True)
    older = by_python_2(pickle.dumps(np.array(WEIGHTS), 3))
    assert older != pickle.dumps(np.array(WEIGHTS), 3)
    for file in (path, saved(tmp_path / "b.npy", older)):
        found = read_npy(file)
        names = ["conv1/weights", "conv1/count", "norm/mean", "norm/none", "scale"]
        assert list(found) == names
        for name, x in found.items():
            expected = WEIGHTS
            for key in name.split("/"):
                expected = expected[key]
            assert x.dtype == expected.dtype
            np.testing.assert_array_equal(x, expected)


class Malice:
    """What a pickle can do: call anything."""

    def __init__(self, *call):
        self.call = call

    def __reduce__(self):
        return self.call[0], self.call[1:]


def test_a_malicious_pickle_runs_nothing(tmp_path):
    trace = tmp_path / "trace"
    opened = Malice(open, str(trace), "w")
    array = np.array({"w": opened}, object)
    through = f"cnumpy.core.multiarray\n_reconstruct.__globals__\n(S'{trace}'\nS'w'\ntR."
    state = "cnumpy.core.multiarray\n_reconstruct\n(N}S'__call__'\nc__builtin__\nopen\nstb."
    pickles = [pickle.dumps(array, 3), pickle.dumps({"w": opened}), through.encode()]
    pickles += [state.encode(), pickle.dumps(Malice(eval, f"open({str(trace)!r}, 'w')"))]
    for number, made in enumerate(pickles):
        with pytest.raises(ValueError, match="cannot be read as the weights"):
            read_npy(saved(tmp_path / f"{number}.npy", made))
        assert not trace.exists()
    # The same file does run where it may: the test can fail.
    np.load(tmp_path / "0.npy", allow_pickle=True).item()["w"].close()
    assert trace.exists()


def pickled_array(content, kind="f4", shape=(2,)):
    """A dictionary of an array that says of itself what it likes, as numpy would believe it."""

    class Array:
        def __reduce__(self):
            from numpy._core.multiarray import _reconstruct

            return (
                _reconstruct,
                (np.ndarray, (0,), b"b"),
                (1, shape, np.dtype(kind), False, content),
            )

    return pickle.dumps(np.array({"w": Array()}), 3)


@pytest.mark.parametrize(
    ("made", "message"),
    [
        (lambda: pickled_array(b"\0" * 8, "O"), "type O8 holds no numbers"),
        (lambda: pickled_array(b"\0" * 7), "buffer size"),
        (lambda: pickled_array(b"\0" * 8, shape=(3,)), "cannot reshape"),
        (lambda: pickle.dumps(np.array([1, "a"], object), 3), "too many values"),
        (lambda: pickle.dumps(np.zeros(3), 3), "not a dictionary of arrays"),
        (lambda: pickle.dumps(np.array({"w": 3}, object), 3), "something else than arrays by name"),
        (lambda: b"", "cannot be read"),
    ],
)
def test_what_is_no_dictionary_of_arrays_is_refused(tmp_path, made, message):
    with pytest.raises(ValueError, match=message):
        read_npy(saved(tmp_path / "a.npy", made()))


def test_a_file_of_another_kind_is_refused_and_one_that_is_absent_named(tmp_path):
    path = tmp_path / "a.npy"
    path.write_bytes(b"none")
    with pytest.raises(ValueError, match=r"a\.npy cannot be read as the weights"):
        read_npy(path)
    with pytest.raises(FileNotFoundError, match=r"none\.npy"):
        read_npy(tmp_path / "none.npy")
