"""From a config to what trains a model that has a teacher."""

from collections.abc import Callable
from typing import NamedTuple

from ml_collections import ConfigDict

from experiments.build.heads import LOSSES, head
from experiments.build.networks import embed_all
from experiments.build.parts import Model
from experiments.build.tasks import WATCH, Training, on_tasks
from experiments.names import named, pick
from fsjax.objectives.distillation import (
    Match,
    See,
    compared,
    distillation,
    neighbouring,
    predicted,
    related,
    softened,
)
from fsjax.types import Episode, Key, Metrics, Objective, Params, Pool, Step

# What of a teacher its student is to match.
MATCHES: dict[str, Callable[[ConfigDict], Match]] = {
    "probabilities": lambda teacher: softened(temperature=teacher.temperature),
    "neighbours": lambda teacher: neighbouring(temperature=teacher.temperature),
    "distances": lambda teacher: related(),
}


class Teacher(NamedTuple):
    """A model that has been trained, and teaches another."""

    config: ConfigDict
    model: Model
    params: Params


def distilled(
    config: ConfigDict, made: Model, train: Pool, teacher: Teacher | None = None
) -> Training:
    """Training by what a teacher makes of the same tasks; without one it cannot begin."""

    def each(config: ConfigDict, model: Model) -> Objective:
        return _untaught if teacher is None else _taught(config, model, teacher)

    return on_tasks(each)(config, made, train)


def _taught(config: ConfigDict, model: Model, teacher: Teacher) -> Objective:
    settings = config.teacher
    match = pick(MATCHES, settings.match, "teacher.match")(settings)
    learners = (config.learner, teacher.config.learner)
    if settings.match != "probabilities" and learners != ("metric", "metric"):
        raise ValueError(
            f"config.teacher.match={settings.match!r} compares rows of the learner metric, and "
            f"student and teacher are {' and '.join(learners)}: take "
            "config.teacher.match=probabilities"
        )
    sides = (config, model, True), (teacher.config, teacher.model, False)
    options = {"weight": settings.weight, "loss": named(LOSSES, config, "loss"), "watch": WATCH}
    return distillation(*(_see(*side) for side in sides), teacher.params, match, **options)


def _see(config: ConfigDict, model: Model, train: bool) -> See:
    if config.learner != "metric":
        return predicted(model.learner, train=train)
    return compared(embed_all(config, model.network, train=train), head(config))


def _untaught(params: Params, episode: Episode, key: Key, step: Step) -> tuple[Params, Metrics]:
    raise ValueError(
        "config.objective='distillation' wants a teacher: train the model by experiments.train, "
        "with a config.teacher.workdir, or named in config.compare as in image+taught"
    )
