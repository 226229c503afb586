"""Rows over several devices: those of one task, and blocks that are apart from each other."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jax.sharding import Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

from fsjax.encoders.norms import ROWS
from fsjax.types import Array, Inputs, Key, Network, Params, Stats


def spread(network: Network) -> Network:
    """The same network, of which each device computes a part of the rows and is told all features.

    It is for a `shard_map` over the axis "rows", within which all devices are given the same rows,
    as `fsjax.objectives.episodic.over_rows` does it. Statistics of norms are those of all rows.
    What is drawn within the network, as by dropout, depends on the number of devices.

    Args:
      network: rows -> features [B, ...].
    """

    def apply(
        params: Params,
        inputs: Inputs,
        *,
        weight: Array | None = None,
        key: Key | None = None,
        **options,
    ) -> tuple[Array, Stats]:
        count = len(next(iter(inputs.present.values())))
        each = -(-count // lax.axis_size(ROWS))
        # Rows that are past the end are the last one again, without weight.
        index = lax.axis_index(ROWS) * each + jnp.arange(each)
        weight = jnp.ones(count) if weight is None else weight
        own, weight = jax.tree.map(
            lambda x: jnp.asarray(x)[jnp.minimum(index, count - 1)], (inputs, weight)
        )
        key = None if key is None else jax.random.fold_in(key, lax.axis_index(ROWS))
        weight = jnp.where(index < count, weight, 0.0)
        z, stats = network.apply(params, own, weight=weight, key=key, **options)
        return lax.all_gather(z, ROWS, tiled=True)[:count], stats

    return network._replace(apply=apply)


def each_block(compute: Callable[..., Any], blocks: int, mesh: Mesh | None, *shared: Any) -> Any:
    """What is computed of each block, stacked; a device does its blocks one after another.

    Args:
      compute: (number of a block, *shared) -> a pytree of arrays.
      blocks: how many there are.
      mesh: of one axis, over whose devices they are divided, and all of which are told all; None:
        the device that has the arguments.
      *shared: pytrees that all blocks need.

    Returns:
      The pytree with [blocks, ...].
    """

    def some(numbers: Array, *shared: Any) -> Any:
        return lax.map(lambda i: compute(i, *shared), numbers)

    devices = 1 if mesh is None else mesh.size
    if mesh is not None:
        part = P(*mesh.axis_names)
        specs = {"in_specs": (part, *(P() for _ in shared)), "out_specs": part}
        some = jax.shard_map(some, mesh=mesh, **specs)
    # The last one again, so that every device has as many.
    numbers = jnp.minimum(jnp.arange(-(-blocks // devices) * devices), blocks - 1)
    found = some(numbers, *shared)
    if mesh is not None:
        found = lax.with_sharding_constraint(found, NamedSharding(mesh, P()))
    return jax.tree.map(lambda x: x[:blocks], found)
