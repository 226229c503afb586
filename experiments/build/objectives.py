"""From a config to what trains a model."""

from functools import partial

import jax
from ml_collections import ConfigDict

from experiments.build.distilling import Teacher, distilled
from experiments.build.generating import by_triplets, generated, ranked
from experiments.build.generation import imputation
from experiments.build.heads import HEADS, LATE, LOSSES, OF_SUPPORT, UNCERTAIN, head
from experiments.build.learners import AS_METRIC, EMBEDS, GENERATE, LEARNERS, TUNED, known_by
from experiments.build.networks import computed, embed_all
from experiments.build.parts import DISTILLATION, SPREADS, TRAIN_SPREAD, Model
from experiments.build.tasks import WATCH, Training, on_tasks
from experiments.dealer import may_lack_rows, training_rows
from experiments.devices import spreads_rows
from experiments.names import check_name, named, parse_names
from fsjax.episodes.missing import see_through
from fsjax.learners.embedding import embed_together
from fsjax.learners.maml import AdaptedTask, along_path
from fsjax.objectives.answers import (
    Known,
    adapted,
    answer_loss,
    fitted,
    known_of,
    of_those_known,
)
from fsjax.objectives.combined import together
from fsjax.objectives.leave_one_out import leave_one_out
from fsjax.objectives.multi_step import annealed_importance, multi_step_loss
from fsjax.objectives.regression import regression
from fsjax.objectives.reptile import reptile
from fsjax.objectives.supervised import init_classes, supervised
from fsjax.objectives.views import over_views, views
from fsjax.types import Key, Objective, Params, Pool

# What trains a learner where the objective is "own"; for all others that is "episodic", if their
# head is none of those that are trained by triplets.
OWN = {"maml_pp": "multi_step", "reptile": "reptile", "imputed": "imputation"}
OWN |= dict.fromkeys(GENERATE, "generation")
# Learners of which a part is trained by their own objective alone.
OWN_ALONE = ("imputed",)
OTHERS = tuple(name for name in LEARNERS if name not in OWN_ALONE)
# Learners that take gradient steps, through each of which the outer gradient goes.
THROUGH_STEPS = tuple(name for name in OTHERS if name not in {*EMBEDS, *GENERATE, *TUNED, "imaml"})
# Objectives that need no queries, as every row of an episode asks.
ALL_ASK = ("leave_one_out", "supervised", "ranking", "reptile")
# Those by which a row is compared with others of its class.
OTHERS_ANSWER = ("leave_one_out", "ranking")
# Those to which a class of which nothing is known is no answer.
KNOWING = ("episodic", "views", "multi_step", "generation", "imputation")
# The learners that an objective can train, where it cannot train all.
TRAINS = {
    "episodic": OTHERS,
    DISTILLATION: OTHERS,
    "leave_one_out": AS_METRIC,
    "supervised": AS_METRIC,
    "views": ("metric", "am3", "described"),
    "multi_step": THROUGH_STEPS,
    "ranking": ("metric",),
    "generation": GENERATE,
    "imputation": ("imputed",),
    "reptile": ("reptile", "maml", "anil", "boil"),
}


def training(
    config: ConfigDict, model: Model, train: Pool, teacher: Teacher | None = None
) -> Training:
    """The batches and the objective that a config names.

    Args:
      config: of the model.
      model: that is to be trained.
      train: the training classes.
      teacher: of a model whose objective is distillation; it can be absent where nothing is to be
        trained, as when parameters are restored.

    Raises:
      ValueError: if the objective cannot train the learner, or has no rows to train it by.
    """
    default = "ranking" if config.learner == "metric" and by_triplets(config) else "episodic"
    own = OWN.get(config.learner, default)
    name = own if config.objective == "own" else config.objective
    check_name(("own", *OBJECTIVES), name, "objective")
    make = OBJECTIVES[name]
    make = partial(make, teacher=teacher) if name == DISTILLATION else make
    make = partial(make, known=_known(config, train)) if name in KNOWING else make
    if spreads_rows(config):
        _check_spreads(config)
    learners = TRAINS.get(name, tuple(LEARNERS))
    if config.learner not in learners:
        raise ValueError(
            f"config.objective={name!r} trains the learners {', '.join(learners)} and not "
            f"config.learner={config.learner!r}: set one of them to its default"
        )
    if config.train.steps and not config.train.queries and name not in ALL_ASK:
        raise ValueError(
            f"config.train.queries=0 leaves nothing to learn to the objective {name!r} of "
            f"config.learner={config.learner!r}: ask for 1 or more, or for one of the objectives "
            f"{', '.join(ALL_ASK)}"
        )
    if config.train.steps and name in OTHERS_ANSWER:
        _check_others(config, name)
    return make(config, model, train)


