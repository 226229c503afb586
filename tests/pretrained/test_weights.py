"""Published weights: read without running what a file holds, and taken by name."""

import io
import json
import pickle
import struct
import zipfile
from collections import OrderedDict
from importlib.util import find_spec

import numpy as np
import pytest

from fsjax.pretrained.naming import named_params
from fsjax.pretrained.weights import read_safetensors, read_torch

needs_torch = pytest.mark.skipif(find_spec("torch") is None, reason="PyTorch is not installed")


class Malice:
    """A pickle of it calls a function when it is loaded."""

    def __init__(self, function, *arguments):
        self.called = function, arguments

    def __reduce__(self):
        return self.called


class Torch(pickle.Pickler):
    """Pickles (storage key, type, size) as torch.save refers to storages."""

    def persistent_id(self, value):
        return value if isinstance(value, tuple) and value[:1] == ("storage",) else None


def rebuilt(storage, offset, shape, strides):
    """Only its name is pickled."""


rebuilt.__module__, rebuilt.__qualname__ = "torch._utils", "_rebuild_tensor_v2"


def saved(path, state, storages=(), **members):
    """A zip as torch.save writes it, of a pickle and the bytes of storages."""
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("model/data.pkl", state if isinstance(state, bytes) else dumps(state))
        for key, data in dict(storages).items():
            archive.writestr(f"model/data/{key}", data)
        for name, data in members.items():
            archive.writestr(f"model/{name}", data)
    return path


def dumps(state):
    file = io.BytesIO()
    Torch(file, 2).dump(state)
    return file.getvalue()


def tensor_pickle(offset, shape, strides, size=6, key="0", kind="FloatStorage"):
    """The pickle of {"w": tensor}, written by hand: no torch is needed to make it."""
    numbers = "".join(f"I{n}\n" for n in shape), "".join(f"I{n}\n" for n in strides)
    storage = f"(S'storage'\nctorch\n{kind}\nS'{key}'\nS'cpu'\nI{size}\ntQ"
    view = f"ctorch._utils\n_rebuild_tensor_v2\n({storage}I{offset}\n({numbers[0]}t({numbers[1]}t"
    return f"(dS'w'\n{view}I00\n(dtRs.".encode()


NUMBERS = np.arange(6, dtype="<f4")


def test_a_tensor_is_its_storage_seen_by_offset_shape_and_strides(tmp_path):
    path = saved(tmp_path / "a.pth", tensor_pickle(1, (2, 2), (1, 2)), {"0": NUMBERS.tobytes()})
    found = read_torch(path)["w"]
    np.testing.assert_array_equal(found, [[1, 3], [2, 4]])
    assert found.flags.owndata and found.dtype == np.float32


@pytest.mark.parametrize(
    ("made", "message"),
    [
        (tensor_pickle(0, (4, 2), (2, 1)), "lies beyond"),
        (tensor_pickle(3, (2, 2), (2, 1)), "lies beyond"),
        (tensor_pickle(0, (2, 2), (2, 1), size=600), "lies beyond"),
        (tensor_pickle(0, (2,), (-1,)), "cannot be"),
        (tensor_pickle(-1, (2,), (1,)), "cannot be"),
        (tensor_pickle(0, (2, 3), (1,)), "cannot be"),
        (tensor_pickle(0, (2,), (1,), key="1"), "'1'"),
        (tensor_pickle(0, (2,), (1,), kind="QUInt8Storage"), "QUInt8Storage, which rebuilds no"),
        (dumps(OrderedDict(w=1.0)), "something else than tensors"),
        (dumps([1, 2]), "something else than tensors"),
        (b"\x80\x02garbage", "cannot be read"),
    ],
)
def test_what_is_no_tensor_of_its_file_is_refused(tmp_path, made, message):
    path = saved(tmp_path / "a.pth", made, {"0": NUMBERS.tobytes()})
    with pytest.raises(ValueError, match=message):
        read_torch(path)


def traces(tmp_path):
    """Pickles that would leave a file, each its own way, and where."""
    trace = tmp_path / "trace"
    opened = Malice(open, str(trace), "w")
    yield trace, dumps({"w": opened})
    yield trace, dumps(Malice(eval, f"open({str(trace)!r}, 'w')"))
    # Through a name that is let through: its attributes, its class, its state.
    escape = "ctorch._utils\n_rebuild_tensor_v2\n(N}S'__call__'\nc__builtin__\nopen\nstb."
    yield trace, escape.encode()
    yield trace, f"ctorch._utils\n_rebuild_tensor_v2.__globals__\n(S'{trace}'\nS'w'\ntR.".encode()
    nested = "\x80\x04\x8c\x0ccollections\x8c\x11OrderedDict.clear\x93(\x8c\x01w\x85R."
    yield trace, nested.encode("latin-1")


