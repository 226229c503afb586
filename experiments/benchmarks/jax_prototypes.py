"""Training and testing of a prototypical network by fsjax, as its commands do them."""

from collections.abc import Mapping
from functools import partial

import jax
import numpy as np
from ml_collections import ConfigDict

from experiments import dealer, jobs
from experiments.benchmarks.contest import Work
from experiments.configs import emoji, omniglot
from experiments.devices import cores_as_devices, everywhere
from fsjax.data.pool import make_pool
from fsjax.data.table import Table, rows
from fsjax.evaluation.figures import accuracy
from fsjax.training.seeds import stack, train_seeds
from fsjax.training.state import train_chunk
from fsjax.types import Pool


def of_images(encoder: str = "conv4") -> ConfigDict:
    """Prototypes of images, their network named."""
    config = omniglot.get_config()
    config.encoders.image = encoder
    return config


def fused() -> ConfigDict:
    """Prototypes of image, text and sound fused by attention."""
    config = emoji.get_config()
    config.update(apart=False)
    return config


def pool(rows_of: Mapping[str, np.ndarray]) -> Pool:
    """Classes from the rows of each modality [C, P, ...], recorded together."""
    classes, number = next(iter(rows_of.values())).shape[:2]
    values = {m: x.reshape(-1, *x.shape[2:]) for m, x in rows_of.items()}
    found = rows(values, np.repeat(np.arange(classes), number))
    return make_pool(Table(tuple(f"class {c}" for c in range(classes)), {"rows": found}, {}))


def work(
    config: ConfigDict,
    rows_of: Mapping[str, np.ndarray],
    *,
    ways: int,
    shots: int,
    queries: int,
    steps: int,
    seeds: int = 1,
    devices: int = 0,
) -> Work:
    """A function that takes steps as a training does: a scanned chunk, episodes drawn within it.

    Args:
      config: of the model.
      rows_of: of each modality [C, P, ...].
      ways: of an episode.
      shots: support rows of a class.
      queries: query rows of a class.
      steps: how many it takes.
      seeds: how many models take them side by side.
      devices: over which rows are spread; 0: over none.
    """
    config.train.update(ways=ways, shots=shots, queries=queries)
    config.devices = devices
    cores_as_devices(config)
    job = jobs.prepare(config, everywhere(config, pool(rows_of)))
    how = {"num_steps": steps, **jobs.trains_with(job)}
    if seeds > 1:
        return partial(_finished, partial(train_seeds, stack([job.state] * seeds), **how))
    return partial(_finished, partial(train_chunk, job.state, **how))


def evaluation(images: np.ndarray, *, ways: int, shots: int, queries: int, episodes: int) -> Work:
    """A function that computes the accuracies of episodes of images [C, P, H, W, 1]."""
    config, rows_of = of_images(), pool({"image": images})
    job = jobs.prepare(config, rows_of)
    figures = jobs.evaluator(job.model, config, num_episodes=episodes, figures=(accuracy,))

    def take() -> object:
        _, encoded = jobs.prepared(job.model, job.state.params, rows_of)
        sample = dealer.episodes(config, encoded, ways=ways, shots=shots, queries=queries)
        return figures(job.state.params, jax.random.key(jobs.TEST_KEY), sample)

    return partial(_finished, take)


def _finished(take: Work) -> object:
    return jax.block_until_ready(take())
