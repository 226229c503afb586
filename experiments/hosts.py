"""Several processes, of one host or of many, as one job: who they are and what they agree on.

Each runs the same program on all devices together. The first one alone reads and writes the work
directory; the others work in a folder that is removed when they end.
"""

import json
import os
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import jax
import numpy as np
from absl import logging
from jax.experimental import multihost_utils

from fsjax.types import Array

# By which launchers tell how many processes they started: by hand, SLURM's srun, Open MPI.
COUNTS = ("JAX_NUM_PROCESSES", "SLURM_STEP_NUM_TASKS", "OMPI_COMM_WORLD_SIZE")
WORKERS = "TPU_WORKER_HOSTNAMES"  # of a Cloud TPU slice, separated by commas
BY_HAND = ("JAX_COORDINATOR_ADDRESS", "JAX_NUM_PROCESSES", "JAX_PROCESS_ID")
SILENCE = 100  # seconds after which a process that does not answer is taken for dead


def count(environment: Mapping[str, str]) -> int:
    """How many processes a launcher started; one if there is none.

    Raises:
      ValueError: if the variable that says so is no number.
    """
    for name in COUNTS:
        if name in environment:
            return _number(environment, name)
    return len(environment.get(WORKERS, "").split(","))


def _number(environment: Mapping[str, str], name: str) -> int:
    if not environment[name].strip().isdecimal():
        raise ValueError(f"{name}={environment[name]!r} is no number: set it to one, or unset it")
    return int(environment[name])


def join() -> None:
    """Joins the other processes that a launcher started, if there are any.

    SLURM, Open MPI and Cloud TPU are found by jax. By hand each process is told the variables
    JAX_COORDINATOR_ADDRESS (host:port of the first), JAX_NUM_PROCESSES and JAX_PROCESS_ID. Before
    jax has looked for devices.

    Raises:
      ValueError: if some of these are told and others not, or one is no number.
    """
    told = [name for name in BY_HAND[1:] if name in os.environ]
    if count(os.environ) == 1 and told != [BY_HAND[2]]:  # that is one of several
        return
    settings = {}
    if told:
        if lacking := [name for name in BY_HAND if name not in os.environ]:
            raise ValueError(f"{', '.join(told)} are set, and {', '.join(lacking)} are not")
        number, place = (_number(os.environ, name) for name in BY_HAND[1:])
        settings = {"num_processes": number, "process_id": place}
    jax.distributed.initialize(heartbeat_timeout_seconds=SILENCE, **settings)
    if not is_first():  # one of them tells what all have to say
        logging.set_verbosity(logging.ERROR)


def is_first() -> bool:
    """Whether this process speaks for all."""
    return jax.process_index() == 0


@contextmanager
def folder(workdir: Path) -> Iterator[Path]:
    """The work directory to the first process, to each other one a folder of its own."""
    if is_first():
        yield workdir
        return
    with tempfile.TemporaryDirectory() as other:
        yield Path(other)


def any_of(asked: bool) -> bool:
    """Whether something holds for one of the processes; all have to ask together."""
    if jax.process_count() == 1:
        return asked
    return bool(multihost_utils.process_allgather(np.asarray(asked)).any())


def told(value: Any) -> Any:
    """What the first process has, as JSON would read it back; all have to ask together."""
    if jax.process_count() == 1:
        return value
    text = np.frombuffer(json.dumps(value).encode(), np.uint8)
    size = int(multihost_utils.broadcast_one_to_all(np.asarray(text.size)))
    return json.loads(bytes(multihost_utils.broadcast_one_to_all(np.resize(text, size))))


def of_first(arrays: Any) -> Any:
    """The arrays of the first process, bit for bit; all have to ask together.

    Args:
      arrays: a pytree of numbers, of the same shapes and types in all processes; those of others
        than the first may be `jax.ShapeDtypeStruct`.
    """
    if jax.process_count() == 1:
        return arrays

    def one(x: Array) -> np.ndarray:
        # As bytes: a broadcast is a sum, in which a negative zero loses its sign.
        x = np.asarray(x) if is_first() else np.zeros(x.shape, x.dtype)
        sent = multihost_utils.broadcast_one_to_all(np.frombuffer(x.tobytes(), np.uint8))
        return np.asarray(sent).view(x.dtype).reshape(x.shape)

    return jax.tree.map(one, arrays)
