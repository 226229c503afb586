"""Models of several seeds, trained as one program; each ends in a folder that is a run like any.

A run with `config.seeds=8` trains the models of eight runs, of the seeds `config.seed` and the
seven after it. Their folders, `seed=0` and so on, are what `config.seed=0` would have left, up to
rounding; the checkpoints of all together lie above them. With `config.train.patience` all go on
until none has improved for so long, where each alone may have stopped before.
"""

import math
import os
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

import jax
import numpy as np
from ml_collections import ConfigDict

from experiments import build, devices, fitting, jobs
from experiments.progress import Progress
from experiments.runs import SEED, Line
from fsjax.training.loop import Diverged, Hook, run
from fsjax.training.seeds import stack, train_seeds, unstack
from fsjax.types import Metrics, Pool, TrainState

BEST = "best"  # a link to the folder of the seed that is best on validation


def folders(config: ConfigDict) -> dict[str, ConfigDict]:
    """Folder -> the config of its run, of which each seed has one.

    Raises:
      ValueError: if seeds of such models cannot be trained as one program, or none is trained.
    """
    variants = build.models(config).values()
    if not any(variant.train.steps for variant in variants):
        raise ValueError(
            f"config.seeds={config.seeds} are of training, and config.train.steps=0 trains no "
            "model: set one of them to another value"
        )
    if config.base.steps or any(one.objective == build.DISTILLATION for one in variants):
        raise ValueError(
            f"config.seeds={config.seeds} trains models by themselves, and these have a base or a "
            "teacher, of each seed its own: set it to 1 and train the seeds by "
            "`python -m experiments.sweep --grid seed 0 1 2`"
        )
    found = {}
    for seed in range(config.seed, config.seed + config.seeds):
        variant = config.copy_and_resolve_references()
        variant.update(seed=seed, seeds=1)
        if config.devices:  # of seeds; its tasks may be fewer
            variant.devices = math.gcd(config.devices, config.train.tasks)
        found[f"{SEED}{seed}"] = variant
    return found


def check(config: ConfigDict) -> None:
    """Checks that all seeds can be trained as one program, and each then be tested by itself.

    Raises:
      ValueError: as `folders`, or if the devices that seeds share cannot share the tasks of one.
    """
    for one in folders(config).values():
        devices.mesh(one)


def fit(
    name: str,
    config: ConfigDict,
    pools: Mapping[str, Pool],
    workdir: Path,
    progress: Progress,
    after: Sequence[Hook] = (),
) -> dict[str, float]:
    """Trains one of the models of a run from all its seeds, or goes on with it.

    When all are done each is saved as the newest checkpoint of its own folder.

    Args:
      name: of the model.
      config: of the run.
      pools: its classes.
      workdir: of the run.
      progress: told the mean of all seeds after every chunk.
      after: hooks that are called when a chunk is saved.

    Returns:
      Folder -> the best accuracy on validation; nothing of a model that is not trained.

    Raises:
      Diverged: if a seed did; says which.
      ValueError: if checkpoints are damaged or of another config.
    """
    whole = build.models(config)[name]
    settings = whole.train
    if settings.steps == 0:
        return {}
    variants = {folder: build.models(one)[name] for folder, one in folders(config).items()}
    places = {folder: workdir / folder / "models" / name for folder in variants}
    each = [_prepared(whole, one.seed, pools["train"]) for one in variants.values()]
    job, shared = each[0], _Mean(progress, len(each))
    logs = [fitting.Log(variants[folder], place, shared) for folder, place in places.items()]
    jobs.rehearse(job, {split: pools[split] for split in pools if split != "train"})
    measure = fitting.validates(job, pools["validation"])
    hooks = [fitting.of_chunk(measure, log) for log in logs]
    saved = fitting.checkpoints(whole, workdir / "models" / name, progress.say)
    begun = devices.everywhere(config, stack([one.state for one in each]))
    states = fitting.restored(saved, whole, begun)
    for log in logs:
        log.resume(int(states.step))
    states = run(
        states,
        chunk=partial(_in_chunks, job, config),
        num_steps=settings.steps,
        chunk_steps=settings.chunk,
        hooks=[partial(_of_each, list(variants), hooks), saved.save, *after],
        patience=settings.patience or None,
    )
    validated = {}
    for state, (folder, place) in zip(unstack(states), places.items(), strict=True):
        if not (place / "checkpoints" / str(int(state.step))).exists():
            fitting.checkpoints(variants[folder], place, progress.say).save(state)
        validated[folder] = float(state.best.figure)
    return validated


def _prepared(whole: ConfigDict, seed: int, train: Pool) -> jobs.Job:
    """The job of one of several seeds, among which the devices are shared."""
    variant = whole.copy_and_resolve_references()
    variant.seed = seed
    return jobs.prepare(variant, train)


def _in_chunks(
    job: jobs.Job, config: ConfigDict, states: TrainState, steps: int
) -> tuple[TrainState, Metrics]:
    how = jobs.trains_with(job)
    return train_seeds(states, mesh=devices.mesh(config), num_steps=steps, **how)


def _of_each(
    names: Sequence[str], hooks: Sequence[Sequence[Hook]], states: TrainState, metrics: Metrics
) -> TrainState:
    """Calls the hooks of each seed with its state and its metrics."""
    done = []
    for i, state in enumerate(unstack(states)):
        for hook in hooks[i]:
            try:
                state = hook(state, jax.tree.map(lambda x, i=i: x[i], metrics))
            except Diverged as error:
                raise Diverged(f"{names[i]}: {error}") from error
        done.append(state)
    return stack(done)


class _Mean:
    """The progress of several models as that of one, whose figures are their means."""

    def __init__(self, progress: Progress, number: int):
        self._progress, self._number = progress, number
        self._lines: list[Line] = []
        self._resumed = False

    def resume(self, step: int, seen: int) -> None:
        """Tells it once."""
        if not self._resumed:
            self._progress.resume(step, seen)
        self._resumed = True

    def advance(self, line: Mapping[str, float]) -> None:
        """Tells the means when all have told their line."""
        self._lines.append(dict(line))
        if len(self._lines) == self._number:
            means = {key: float(np.mean([one[key] for one in self._lines])) for key in line}
            self._progress.advance(means)
            self._lines = []


def link_best(workdir: Path, validated: Mapping[str, float]) -> str:
    """The folder of the seed that is best on validation.

    A link `best` leads to it, where links can be made.
    """
    best = max(validated, key=validated.__getitem__)
    link, part = workdir / BEST, workdir / f"{BEST}.part"
    try:
        part.unlink(missing_ok=True)
        part.symlink_to(best)
        os.replace(part, link)
    except OSError:  # a file system without links
        pass
    return best
