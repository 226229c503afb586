"""The devices that a run uses, of all its processes."""

import os
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding
from jax.sharding import PartitionSpec as P
from ml_collections import ConfigDict

from experiments import hosts
from fsjax.encoders.norms import ROWS
from fsjax.types import Array


def cores_as_devices(config: ConfigDict) -> None:
    """On a CPU, makes as many devices as the config asks for; before jax has looked for any.

    Raises:
      ValueError: if the processes of the job cannot have as many each.
    """
    number = hosts.count(os.environ)
    if config.devices % number:
        raise ValueError(
            f"config.devices={config.devices} are of all {number} processes together, each with "
            f"the same number: set it to 0, all there are, or to a multiple of {number}"
        )
    if config.devices:
        jax.config.update("jax_num_cpu_devices", config.devices // number)


def mesh(config: ConfigDict) -> Mesh | None:
    """The devices over which a config spreads tasks and test episodes; None if it is only one.

    Where it has several seeds these are spread in place of tasks. Where a step has one task, as
    many devices as are asked for spread its rows (`mesh_of_rows`) and test episodes.

    Raises:
      ValueError: if there are not as many as the config asks for, or they cannot have a task or
        seed each and the same number of them.
    """
    key, shared, there = _shared(config)
    number = config.devices or max(n for n in range(1, there + 1) if shared % n == 0)
    if number > there:
        raise ValueError(
            f"config.devices={number}, and jax sees {there} ({jax.default_backend()}); ask for "
            "no more, or for 0: as many as there are"
        )
    if shared % number:
        raise ValueError(
            f"config.{key}={shared} cannot be spread over config.devices={number} alike; "
            f"set one of them so that {number} divides the {key.rpartition('.')[2]}"
        )
    if jax.process_count() > 1 and number < there:
        raise ValueError(
            f"config.{key}={shared} use {number} of the {there} devices of "
            f"{jax.process_count()} processes, of which each must use its own: set it to a "
            f"multiple of {there}, and config.devices to 0"
        )
    axis = key.rpartition(".")[2]
    return Mesh(jax.devices()[:number], (axis,)) if number > 1 else None


def _shared(config: ConfigDict) -> tuple[str, int, int]:
    """The key of what is spread, how many of it there are, and how many devices."""
    if config.seeds > 1:
        return "seeds", config.seeds, jax.device_count()
    if spreads_rows(config):
        _check_one_process(config)
        return "devices", config.devices, jax.device_count()
    return "train.tasks", config.train.tasks, jax.device_count()


def _check_one_process(config: ConfigDict) -> None:
    if jax.process_count() > 1:
        raise ValueError(
            f"config.train.tasks=1, whose rows the devices of one process can share, and there are "
            f"{jax.process_count()} processes: set it to a multiple of {config.devices}"
        )


def spreads_rows(config: ConfigDict) -> bool:
    """Whether the rows of the one task of a step are spread over devices."""
    return config.seeds == config.train.tasks == 1 < config.devices


def mesh_of_rows(config: ConfigDict) -> Mesh | None:
    """The devices over which rows are spread; None if they are not.

    Its axis is another than that of test episodes, of which each has statistics of its own.
    """
    return Mesh(mesh(config).devices, (ROWS,)) if spreads_rows(config) else None


def mesh_of_tasks(config: ConfigDict) -> Mesh | None:
    """The devices over which the tasks of a step are spread; None if they are not."""
    return None if config.seeds > 1 or spreads_rows(config) else mesh(config)


def workers(config: ConfigDict) -> int:
    """Models trained side by side: two that share a CPU, else one.

    Raises:
      ValueError: if several were to wait for each other's devices.
    """
    alone = mesh(config) is not None or jax.default_backend() != "cpu"
    if config.workers > 1 and mesh(config) is not None:
        raise ValueError(
            f"config.workers={config.workers} models side by side cannot share several devices; "
            "set config.workers=1 or config.devices=1"
        )
    return config.workers or (1 if alone else 2)


def everywhere(config: ConfigDict, arrays: Any) -> Any:
    """Arrays on every device of the mesh; as they are if there is none.

    Args:
      config: that says which devices.
      arrays: a pytree, the same in all processes.
    """
    spread = mesh(config)
    if spread is None:
        return arrays
    sharding = NamedSharding(spread, P())

    def put(x: Array | np.ndarray) -> Array:
        if isinstance(x, Array) and not x.is_fully_addressable:  # of all processes already
            return x
        if jax.dtypes.issubdtype(x.dtype, jax.dtypes.prng_key):
            return jax.random.wrap_key_data(put(jax.random.key_data(x)))
        return jax.device_put(np.asarray(x), sharding)

    return jax.tree.map(put, arrays)
