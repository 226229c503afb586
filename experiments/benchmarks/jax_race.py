"""A training on Omniglot by fsjax."""

import functools
from collections.abc import Callable
from pathlib import Path

import jax
from ml_collections import ConfigDict

from experiments import build, dealer, fitting, jobs
from experiments.benchmarks.race import QUERIES, SHOTS, STEPS, WAYS, Racer
from experiments.configs import omniglot
from fsjax.data.pool import make_pool
from fsjax.evaluation.figures import accuracy
from fsjax.training.state import train_chunk
from fsjax.types import Array

SPLITS = "omniglot_vinyals_split.json"


def config(data: Path) -> ConfigDict:
    """Of the training, its data in a folder."""
    found = omniglot.get_config()
    found.data.update(path=str(data), splits=str(data / SPLITS))
    found.train.update(steps=STEPS)
    return found


def racer(data: Path) -> Racer:
    """The training at its start."""
    asked = config(data)
    pools = {split: make_pool(table) for split, table in build.tables(asked).items()}
    job = jobs.prepare(asked, pools["train"])
    calibrated = fitting.calibrates(job)
    state = job.state

    def advance(steps: int) -> None:
        nonlocal state
        state, _ = train_chunk(state, num_steps=steps, **jobs.trains_with(job))

    @functools.cache
    def figures(episodes: int) -> Callable[..., dict[str, Array]]:
        return jobs.evaluator(job.model, asked, num_episodes=episodes, figures=(accuracy,))

    def accuracy_of(split: str, episodes: int) -> float:
        params = calibrated(state.params)
        _, rows = jobs.prepared(job.model, params, pools[split])
        sample = dealer.episodes(asked, rows, ways=WAYS, shots=SHOTS, queries=QUERIES)
        found = figures(episodes)(params, jax.random.key(jobs.TEST_KEY), sample)
        return float(found["accuracy"].mean())

    return Racer(advance, accuracy_of)
