"""Training on rows that are stored elsewhere, read while the steps before are computed."""

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import NamedSharding
from jax.sharding import PartitionSpec as P

from experiments import devices, jobs
from experiments.deal import Deal, of_batches
from experiments.jobs import Job
from fsjax.data.stored import is_stored, read
from fsjax.data.stream import stream
from fsjax.training.state import step_keys, train_chunk
from fsjax.types import Array, Batch, Key, Metrics, Pool, Sample, TrainState


def is_stored_elsewhere(sample: Sample) -> bool:
    """Whether rows that a sampler draws are."""
    return any(map(is_stored, jax.tree.leaves(sample, is_leaf=is_stored)))


def in_chunks(job: Job, state: TrainState, steps: int) -> tuple[TrainState, Metrics]:
    """Takes steps of the training of a job: the same ones as if its rows were on the device."""
    sample, first, ahead = job.training.sample, int(state.step), job.config.data.ahead
    together = _together(job, steps)
    batches = stream(
        reader(sample, state.key), first, first + steps, ahead=ahead, together=together
    )
    metrics = []
    for some in batches:
        state, found = train_chunk(state, num_steps=together, **_given(job, state, some))
        metrics.append(found)
        jax.block_until_ready(metrics[-2:][0])  # so that no more than two of them are there
    return state, jax.tree.map(lambda *each: np.concatenate(each), *metrics)


def first_program(job: Job, steps: int) -> tuple[int, dict[str, Any]]:
    """Of the first chunk of a job: how many steps are one program, and what `train_chunk` takes."""
    together = _together(job, steps)
    batches = stream(reader(job.training.sample, job.state.key), 0, together, together=together)
    return together, _given(job, job.state, next(batches))


def _together(job: Job, steps: int) -> int:
    # A loop of some steps is compiled to a faster program than a single step (by a fifth, on CPU).
    return max(n for n in range(1, job.config.data.ahead + 1) if steps % n == 0)


def _given(job: Job, state: TrainState, batches: Batch) -> dict[str, Any]:
    """What `train_chunk` takes of a job, for the batches [n, ...] of the next steps."""
    number = len(jax.tree.leaves(batches)[0])
    keys = _batch_keys(state.key, state.step + jnp.arange(number))
    given = of_batches(job.training.sample, keys, _put(job, batches))
    return jobs.trains_with(job) | {"sample": given}


@jax.jit
def _batch_keys(key: Key, steps: Array) -> Key:
    return jax.vmap(lambda step: step_keys(key, step)[0])(steps)


def reader(sample: Sample, key: Key) -> Callable[[int], Batch]:
    """A step -> what `sample`, made by `deal`, draws for it: on the host, as on any device.

    Of tasks that are spread over the devices of several processes it reads those of its own.
    """
    deal, (rows,) = sample.func, sample.args
    host = jax.local_devices(backend="cpu")[0]
    data = jax.random.key_data(key)
    rows, data = jax.device_put(jax.tree.map(np.asarray, (rows, data)), host)

    def batch(step: int) -> Batch:
        drawn = jax.tree.map(np.asarray, _drawn(deal, rows, data, step))
        return read(drawn if deal.mesh is None else jax.tree.map(_ours, drawn))

    return batch


@partial(jax.jit, static_argnames="deal")
def _drawn(deal: Deal, rows: Pool, key_data: np.ndarray, step: int) -> Batch:
    return deal.drawn(rows, step_keys(jax.random.wrap_key_data(key_data), step)[0])


def _ours(x: np.ndarray) -> np.ndarray:
    """The tasks [T, ...] that the devices of this process compute."""
    return np.split(x, jax.process_count())[jax.process_index()]


def _put(job: Job, batches: Batch) -> Batch:
    """The batches [n, T, ...] of some steps, on the devices that compute their tasks."""
    mesh = job.training.sample.func.mesh
    if mesh is None:
        return devices.everywhere(job.config, batches)
    spread = NamedSharding(mesh, P(None, *mesh.axis_names))
    return jax.tree.map(partial(jax.make_array_from_process_local_data, spread), batches)
