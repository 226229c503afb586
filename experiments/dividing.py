"""The training classes on the devices of a run: a copy on each, or a part."""

import math

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding
from jax.sharding import PartitionSpec as P
from ml_collections import ConfigDict

from experiments import devices
from fsjax.data.pool import check_finite, make_pool
from fsjax.data.table import Rows, Table
from fsjax.training.sharding import Divided
from fsjax.types import Array, Pool


def training_pool(config: ConfigDict, train: Table) -> Pool | Divided:
    """The training classes, on every device of a run, or divided as `config.data.divide` asks.

    Raises:
      ValueError: if rows are asked to be divided that must be on every device, or on none.
    """
    mesh = devices.mesh_of_tasks(config)
    if not config.data.divide:
        return devices.everywhere(config, make_pool(train))
    _check(config)
    if mesh is None and config.devices != 1 and jax.device_count() > 1:
        raise ValueError(
            f"config.data.divide keeps a part of the rows on each of {jax.device_count()} devices, "
            f"and config.train.tasks={config.train.tasks} are all on one: set it to a multiple of "
            "as many as there are to be, or config.data.divide=False"
        )
    if mesh is None:
        return Divided(devices.everywhere(config, make_pool(train)), {})
    return _divided(config, train, mesh)


def _check(config: ConfigDict) -> None:
    others = {
        "data.stream": (config.data.stream, "leaves rows off the devices"),
        "base.steps": (config.base.steps, "encodes all rows"),
        "devices": (devices.spreads_rows(config), "spreads rows of one task, which all draw"),
        "seeds": (config.seeds > 1, "lets each device draw for its own seeds"),
    }
    for key, (used, why) in others.items():
        if used:
            raise ValueError(
                f"config.data.divide keeps a part of the rows on each device, and config.{key} "
                f"{why}: set one of them to its default"
            )
    if config.objective == "supervised" or "supervised" in config.compare:
        raise ValueError(
            "config.data.divide gives devices the rows of their tasks, and the objective "
            "supervised has no tasks: set it to False"
        )


def _divided(config: ConfigDict, train: Table, mesh: Mesh) -> Divided:
    check_finite(train)
    shards: dict[str, Array] = {}

    def numbered(source: Rows) -> Rows:
        large = {name: x for name, x in source.values.items() if x.ndim > 2}
        shards.update({name: _spread(x, mesh) for name, x in large.items()})
        numbers = np.arange(len(source.labels), dtype=np.int32)
        return source._replace(values={**source.values, **dict.fromkeys(large, numbers)})

    thin = train._replace(sources={name: numbered(s) for name, s in train.sources.items()})
    return Divided(devices.everywhere(config, make_pool(thin)), shards)


def _spread(x: np.ndarray, mesh: Mesh) -> Array:
    """Rows [N, ...] over all devices of a mesh, filled up with zeros to as many on each."""
    x = x.astype(jax.dtypes.canonicalize_dtype(x.dtype))
    rows = math.ceil(len(x) / mesh.size) * mesh.size
    sharding = NamedSharding(mesh, P(*mesh.axis_names))

    def part(index: tuple[slice, ...]) -> np.ndarray:
        kept = x[index]
        lacking = index[0].indices(rows)[1] - index[0].indices(rows)[0] - len(kept)
        return np.pad(kept, ((0, lacking), *((0, 0),) * (x.ndim - 1)))

    return jax.make_array_from_callback((rows, *x.shape[1:]), sharding, part)
