"""The training of a model, from its newest checkpoint on."""

import time
from collections.abc import Callable, Sequence
from functools import cache, partial
from pathlib import Path

import jax
import numpy as np
from ml_collections import ConfigDict

from experiments import build, compiled, dealer, devices, hosts, jobs, results, streaming, trackers
from experiments.jobs import Job
from experiments.progress import Progress
from fsjax.encoders.multimodal import calibrate, holds_statistics
from fsjax.training.checkpoint import Checkpoints
from fsjax.training.loop import Chunk, Hook, has_ended, keep_best, run, stop_if_diverged
from fsjax.training.state import train_chunk
from fsjax.types import Inputs, Metrics, Params, Pool, Sample, TrainState

CALIBRATION_KEY, CALIBRATION_BATCHES = 303, 16
Measure = Callable[[TrainState], tuple[Params, float]]


def train(
    job: Job, validation: Pool, folder: Path, progress: Progress, after: Sequence[Hook] = ()
) -> Params:
    """Trains a model, or goes on from its newest checkpoint.

    Args:
      job: the model.
      validation: the classes that choose the best parameters.
      folder: where checkpoints and metrics lie.
      progress: told of every chunk.
      after: hooks that are called when a chunk is saved.

    Returns:
      The best parameters by validation; those it began with, calibrated, if no step is asked for.
    """
    settings = job.config.train
    if settings.steps == 0:
        return untrained_params(job)
    saved = checkpoints(job.config, folder, progress.say)
    log = Log(job.config, folder, progress)
    state = restored(saved, job.config, job.state)
    log.resume(int(state.step))
    state = run(
        state,
        chunk=steps_of(job),
        num_steps=settings.steps,
        chunk_steps=settings.chunk,
        hooks=[*of_chunk(validates(job, validation), log), saved.save, *after],
        patience=settings.patience or None,
    )
    return state.best.params


def steps_of(job: Job) -> Chunk:
    """How a job takes steps: rows that are stored elsewhere are read ahead."""
    elsewhere = streaming.is_stored_elsewhere(job.training.sample)
    return partial(streaming.in_chunks if elsewhere else in_chunks, job)


def in_chunks(job: Job, state: TrainState, steps: int) -> tuple[TrainState, Metrics]:
    """Takes steps of the training of a job."""
    return train_chunk(state, num_steps=steps, **jobs.trains_with(job))


def of_chunk(measure: Measure, log: "Log") -> list[Hook]:
    """What is done after each chunk before it is saved: checked, validated and told."""
    return [stop_if_diverged, keep_best(measure, log.validated), log.write]


def trained_params(job: Job, folder: Path) -> Params:
    """The best parameters of a model that has been trained.

    Raises:
      ValueError: if there is no checkpoint, or the training has not come to its end.
    """
    if job.config.train.steps == 0:
        return untrained_params(job)
    return _best(job.config, job.state, folder)


def untrained_params(job: Job) -> Params:
    """The parameters of a model before its first step, calibrated on training data."""
    return calibrates(job)(job.state.params)


def params_by_shapes(config: ConfigDict, rows: Pool, folder: Path) -> Params:
    """The best parameters of a model that has been trained, without the data of its training.

    Args:
      config: of the model, trained by one step or more.
      rows: `jax.ShapeDtypeStruct` in place of the arrays of the training classes.
      folder: where its checkpoints lie.

    Raises:
      ValueError: if there is no checkpoint, or the training has not come to its end.
    """

    def fresh(rows: Pool) -> TrainState:
        model, tasks = build.model(config), dealer.training_tasks(config, rows)
        parts = tasks, build.training(config, model, rows), build.optimizer(config)
        return jobs.first_state(config, model.learner, *parts, compiled=lambda f: f)

    shapes = jax.eval_shape(fresh, rows)
    return _best(config, shapes._replace(key=jax.random.key(config.seed)), folder)


