"""Rows that devices exchange are those of the whole array."""

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh
from jax.sharding import PartitionSpec as P

from fsjax.training.sharding import exchange


def test_exchanged_rows_are_those_of_the_whole():
    mesh = Mesh(jax.devices(), ("tasks",))
    for dtype in (np.uint8, np.float32):
        rows = np.random.default_rng(0).integers(0, 256, (8 * mesh.size, 2, 3)).astype(dtype)
        numbers = np.random.default_rng(1).integers(0, len(rows), (2 * mesh.size, 5))

        def of_device(numbers, shard):
            return exchange(numbers, shard, "tasks")

        spread = jax.shard_map(of_device, mesh=mesh, in_specs=P("tasks"), out_specs=P("tasks"))
        np.testing.assert_array_equal(jax.jit(spread)(jnp.asarray(numbers), rows), rows[numbers])
