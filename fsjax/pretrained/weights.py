"""Files of published weights become arrays by name; nothing that they hold is run."""

import io
import pickle
import zipfile
from collections import OrderedDict
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

Weights = Mapping[str, np.ndarray]

# What torch.save writes first, before files were zips.
_MAGIC, _PROTOCOL = 0x1950A86A20F9469CFC6C, 1001
_TYPES = {
    "DoubleStorage": "<f8",
    "FloatStorage": "<f4",
    "HalfStorage": "<f2",
    "LongStorage": "<i8",
    "IntStorage": "<i4",
    "ShortStorage": "<i2",
    "CharStorage": "|i1",
    "ByteStorage": "|u1",
    "BoolStorage": "|b1",
}


def read_safetensors(path: str | Path) -> Weights:
    """The arrays of a safetensors file, by name.

    Raises:
      ImportError: if the package safetensors is not installed.
      ValueError: if the file is damaged, or holds a type of numbers that NumPy lacks.
    """
    try:
        from safetensors import SafetensorError
        from safetensors.numpy import load_file
    except ImportError as error:
        raise ImportError(f"{path} needs a package: pip install safetensors") from error
    try:
        return load_file(path)
    except SafetensorError as error:
        raise ValueError(f"{path} cannot be read ({error}); install it again") from error
    except AttributeError as error:  # as of numbers of eight bits
        raise ValueError(f"{path}: {error}; take the weights in float32 or float16") from error


def read_torch(path: str | Path) -> Weights:
    """The arrays of a state dictionary that torch.save wrote, by name, without PyTorch.

    A pickle may name anything and call it; here a name that does not rebuild a tensor ends the
    reading, and what rebuilds one is our own.

    Args:
      path: a zip, or the older sequence of pickles.

    Raises:
      FileNotFoundError: if there is no such file.
      ValueError: if the file is damaged, or holds anything but tensors by name.
    """
    data = Path(path).read_bytes()
    read = _read_zip if data[:2] == b"PK" else _read_sequence
    try:
        found, buffers = read(data)
        if not isinstance(found, dict) or not all(isinstance(x, _View) for x in found.values()):
            raise ValueError("it holds something else than tensors by name")
        return {str(name): _array(view, buffers) for name, view in found.items()}
    except Exception as error:  # damaged bytes make an unpickler raise almost anything
        raise ValueError(
            f"{path} cannot be read as the weights of a network ({error}); install it again, or "
            "save the state_dict() alone"
        ) from error


class _Storage(NamedTuple):
    key: str
    type: str
    size: int  # elements


class _View(NamedTuple):
    storage: _Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]  # elements


class _Rebuild:
    """What stands for torch's own function; without attributes that a pickle could set."""

    __slots__ = ()

    def __call__(self, storage, offset, shape, strides, *more: Any) -> _View:
        return _View(storage, offset, tuple(shape), tuple(strides))


class _Tensors(pickle.Unpickler):
    """An unpickler of tensors and dictionaries of them."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) == ("collections", "OrderedDict"):
            return OrderedDict
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            return _Rebuild()
        if module == "torch" and name in _TYPES:
            return _TYPES[name]
        raise pickle.UnpicklingError(f"it asks for {module}.{name}, which rebuilds no tensor")

    def persistent_load(self, pid: Any) -> _Storage:
        kind, dtype, key, _, size, *rest = pid
        if kind != "storage" or dtype not in _TYPES.values() or rest not in ([], [None]):
            raise pickle.UnpicklingError(f"it refers to {pid}, which is no storage of a tensor")
        return _Storage(key, dtype, size)


class _Plain(pickle.Unpickler):
    """An unpickler of numbers, texts and lists."""

    def find_class(self, module: str, name: str) -> Any:
        raise pickle.UnpicklingError(f"it asks for {module}.{name} in its header")


def _read_zip(data: bytes) -> tuple[Any, dict[str, bytes]]:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        held = archive.namelist()
        main = next((name for name in held if name.endswith("/data.pkl")), None)
        if main is None:
            raise ValueError("it is a zip without data.pkl")
        root = main.removesuffix("data.pkl")
        if f"{root}byteorder" in held and archive.read(f"{root}byteorder") != b"little":
            raise ValueError("its numbers are not little-endian")
        found = _Tensors(io.BytesIO(archive.read(main))).load()
        folder = f"{root}data/"
        keys = [name.removeprefix(folder) for name in held if name.startswith(folder)]
        return found, {key: archive.read(folder + key) for key in keys}


def _read_sequence(data: bytes) -> tuple[Any, dict[str, bytes]]:
    file = io.BytesIO(data)
    if _Plain(file).load() != _MAGIC or _Plain(file).load() != _PROTOCOL:
        raise ValueError("it does not begin as torch.save begins")
    if not _Plain(file).load()["little_endian"]:
        raise ValueError("its numbers are not little-endian")
    unpickler = _Tensors(file)
    found = unpickler.load()
    keys = _Plain(file).load()
    sizes = {view.storage.key: view.storage for view in found.values() if isinstance(view, _View)}
    buffers = {}
    for key in keys:
        count = int.from_bytes(file.read(8), "little")
        itemsize = np.dtype(sizes[key].type).itemsize
        buffers[key] = file.read(count * itemsize)
    return found, buffers


def _array(view: _View, buffers: Mapping[str, bytes]) -> np.ndarray:
    storage, offset, shape, strides = view
    values = np.frombuffer(buffers[storage.key], storage.type)
    numbers = (offset, *shape, *strides)
    if len(shape) != len(strides) or not all(isinstance(n, int) and n >= 0 for n in numbers):
        raise ValueError(f"a tensor of shape {shape} and strides {strides} cannot be")
    # Beyond the storage lies memory that is not the file's.
    last = offset + sum((n - 1) * step for n, step in zip(shape, strides, strict=True))
    if len(values) != storage.size or (0 not in shape and last >= storage.size):
        raise ValueError(f"tensor {shape} lies beyond the {len(values)} numbers of its storage")
    if 0 in shape:
        return np.zeros(shape, storage.type)
    steps = tuple(step * values.itemsize for step in strides)
    return np.lib.stride_tricks.as_strided(values[offset:], shape, steps, writeable=False).copy()
