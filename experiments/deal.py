"""Samplers in two steps, between which rows that are stored elsewhere are read."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.sharding import Mesh

from fsjax.data.stored import fetched
from fsjax.episodes.sample import Settled
from fsjax.types import Batch, Key, Sample


class Deal(NamedTuple):
    """Draws a batch of rows, and does to it what needs them."""

    draw: Settled  # key, rows, *, read, mesh -> batch
    change: Settled  # key, batch, *, mesh -> batch
    mesh: Mesh | None  # over whose devices the tasks of a batch are spread

    def __call__(self, rows: Any, key: Key) -> Batch:
        return self.given(self.draw(rows, key, read=fetched, mesh=self.mesh), key)

    def drawn(self, rows: Any, key: Key) -> Batch:
        """A batch, stored rows by their numbers alone, on one device."""
        return self.draw(rows, key, read=lambda batch: batch, mesh=None)

    def given(self, batch: Batch, key: Key) -> Batch:
        """What is made of the batch of a key, its rows read."""
        return self.change(batch, key, mesh=self.mesh)


def deal(draw: Settled, change: Settled, rows: Any, *, mesh: Mesh | None = None) -> Sample:
    """A sampler of batches of rows, wherever they are: of a pool as `draw` takes it."""
    return jax.tree_util.Partial(Deal(draw, change, mesh), rows)


def of_batches(sample: Sample, keys: Key, batches: Batch) -> Sample:
    """A sampler that knows the batches of some keys alone, their rows read.

    Args:
      sample: made by `deal`; of these keys it gives the same.
      keys: [n].
      batches: [n, ...] what it has drawn of each.
    """
    return jax.tree_util.Partial(_Given(sample.func), keys, batches)


class _Given(NamedTuple):
    deal: Deal

    def __call__(self, keys: Key, batches: Batch, key: Key) -> Batch:
        known, asked = map(jax.random.key_data, (keys, key))
        place = jnp.argmax((known == asked).all(-1))
        return self.deal.given(jax.tree.map(lambda x: x[place], batches), key)
