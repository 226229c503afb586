"""Measures what a training step of a config costs, its parts side by side in one run.

    python -m experiments.benchmarks.steps [--config FILE] [--config.key=value ...]

Prints medians in milliseconds a step, and ratios: a scanned chunk to single jitted steps, and
sampling to the whole step. A chunk is as a training takes it: with `--config.data.stream=True` rows
are read ahead of it, and of the others within their programs. Run nothing else meanwhile.
"""

import time
from collections.abc import Callable, Sequence
from functools import partial

import jax
import numpy as np
from ml_collections import ConfigDict

from experiments import build, command, devices, fitting, jobs
from fsjax.data.pool import make_pool
from fsjax.training.state import train_chunk
from fsjax.types import Key, Sample

STEPS, REPEATS = 10, 7


@partial(jax.jit, static_argnames="steps")
def sample_only(sample: Sample, key: Key, steps: int) -> jax.Array:
    """Draws batches one after another, each of them used up to the last value."""

    def step(total, i):
        batch = sample(jax.random.fold_in(key, i))
        return total + sum(x.sum(dtype=float) for x in jax.tree.leaves(batch)), None

    return jax.lax.scan(step, 0.0, jax.numpy.arange(steps))[0]


def milliseconds(work: Callable[[], object]) -> float:
    """Wall time of one call, in milliseconds a step."""
    start = time.perf_counter()
    jax.block_until_ready(work())
    return 1e3 * (time.perf_counter() - start) / STEPS


def measure(config: ConfigDict) -> dict[str, float]:
    """Medians over repeats, the three kinds of work in turn: {name: milliseconds a step}."""
    job = jobs.prepare(config, make_pool(build.tables(config)["train"]))
    chunk = partial(train_chunk, **jobs.trains_with(job))

    def single_steps():
        state = job.state
        for _ in range(STEPS):
            state, _ = chunk(state, num_steps=1)
        return state

    works = {
        "scanned chunk": lambda: fitting.steps_of(job)(job.state, STEPS),
        "single steps": single_steps,
        "sampling": lambda: sample_only(job.training.sample, jax.random.key(0), steps=STEPS),
    }
    for work in works.values():
        milliseconds(work)
    times = [{name: milliseconds(work) for name, work in works.items()} for _ in range(REPEATS)]
    return {name: float(np.median([t[name] for t in times])) for name in works}


def main(argv: Sequence[str]) -> None:
    """Prints the table."""
    devices.cores_as_devices(command.CONFIG.value)
    times = measure(command.CONFIG.value)
    for name, value in times.items():
        print(f"{name:15} {value:8.2f} ms a step")
    print(f"chunk / single steps   {times['scanned chunk'] / times['single steps']:.3f}")
    print(f"sampling / step        {times['sampling'] / times['single steps']:.3f}")


if __name__ == "__main__":
    command.run(main)
