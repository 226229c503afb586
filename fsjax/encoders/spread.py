"""The rows of one task over several devices."""

import jax
import jax.numpy as jnp
from jax import lax

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
