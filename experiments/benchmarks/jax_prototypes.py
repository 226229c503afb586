"""Training steps of a prototypical network by fsjax."""

from functools import partial

import jax
import numpy as np

from experiments import jobs
from experiments.benchmarks.contest import Work
from experiments.configs import omniglot
from fsjax.data.pool import make_pool
from fsjax.data.table import Table, rows
from fsjax.training.state import train_chunk


def work(images: np.ndarray, *, ways: int, shots: int, queries: int, steps: int) -> Work:
    """A function that takes steps as a training does: a scanned chunk, episodes drawn within it.

    Args:
      images: [C, P, H, W, 1] uint8, of each class.
      ways: of an episode.
      shots: support images of a class.
      queries: query images of a class.
      steps: how many it takes.
    """
    config = omniglot.get_config()
    config.train.update(ways=ways, shots=shots, queries=queries)
    labels = np.repeat(np.arange(len(images)), images.shape[1])
    found = rows({"image": images.reshape(-1, *images.shape[2:])}, labels)
    names = tuple(f"class {c}" for c in range(len(images)))
    job = jobs.prepare(config, make_pool(Table(names, {"image": found}, {})))
    chunk = partial(train_chunk, num_steps=steps, **jobs.trains_with(job))
    return lambda: jax.block_until_ready(chunk(job.state))