def _check_others(config: ConfigDict, name: str) -> None:
    shots, queries = config.train.shots, config.train.queries
    most = shots if isinstance(shots, int) else max(shots)
    if most + queries < 2:
        raise ValueError(
            f"config.train.shots={shots} and config.train.queries={queries} are one row of a "
            f"class, and the objective {name!r} compares it with others: ask for 2 or more"
        )


def _check_spreads(config: ConfigDict) -> None:
    if config.learner not in SPREADS or config.objective not in TRAIN_SPREAD:
        has_tasks = config.objective != "supervised"
        mend = f"give each device tasks of its own, config.train.tasks={config.devices}"
        raise ValueError(
            f"config.devices={config.devices} spread the rows of one task, of the learners "
            f"{', '.join(SPREADS)} by the objectives {', '.join(TRAIN_SPREAD)}, not of "
            f"{config.learner} by {config.objective}: {mend if has_tasks else 'set it to 1'}"
        )


def _known(config: ConfigDict, train: Pool | None) -> Known | None:
    """The classes of a training task that a model knows, if there may be others and these are
    nothing to its head: at test they are no answer.
    """
    if config.head in UNCERTAIN or config.fusion in LATE or not may_lack_rows(config, train):
        return None
    return partial(known_of, told=known_by(config))


def _episodic(config: ConfigDict, model: Model, known: Known | None = None) -> Objective:
    loss = named(LOSSES, config, "loss")
    if config.learner in AS_METRIC:
        answer = fitted(embed_all(config, model.network), head(config))
    else:
        answer = adapted(model.learner)
    return answer_loss(of_those_known(answer, known), loss, watch=WATCH)


def _leave_one_out(config: ConfigDict, model: Model) -> Objective:
    loss = named(LOSSES, config, "loss")
    return leave_one_out(embed_together(model.network), head(config), loss, watch=WATCH)


def _views(config: ConfigDict, model: Model, known: Known | None) -> Objective:
    if model.fast is None:
        raise ValueError(
            "config.objective='views' encodes each row by itself and once: take config.norm="
            "calibrated or group, config.base.begins=tuned if there is a base (config.base.steps=0 "
            "is none) and, where rows are streamed, no encoder raw"
        )
    chosen = views(parse_names(config.modalities), **config.views)
    encode = computed(config, model.module, method="encode")
    loss = named(LOSSES, config, "loss")
    how = {"loss": loss, "watch": WATCH, "known": known}
    return over_views(encode, model.fast.learner, see_through, chosen, **how)


def _multi_step(config: ConfigDict, model: Model, known: Known | None) -> Objective:
    importance = annealed_importance(max(1, round(config.inner.multi_step * config.train.steps)))
    loss = named(LOSSES, config, "loss")
    return multi_step_loss(along_path(model.learner), importance, loss, watch=WATCH, known=known)


def _reptile(config: ConfigDict, model: Model) -> Objective:
    def adapted(task: AdaptedTask) -> Params:
        return {"network": task.network, "head": task.head}

    return reptile(model.learner, adapted, named(LOSSES, config, "loss"), watch=WATCH)


def _imputation(config: ConfigDict, model: Model, known: Known | None) -> Objective:
    filling = regression(imputation(), model.learner.examples)
    return together({"generator": filling, "queries": _episodic(config, model, known)}, {})


def _supervised(config: ConfigDict, model: Model, train: Pool) -> Training:
    if config.fusion in LATE:
        raise ValueError(
            "config.objective='supervised' learns classes of features that are fused, which "
            f"config.fusion={config.fusion!r} keeps apart: take another fusion"
        )
    if config.head in OF_SUPPORT:
        others = ", ".join(name for name in HEADS if name not in OF_SUPPORT)
        raise ValueError(
            "config.objective='supervised' learns a classifier of all training classes, and "
            f"config.head={config.head!r} has none without support rows: take one of {others}"
        )
    network, classifier = model.network, head(config)
    sample = training_rows(config, train)
    if idle := [name for name in ("warp", "drop", "cross", "alone") if config.train[name]]:
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
    "episodic": on_tasks(_episodic),
    DISTILLATION: distilled,
    "leave_one_out": on_tasks(_leave_one_out),
    "views": on_tasks(_views),
    "multi_step": on_tasks(_multi_step),
    "reptile": on_tasks(_reptile),
    "supervised": _supervised,
    "ranking": on_tasks(ranked),
    "generation": generated,
    "imputation": on_tasks(_imputation),
}
