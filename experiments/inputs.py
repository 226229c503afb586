"""What a run is trained on looks like, noted in its folder: so that files of one's own are read
alike, and its parameters are found, without its data.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
from ml_collections import ConfigDict

from experiments import build, dealer, results
from experiments.features import kind_of_steps
from fsjax.data.csv_table import BANDS
from fsjax.data.files import Sizes
from fsjax.data.table import Scale
from fsjax.types import Inputs, Pool, Source

DECIBELS = 70.0  # between 0 and 255, where frames are bytes as those of emoji


class Noted(NamedTuple):
    """The training classes of a run without their rows."""

    classes: int
    read: Mapping[str, jax.ShapeDtypeStruct]  # modality -> one row as it was read
    scales: Mapping[str, Scale]  # of the modalities that are standardised
    rows: Mapping[str, jax.ShapeDtypeStruct]  # modality -> one row
    side: Mapping[str, jax.ShapeDtypeStruct]  # modality -> the description of one class
    columns: Mapping[str, Sequence[str]]  # modality -> those of the CSV, if it was one


def note(workdir: Path, data: build.Data) -> None:
    """Writes what the rows of the training classes look like to the run's inputs.json."""
    results.write_json(workdir / "inputs.json", _described(data))


def _described(data: build.Data) -> dict[str, Any]:
    def each(arrays: Mapping[str, np.ndarray]) -> dict[str, Any]:
        return {name: [list(x.shape[1:]), str(x.dtype)] for name, x in arrays.items()}

    train = data.tables["train"]
    rows = {name: x for source in train.sources.values() for name, x in source.values.items()}
    return {
        "classes": len(train.classes),
        "read": {name: [list(row.shape), str(row.dtype)] for name, row in data.read.items()},
        "scales": {name: [x.tolist() for x in scale] for name, scale in data.scales.items()},
        "rows": each(rows),
        "side": each(train.side),
        "columns": data.columns,
    }


def noted(workdir: Path, config: ConfigDict) -> Noted:
    """What the rows of a run look like; of a run of a version that did not note it, by its data."""
    path = workdir / "inputs.json"
    found = json.loads(path.read_text()) if path.exists() else {}
    if "scales" not in found and (not found or config.data.standardise):
        found = _described(build.seen_by_models(config, build.prepared(config)))

    def each(arrays: Mapping[str, Any]) -> dict[str, jax.ShapeDtypeStruct]:
        return {name: jax.ShapeDtypeStruct(*described) for name, described in arrays.items()}

    scales = {m: Scale(*map(np.array, x)) for m, x in found.get("scales", {}).items()}
    read, rows, side = (each(found.get(key, {})) for key in ("read", "rows", "side"))
    return Noted(found["classes"], read, scales, rows, side, found.get("columns", {}))


def shapes(inputs: Noted, config: ConfigDict) -> Pool:
    """A pool of a run's training classes in which shapes stand for arrays."""
    setting = dealer.episode_settings(config)["train"][0]
    each = int(np.max(setting["shots"])) + setting["queries"]
    count = inputs.classes * each

    def many(number: int, rows: Mapping[str, jax.ShapeDtypeStruct]) -> Inputs:
        values = {m: jax.ShapeDtypeStruct((number, *x.shape), x.dtype) for m, x in rows.items()}
        return Inputs(values, {m: jax.ShapeDtypeStruct((number,), "float32") for m in rows})

    places = [(inputs.classes, each), (inputs.classes,), (count,)]
    drawn = (jax.ShapeDtypeStruct(shape, "int32") for shape in places)
    source = Source(many(count, inputs.rows), *drawn)
    return Pool({"rows": source}, many(inputs.classes, inputs.side))


def sizes(rows: Mapping[str, jax.ShapeDtypeStruct]) -> Sizes:
    """The sizes to which files are to be fitted, so that they are as the rows of a run.

    Raises:
      ValueError: if a modality of the run is not of a kind that files are read as.
    """
    found: dict[str, int] = {}
    for name, row in rows.items():
        if fitted := _size(name, row):
            kind, size = fitted
            if found.setdefault(kind, size) != size:
                raise ValueError(f"the run has {kind}s of two sizes, {found[kind]} and {size}")
        elif len(row.shape) != 1:
            raise ValueError(
                f"the run was trained with {name} of shape {list(row.shape)} and type {row.dtype}; "
                f"files are read as images [side, side, 3] uint8, sounds [frames, {BANDS}] or "
                "[samples] int16, series [steps, channels], texts [bytes] int32 or [numbers] alone"
            )
    return Sizes(**found)


def _size(name: str, row: jax.ShapeDtypeStruct) -> tuple[str, int] | None:
    shape, of_bytes = row.shape, row.dtype == np.uint8
    if len(shape) == 3 and shape[0] == shape[1] and shape[2] == 3 and of_bytes:
        return "image", shape[0]
    if len(shape) == 2 and kind_of_steps(name, shape[1]) == "series":
        return "steps", shape[0]
    if len(shape) == 2:
        return "frames", shape[0]
    if len(shape) == 1 and row.dtype == np.int16:
        return "wave", shape[0]
    if len(shape) == 1 and np.issubdtype(row.dtype, np.integer):
        return "text", shape[0]
    return None


def alike(x: np.ndarray, row: jax.ShapeDtypeStruct, name: str) -> np.ndarray:
    """Rows of a modality as those of a run: sounds as bytes if it has them so.

    Raises:
      ValueError: if they are of another shape or kind.
    """
    if len(row.shape) == 2 and row.dtype == np.uint8 and np.issubdtype(x.dtype, np.floating):
        loudest = x.max(axis=(1, 2), keepdims=True)
        x = np.rint(255 * np.clip(1 + (x - loudest) / DECIBELS, 0, 1)).astype(np.uint8)
    floats = np.issubdtype(row.dtype, np.floating) and np.issubdtype(x.dtype, np.floating)
    if x.shape[1:] != row.shape or not (floats or x.dtype == row.dtype):
        raise ValueError(
            f"the run was trained with {name} of shape {list(row.shape)} and type {row.dtype}, and "
            f"here it has shape {list(x.shape[1:])} and type {x.dtype}: give what the run knows, "
            "by columns as in tabular:height+width"
        )
    return x
