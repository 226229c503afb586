"""Samplers in two steps, between which rows that are stored elsewhere are read."""

from typing import Any, NamedTuple

import jax
from jax.sharding import Mesh

from fsjax.data.stored import fetched
from fsjax.episodes.sample import Settled
from fsjax.types import Batch, Key, Pool, Sample


class Deal(NamedTuple):
    """Draws a batch of rows, and does to it what needs them."""

    draw: Settled  # key, rows, *, read, mesh -> batch
    change: Settled  # key, batch, *, mesh -> batch
    mesh: Mesh | None  # over whose devices the tasks of a batch are spread

    def __call__(self, rows: Pool, key: Key) -> Batch:
        return self.given(self.draw(rows, key, read=fetched, mesh=self.mesh), key)

    def drawn(self, rows: Pool, key: Key) -> Batch:
        """A batch, stored rows by their numbers alone, on one device."""
        return self.draw(rows, key, read=lambda batch: batch, mesh=None)

    def given(self, batch: Batch, key: Key) -> Batch:
        """What is made of the batch of a key, its rows read."""
        return self.change(batch, key, mesh=self.mesh)


def deal(draw: Settled, change: Settled, rows: Pool, *, mesh: Mesh | None = None) -> Sample:
    """A sampler of batches of rows, wherever they are."""
    return jax.tree_util.Partial(Deal(draw, change, mesh), rows)


def of_batch(sample: Any, batch: Batch) -> Sample:
    """The sampler that gives what `sample`, made by `deal`, makes of a batch that it has drawn."""
    return jax.tree_util.Partial(_Given(sample.func), batch)


class _Given(NamedTuple):
    deal: Deal

    def __call__(self, batch: Batch, key: Key) -> Batch:
        return self.deal.given(batch, key)
