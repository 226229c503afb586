"""A training on Omniglot by fsjax."""

import os
from pathlib import Path

import jax
from ml_collections import ConfigDict

from experiments import build, fitting, jobs
from experiments.benchmarks.race import SIZES, SPLITS, STEPS, Racer
from experiments.configs import omniglot
from fsjax.data.pool import make_pool
from fsjax.training.state import train_chunk


def config(data: Path) -> ConfigDict:
    """Of the training, its data in a folder."""
    found = omniglot.get_config()
    found.data.update(path=str(data), splits=str(data / SPLITS))
    found.train.update(steps=STEPS)
    found.validation.update(SIZES)
    return found


def racer(data: Path) -> Racer:
    """The training at its start, the rows of a step over all devices, on a CPU its cores."""
    jax.config.update("jax_num_cpu_devices", len(os.sched_getaffinity(0)))
    asked = config(data)
    asked.devices = jax.device_count()
    pools = {split: make_pool(table) for split, table in build.tables(asked).items()}
    job = jobs.prepare(asked, pools["train"])
    measures = {split: fitting.validates(job, pools[split]) for split in ("validation", "test")}
    state = job.state

    def advance(steps: int) -> None:
        nonlocal state
        state, _ = train_chunk(state, num_steps=steps, **jobs.trains_with(job))

    def accuracy(split: str) -> float:
        _, reached = measures[split](state)
        return reached

    return Racer(advance, accuracy)
