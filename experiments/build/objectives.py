"""From a config to what trains a model."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import optax
from ml_collections import ConfigDict

from experiments.build.parts import LEARNERS, LOSSES, Model, head, model
from experiments.dealer import training_tasks
from experiments.devices import mesh
from experiments.names import named, pick
from fsjax.encoders.multimodal import as_network
from fsjax.episodes.rows import sample_rows
from fsjax.episodes.sample import bind_pool
from fsjax.evaluation.figures import accuracy
from fsjax.learners.maml import AdaptedTask, along_path
from fsjax.objectives.episodic import over_tasks, query_loss
from fsjax.objectives.leave_one_out import leave_one_out
from fsjax.objectives.multi_step import annealed, annealed_importance, multi_step_loss
from fsjax.objectives.reptile import reptile
from fsjax.objectives.supervised import init_classes, supervised
from fsjax.types import Key, Objective, Params, Pool, Sample

# What trains a learner where the objective is "own"; for all others that is "episodic".
OWN = {"maml_pp": "multi_step", "reptile": "reptile"}
# The learners that an objective can train, where it cannot train all.
TRAINS = {
    "leave_one_out": ("metric",),
    "supervised": ("metric",),
    "multi_step": tuple(name for name in LEARNERS if name != "metric"),
    "reptile": ("reptile", "maml", "anil", "boil"),
}
WATCH = {"accuracy": accuracy}


class Training(NamedTuple):
    """What a model is trained by."""

    sample: Sample
    objective: Objective
    init: Callable[[Key, Params], Params]  # a learner's parameters -> all that are trained


def training(config: ConfigDict, model: Model, train: Pool) -> Training:
    """The batches and the objective that a config names.

    Raises:
      ValueError: if the objective cannot train the learner.
    """
    own = OWN.get(config.learner, "episodic")
    name = own if config.objective == "own" else config.objective
    make = pick(OBJECTIVES, name, "objective")
    learners = TRAINS.get(name, tuple(LEARNERS))
    if config.learner not in learners:
        raise ValueError(
            f"config.objective={name!r} trains the learners {', '.join(learners)} and not "
            f"config.learner={config.learner!r}: set one of them to its default"
        )
    return make(config, model, train)


def _on_tasks(
    each: Callable[[ConfigDict, Model], Objective],
) -> Callable[[ConfigDict, Model, Pool], Training]:
    """Training by an objective of one task."""

    def of_model(config: ConfigDict, model: Model) -> Objective:
        at_once = config.train.block or block(config)
        return over_tasks(each(config, model), block=at_once, mesh=mesh(config))

    def make(config: ConfigDict, made: Model, train: Pool) -> Training:
        share = config.inner.first_order
        if 0 < share < 1:
            first, second = (_of_order(config, order) for order in (1.0, 0.0))
            objective = annealed(
                of_model(first, model(first)),
                of_model(second, model(second)),
                at=round(share * config.train.steps),
            )
        else:
            objective = of_model(config, made)
        return Training(training_tasks(config, train), objective, lambda key, params: params)

    return make


def block(config: ConfigDict) -> int | None:
    """Tasks to compute at once: one on a CPU if each has kernels of its own, which is faster."""
    return 1 if config.learner != "metric" and jax.default_backend() == "cpu" else None


def _of_order(config: ConfigDict, first_order: float) -> ConfigDict:
    variant = config.copy_and_resolve_references()
    variant.inner.first_order = first_order
    return variant


def _episodic(config: ConfigDict, model: Model) -> Objective:
    return query_loss(model.learner, named(LOSSES, config, "loss"), watch=WATCH)


def _leave_one_out(config: ConfigDict, model: Model) -> Objective:
    network, loss = as_network(model.module), named(LOSSES, config, "loss")
    return leave_one_out(network, head(config), loss, watch=WATCH)


def _multi_step(config: ConfigDict, model: Model) -> Objective:
    importance = annealed_importance(max(1, round(config.inner.multi_step * config.train.steps)))
    loss = named(LOSSES, config, "loss")
    return multi_step_loss(along_path(model.learner), importance, loss, watch=WATCH)


def _reptile(config: ConfigDict, model: Model) -> Objective:
    def adapted(task: AdaptedTask) -> Params:
        return {"network": task.network, "head": task.head}

    return reptile(model.learner, adapted, named(LOSSES, config, "loss"), watch=WATCH)


def _supervised(config: ConfigDict, model: Model, train: Pool) -> Training:
    network, classifier = as_network(model.module), head(config)
    sample = bind_pool(sample_rows, train, rows=config.train.rows)
    if idle := [name for name in ("warp", "drop") if config.train[name]]:
        raise ValueError(
            f"config.train.{idle[0]} changes episodes; supervised training has none: set it to 0"
        )

    def init(key: Key, params: Params) -> Params:
        rows = jax.eval_shape(sample, key)
        z, _ = jax.eval_shape(network.apply, params["network"], rows.inputs)
        sizes = {"features": z.shape[-1], "classes": rows.targets.shape[-1]}
        return params | {"classes": init_classes(key, classifier, params["head"], **sizes)}

    return Training(sample, supervised(network, classifier), init)


OBJECTIVES = {
    "episodic": _on_tasks(_episodic),
    "leave_one_out": _on_tasks(_leave_one_out),
    "multi_step": _on_tasks(_multi_step),
    "reptile": _on_tasks(_reptile),
    "supervised": _supervised,
}


def optimizer(config: ConfigDict) -> optax.GradientTransformation:
    """Adam with a rate that falls to zero along a cosine."""
    steps = max(config.train.steps, 1)
    return optax.adam(optax.cosine_decay_schedule(config.train.learning_rate, steps))
