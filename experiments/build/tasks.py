"""Training by an objective of one task: the mean over the tasks of a batch."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
from ml_collections import ConfigDict

from experiments.build.parts import Model, model
from experiments.dealer import training_tasks
from experiments.devices import mesh_of_rows, mesh_of_tasks
from fsjax.evaluation.figures import accuracy
from fsjax.learners.maml import GradientLearner
from fsjax.objectives.episodic import over_rows, over_tasks
from fsjax.objectives.multi_step import annealed
from fsjax.types import Key, Objective, Params, Pool, Sample

WATCH = {"accuracy": accuracy}


class Training(NamedTuple):
    """What a model is trained by."""

    sample: Sample
    objective: Objective
    init: Callable[[Key, Params], Params]  # a learner's parameters -> all that are trained


def on_tasks(each: Callable[..., Objective]) -> Callable[..., Training]:
    """Training by an objective of one task: config, model, train, **options -> what it is trained
    by; `each` takes config, model and the options.
    """

    def of_model(config: ConfigDict, model: Model, **options: Any) -> Objective:
        at_once = config.train.block or block(config)
        if (mesh := mesh_of_rows(config)) is None:
            objective = each(config, model, **options)
            return over_tasks(objective, block=at_once, mesh=mesh_of_tasks(config))
        objective = each(config, model.spread or model, **options)
        return over_rows(over_tasks(objective, block=at_once), mesh)

    def make(config: ConfigDict, made: Model, train: Pool, **options: Any) -> Training:
        share = config.inner.first_order
        if 0 < share < 1 and isinstance(made.learner, GradientLearner):
            first, second = (_of_order(config, order) for order in (1.0, 0.0))
            objective = annealed(
                of_model(first, model(first), **options),
                of_model(second, model(second), **options),
                at=round(share * config.train.steps),
            )
        else:
            objective = of_model(config, made, **options)
        return Training(training_tasks(config, train), objective, lambda key, params: params)

    return make


def block(config: ConfigDict) -> int | None:
    """Tasks to compute at once: one on a CPU if each has kernels of its own, which is faster."""
    return 1 if config.learner != "metric" and jax.default_backend() == "cpu" else None


def _of_order(config: ConfigDict, first_order: float) -> ConfigDict:
    variant = config.copy_and_resolve_references()
    variant.inner.first_order = first_order
    return variant