def _best(config: ConfigDict, fresh: TrainState, folder: Path) -> Params:
    def refuse(text: str) -> None:
        again = f"train the run again without {folder / 'results.jsonl'}, which mends it"
        raise ValueError(f"{text}: {again}")

    saved, steps = checkpoints(config, folder, refuse), config.train.steps
    if hosts.told(saved.is_empty()):
        raise ValueError(f"{folder} holds no checkpoint; train the run first")
    state = restored(saved, config, fresh)
    if not has_ended(state, steps, config.train.patience or None):
        raise ValueError(
            f"the training in {folder} was interrupted at step {int(state.step)} of {steps}: go on "
            "with it, python -m experiments.train with the run's --config and --workdir, first"
        )
    return state.best.params


def restored(saved: Checkpoints, config: ConfigDict, fresh: TrainState) -> TrainState:
    """What the first process restores, on all devices of the run."""
    state = saved.restore(fresh) if hosts.is_first() else fresh
    plain = hosts.of_first(state._replace(key=jax.random.key_data(state.key)))
    key = jax.random.wrap_key_data(plain.key)
    return devices.everywhere(config, jax.device_put(plain._replace(key=key)))


def checkpoints(config: ConfigDict, folder: Path, tell: Callable[[str], None]) -> Checkpoints:
    """The checkpoints in the folder of a model."""
    return Checkpoints(folder / "checkpoints", results.plain(config), tell)


def validates(job: Job, validation: Pool) -> Measure:
    """state -> its parameters calibrated on training data, and their validation accuracy."""
    calibrated = calibrates(job)
    accuracy_of = jobs.validated(job.config, job.model, validation)

    def measure(state: TrainState) -> tuple[Params, float]:
        params = calibrated(state.params)
        return params, accuracy_of(params)

    return measure


def calibrates(job: Job) -> Callable[[Params], Params]:
    """Parameters -> the same, the statistics that they hold those of training data."""
    if job.calibrated or not holds_statistics(job.state.params["network"]):
        return lambda params: params
    network, mesh = job.model.network, devices.mesh(job.config)
    drawn = cache(lambda: _calibration_rows(job.tasks))

    @jax.jit
    def calibrated(params: Params, batches: Inputs) -> Params:
        return params | {"network": calibrate(network, params["network"], batches, mesh=mesh)}

    return lambda params: calibrated(params, drawn())


@compiled.once
def _calibration_rows(tasks: Sample) -> Inputs:
    """Rows of the training classes as queries of tasks, [CALIBRATION_BATCHES, Q, ...]."""
    keys = jax.random.split(jax.random.key(CALIBRATION_KEY), CALIBRATION_BATCHES)
    return jax.vmap(lambda key: dealer.first_task(tasks(key)).query)(keys)


class Log:
    """metrics.jsonl, one line a chunk, trackers that are told it, and the progress shown.

    Minutes are those of training, validation and compiling, of all sessions of the run.
    """

    def __init__(self, config: ConfigDict, folder: Path, progress: Progress):
        self._config, self._folder, self._progress = config, folder, progress
        self._path = folder / "metrics.jsonl"
        self._trackers: list[trackers.Tell] = []
        self._validation, self._before, self._start = float("nan"), 0.0, time.perf_counter()

    def resume(self, step: int) -> None:
        held = results.read_lines(self._path)
        lines = [line for line in held if line["step"] <= step]
        results.write_lines(self._path, lines)
        self._before = lines[-1].get("minutes", 0.0) if lines else 0.0
        self._trackers = trackers.open_trackers(self._config, self._folder, step)
        self._progress.resume(step, seen=held[-1]["step"] if held else 0)

    def validated(self, step: int, figure: float) -> None:
        self._validation = figure

    def write(self, state: TrainState, metrics: Metrics) -> TrainState:
        means = {name: float(np.mean(x)) for name, x in metrics.items()}
        minutes = self._before + (time.perf_counter() - self._start) / 60
        line = {"step": int(state.step)} | means | {"validation": self._validation}
        line["minutes"] = minutes
        results.write_lines(self._path, [*results.read_lines(self._path), line])
        for tell in self._trackers:
            tell(line)
        self._progress.advance(line)
        return state
