"""Batches of the steps of a training, read by the host ahead of their use."""

from collections.abc import Callable, Iterator
from typing import TypeVar

Batch = TypeVar("Batch")


def stream(
    batch: Callable[[int], Batch], first: int, last: int, *, ahead: int = 8, together: int = 1
) -> Iterator[Batch]:
    """The batches of some steps in order, several of them read at once by grain's threads.

    Each is a function of its step alone: so a step is all that has to be kept to go on.

    Args:
      batch: a step -> its batch, a pytree of arrays; called by several threads at once.
      first: the first step.
      last: the one after the last.
      ahead: steps that are read at once, and that may wait to be used.
      together: steps whose batches are given at once; it divides last - first.

    Returns:
      An iterator over the batches of so many steps, stacked with a leading [together]; what a read
      raises is raised there.

    Raises:
      ValueError: if `ahead` is less than 1, or steps cannot be given together.
    """
    import grain  # takes longer to import than all of fsjax.data

    if ahead < 1:
        raise ValueError(f"at least one step has to be read ahead, not {ahead}")
    if (last - first) % together:
        raise ValueError(f"{last - first} steps cannot be given in equal parts of {together}")
    options = grain.ReadOptions(num_threads=ahead, prefetch_buffer_size=ahead)
    steps = grain.MapDataset.range(first, last).map(batch).to_iter_dataset(options)
    return iter(steps.batch(together, drop_remainder=True))
