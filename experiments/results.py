"""What a run leaves: lines of results, arrays of episodes, metrics of training."""

import importlib.metadata
import json
import os
import subprocess
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import jax
import numpy as np

from experiments.configs.emoji import get_config
from experiments.names import setting
from experiments.runs import read_config, read_lines

# What a work directory holds before anything is trained.
BEFORE = ("config.json", "inputs.json", "lock")


def write_lines(path: Path, lines: Iterable[Mapping[str, Any]]) -> None:
    """Replaces a file by JSON objects, one a line, all at once."""
    _replace(path, "".join(json.dumps(line) + "\n" for line in lines))


def append_new(path: Path, lines: Iterable[Mapping[str, Any]]) -> None:
    """Adds the lines that the file does not hold yet, apart from how long they took."""
    old = read_lines(path)
    known = set(map(_identity, old))
    write_lines(path, old + [line for line in lines if _identity(line) not in known])


def summary(line: Mapping[str, Any]) -> str:
    """A result in a few words."""
    figures = f"{100 * line['accuracy']:.1f} ± {100 * line['ci95']:.1f} %"
    return f"{setting(line)} {figures}"


def _identity(line: Mapping[str, Any]) -> str:
    """All that a line says but how long it took, as the file says it: there a tuple is a list."""
    said = {key: value for key, value in line.items() if key not in ("seconds", "date")}
    return json.dumps(said, sort_keys=True)


def write_json(path: Path, content: Any) -> None:
    """Replaces a file by one JSON value, all at once."""
    _replace(path, json.dumps(content, indent=2) + "\n")


def _replace(path: Path, content: str) -> None:
    with _part(path) as part:
        part.write_text(content)


def save_arrays(path: Path, arrays: Mapping[str, Any]) -> None:
    """Replaces an npz file by the arrays, all at once."""
    with _part(path) as part, part.open("wb") as file:
        np.savez_compressed(file, **{name: np.asarray(x) for name, x in arrays.items()})


@contextmanager
def _part(path: Path) -> Iterator[Path]:
    """A file that takes the place of another when all of it is written.

    Raises:
      OSError: if it cannot be; the other stays as it is.
    """
    part = path.with_name(path.name + ".part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield part
        os.replace(part, path)
    except OSError as error:
        raise OSError(
            f"cannot write {path}: {error.strerror}; what was saved before is kept: see to the "
            "disk and run again to go on from there"
        ) from error


def open_workdir(workdir: Path, config: Mapping[str, Any]) -> None:
    """Notes the config in the work directory, or checks that it is one of the same config.

    Keys that the run's version did not know yet had their default. One that ended in an error
    before anything was saved is none.

    Raises:
      SystemExit: if it holds a run of another config; says what to do.
      ValueError: if its config is damaged.
    """
    settings = json.loads(json.dumps(config))
    if (old := read_config(workdir)) and _begun(workdir):
        defaults = plain(get_config())
        if unlike := difference(*(_filled(each, defaults) for each in (old, settings))):
            raise SystemExit(
                f"{workdir} holds a run of another config: {unlike}; name another, or give "
                "the config that it was made with"
            )
    write_json(workdir / "config.json", settings)


def _begun(workdir: Path) -> bool:
    return any(path.name not in BEFORE for path in workdir.iterdir())


def _filled(settings: Mapping[str, Any], defaults: Mapping[str, Any]) -> dict[str, Any]:
    """Nested settings, with the defaults of the keys that they lack."""
    parts = {
        key: _filled(settings[key], default)
        for key, default in defaults.items()
        if isinstance(default, Mapping) and isinstance(settings.get(key), Mapping)
    }
    return {**defaults, **settings, **parts}


def difference(old: Mapping[str, Any], new: Mapping[str, Any], prefix: str = "") -> str:
    """The keys of two nested mappings whose values differ, with both values."""
    parts = []
    for key in sorted(old.keys() | new.keys()):
        a, b = old.get(key), new.get(key)
        if isinstance(a, Mapping) and isinstance(b, Mapping):
            parts.append(difference(a, b, f"{prefix}{key}."))
        elif a != b:
            parts.append(f"{prefix}{key} was {a!r} and is {b!r}")
    return ", ".join(part for part in parts if part)


def environment() -> dict[str, Any]:
    """Versions, device and commit that a result was made with."""
    packages = ("fsjax", "jax", "flax", "optax", "numpy")
    device = jax.devices()[0]
    return {
        "versions": {name: _version(name) for name in packages},
        "device": f"{jax.device_count()} x {device.device_kind} ({device.platform})",
        "cores": os.cpu_count(),
        "commit": _commit(),
    }


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"


def _commit() -> str:
    try:
        command = ("git", "describe", "--always", "--dirty")
        here = Path(__file__).parent
        return subprocess.run(
            command, cwd=here, capture_output=True, text=True, check=True
        ).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


def plain(config: Any) -> dict[str, Any]:
    """A config as JSON would read it back: tuples become lists."""
    return json.loads(json.dumps(config.to_dict()))