def test_a_malicious_pickle_runs_nothing(tmp_path):
    magic = pickle.dumps(0x1950A86A20F9469CFC6C, 2) + pickle.dumps(1001, 2)
    header = magic + pickle.dumps({"little_endian": True}, 2)
    for number, (trace, made) in enumerate(traces(tmp_path)):
        zipped = saved(tmp_path / f"{number}.pth", made)
        older, first = tmp_path / f"{number}.old.pth", tmp_path / f"{number}.first.pth"
        older.write_bytes(header + made)
        first.write_bytes(made)
        for path in (zipped, older, first):
            with pytest.raises(ValueError, match="cannot be read as the weights"):
                read_torch(path)
        assert not trace.exists()
    # The same pickle does run where it may: the test can fail.
    pickle.loads(dumps({"w": Malice(open, str(trace), "w")}))["w"].close()
    assert trace.exists()


def test_a_file_cut_short_or_of_other_kind_is_refused(tmp_path):
    path = saved(tmp_path / "a.pth", tensor_pickle(0, (6,), (1,)), {"0": NUMBERS.tobytes()[:-4]})
    with pytest.raises(ValueError, match="lies beyond"):
        read_torch(path)
    big = saved(tmp_path / "b.pth", dumps({}), byteorder=b"big")
    with pytest.raises(ValueError, match="not little-endian"):
        read_torch(big)
    for data, message in ((b"PK and more", "zip"), (b"", "cannot be read"), (b"I1\n.", "begin")):
        path.write_bytes(data)
        with pytest.raises(ValueError, match=message):
            read_torch(path)


@needs_torch
@pytest.mark.parametrize("zipped", [True, False])
def test_what_torch_saves_is_read_without_it(tmp_path, zipped):
    import torch

    shared = torch.arange(24.0).reshape(4, 6)
    state = {
        "whole": shared,
        "turned": shared.T[1:, 2:],
        "scalar": torch.tensor(7, dtype=torch.int64),
        "half": torch.ones(3, dtype=torch.float16),
        "empty": torch.zeros(0, 2),
        "parameter": torch.nn.Linear(2, 3).state_dict()["weight"],
    }
    path = tmp_path / "a.pth"
    torch.save(OrderedDict(state), path, _use_new_zipfile_serialization=zipped)
    found = read_torch(path)
    assert list(found) == list(state)
    for name, x in state.items():
        assert found[name].dtype == x.numpy().dtype
        np.testing.assert_array_equal(found[name], x.numpy())
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(ValueError, match="cannot be read as the weights"):
        read_torch(path)


def test_a_damaged_safetensors_file_is_refused(tmp_path):
    numpy = pytest.importorskip("safetensors.numpy", reason="safetensors is not installed")
    path = tmp_path / "a.safetensors"
    numpy.save_file({"w": NUMBERS}, path)
    np.testing.assert_array_equal(read_safetensors(path)["w"], NUMBERS)
    path.write_bytes(path.read_bytes()[:-4])
    with pytest.raises(ValueError, match=r"a\.safetensors cannot be read"):
        read_safetensors(path)


def test_numbers_of_a_type_that_numpy_lacks_are_refused(tmp_path):
    pytest.importorskip("safetensors", reason="safetensors is not installed")
    about = {"w": {"dtype": "F8_E4M3", "shape": [2], "data_offsets": [0, 2]}}
    header, path = json.dumps(about).encode(), tmp_path / "a.safetensors"
    path.write_bytes(struct.pack("<Q", len(header)) + header + bytes(2))
    with pytest.raises(ValueError, match=r"a\.safetensors: .*float8.*in float32 or float16"):
        read_safetensors(path)


SHAPES = {
    "conv": {"kernel": np.zeros((3, 3, 2, 4))},
    "dense": {"kernel": np.zeros((4, 5)), "bias": np.zeros(5)},
}


def published():
    random = np.random.default_rng(0)
    shapes = {"conv.kernel": (4, 2, 3, 3), "dense.kernel": (5, 4), "dense.bias": (5,)}
    return {name: random.normal(size=shape) for name, shape in shapes.items()}


def test_weights_find_their_place_by_name_and_kernels_are_turned():
    weights = published() | {"conv.counter": np.zeros(1)}
    params = named_params(SHAPES, weights, ".".join, unused=("counter",))
    kernel = np.asarray(params["conv"]["kernel"])
    assert kernel[2, 1, 0, 3] == np.float32(weights["conv.kernel"][3, 0, 2, 1])
    np.testing.assert_array_equal(params["dense"]["kernel"], np.float32(weights["dense.kernel"].T))
    assert kernel.dtype == np.float32


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"dense.bias": None}, "are missing: dense.bias"),
        ({"dense.scale": np.zeros(5)}, "are left over: dense.scale"),
        ({"dense.bias": np.zeros(4)}, r"dense.bias has shape \(4,\), and dense/bias wants \(5,\)"),
        ({"conv.kernel": np.zeros((3, 3, 2, 4))}, "conv.kernel has shape"),
        ({"dense.kernel": np.zeros((4, 5))}, "dense.kernel has shape"),
    ],
)
def test_weights_that_do_not_fit_are_named(change, message):
    weights = {name: x for name, x in (published() | change).items() if x is not None}
    with pytest.raises(ValueError, match=message):
        named_params(SHAPES, weights, ".".join)
