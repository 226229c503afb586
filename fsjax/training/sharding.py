"""Rows of a pool divided among devices: each keeps a part of them, and gives what others draw."""

from collections.abc import Mapping
from typing import NamedTuple

import jax.numpy as jnp
from jax import lax

from fsjax.types import Array, Episode, Inputs, Pool


class Divided(NamedTuple):
    """A pool of which large modalities are divided; none, if it is on every device as it is."""

    pool: Pool  # with the numbers of rows [N] int32 for the values of these
    shards: Mapping[str, Array]  # modality -> [N', ...] its rows, N' >= N a multiple of the devices


def fetch_rows(batch: Episode, shards: Mapping[str, Array], axis: str) -> Episode:
    """Episodes that were drawn by the numbers of rows, with the rows; within a `shard_map`.

    For each modality devices talk twice, of support and query together: they tell each other the
    numbers, and each gets its rows from those that have them.

    Args:
      batch: [T, ...] of this device.
      shards: modality -> [N' / devices, ...] the rows that this device keeps.
      axis: of the mesh, over which they are divided.
    """
    support, query = batch.support.inputs, batch.query
    for name, shard in shards.items():
        numbers = jnp.concatenate([support.values[name], query.values[name]], axis=1)
        rows, shots = exchange(numbers, shard, axis), support.values[name].shape[1]
        support, query = _with(support, name, rows[:, :shots]), _with(query, name, rows[:, shots:])
    return batch._replace(support=batch.support._replace(inputs=support), query=query)


def exchange(numbers: Array, shard: Array, axis: str) -> Array:
    """Rows by their numbers [...] over all devices, of which each keeps as many: -> [..., ...]."""
    asked = lax.all_gather(numbers.reshape(-1), axis)  # [devices, n]
    place = asked - lax.axis_index(axis) * len(shard)
    kept = (place >= 0) & (place < len(shard))
    rows = shard[jnp.where(kept, place, 0)]
    # A row is kept by one device, so that the sum over devices is the row.
    rows = jnp.where(kept.reshape(*kept.shape, *(1,) * (shard.ndim - 1)), rows, 0)
    return lax.psum_scatter(rows, axis).reshape(*numbers.shape, *shard.shape[1:])


def _with(inputs: Inputs, name: str, rows: Array) -> Inputs:
    return inputs._replace(values={**inputs.values, name: rows})
