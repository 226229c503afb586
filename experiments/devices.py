"""The devices that a run uses."""

import math
from typing import Any

import jax
from jax.sharding import Mesh, NamedSharding
from jax.sharding import PartitionSpec as P
from ml_collections import ConfigDict


def cores_as_devices(config: ConfigDict) -> None:
    """On a CPU, makes as many devices as the config asks for; before jax has looked for any."""
    if config.devices:
        jax.config.update("jax_num_cpu_devices", config.devices)


def mesh(config: ConfigDict) -> Mesh | None:
    """The devices over which a config spreads tasks and test episodes; None if it is only one.

    Raises:
      ValueError: if there are not as many as the config asks for, or they cannot have a task each
        and the same number of them.
    """
    tasks, there = config.train.tasks, jax.device_count()
    number = config.devices or math.gcd(tasks, there)
    if number > there:
        raise ValueError(
            f"config.devices={number}, and jax sees {there} ({jax.default_backend()}); ask for "
            "no more, or for 0: as many as there are"
        )
    if tasks % number:
        raise ValueError(
            f"config.train.tasks={tasks} cannot be spread over config.devices={number} alike; "
            f"set one of them so that {number} divides the tasks"
        )
    return Mesh(jax.devices()[:number], ("tasks",)) if number > 1 else None


def everywhere(config: ConfigDict, arrays: Any) -> Any:
    """Arrays on every device of the mesh; as they are if there is none."""
    spread = mesh(config)
    return arrays if spread is None else jax.device_put(arrays, NamedSharding(spread, P()))
