"""From a config to what trains a relation by triplets, and a generator beside its learner."""

import jax
import jax.numpy as jnp
from ml_collections import ConfigDict

from experiments.build.generation import critic, generator, triplets
from experiments.build.heads import LOSSES, head
from experiments.build.networks import embed_all
from experiments.build.parts import Model
from experiments.build.tasks import WATCH, Training, on_tasks
from experiments.dealer import first_task
from experiments.names import named
from fsjax.learners.hallucinate import Hallucinator
from fsjax.objectives.adversarial import adversarial
from fsjax.objectives.answers import Known, adapted, answer_loss, of_those_known
from fsjax.objectives.combined import only, together
from fsjax.objectives.ranking import ranking
from fsjax.objectives.variational import variational
from fsjax.types import Array, Autoencoder, Examples, Key, Objective, Params, Pool

BY_TRIPLETS = ("triangular",)


def by_triplets(config: ConfigDict) -> bool:
    """Whether the head is one that is trained by triplets."""
    return config.head in BY_TRIPLETS


def ranked(config: ConfigDict, model: Model) -> Objective:
    """Training of a relation by triplets of the rows of an episode.

    Raises:
      ValueError: if the head has none.
    """
    if not by_triplets(config):
        raise ValueError(
            f"config.objective='ranking' trains the heads {', '.join(BY_TRIPLETS)} and not "
            f"config.head={config.head!r}"
        )
    relate = head(config).relate

    def relation(params: Params, anchors: Array, members: Array) -> Array:
        return relate(params["head"], anchors, members)

    return ranking(embed_all(config, model.network), relation, triplets(config))


def _generation(config: ConfigDict, model: Model, known: Known | None) -> Objective:
    """What trains a generator, and what trains the learner that it serves.

    The classification of queries reaches the generator too, so that what it makes is of use.
    """
    settings, learner = config.generation, model.learner
    answer = of_those_known(adapted(learner), known)
    classify = answer_loss(answer, named(LOSSES, config, "loss"), watch=WATCH)
    parts = {"generator": _generator(config, learner)}
    if by_triplets(config):
        relate = head(config).relate

        def relation(params: Params, anchors: Array, members: Array) -> Array:
            return relate(params["learner"]["head"], anchors, members)

        parts["ranking"] = ranking(learner.rows, relation, triplets(config))
        classify = only(("generator",), classify)
    return together(parts | {"queries": classify}, {"queries": settings.classify})


def _generator(config: ConfigDict, learner: Hallucinator) -> Objective:
    made = generator(config)
    if isinstance(made, Autoencoder):
        return variational(made, learner.examples)
    return adversarial(made, critic(config), learner.examples, penalty=config.generation.penalty)


def generated(config: ConfigDict, made: Model, train: Pool, known: Known | None = None) -> Training:
    """Training of a learner, the generator that serves it and, if it has one, its critic."""
    training = on_tasks(_generation)(config, made, train, known=known)
    if isinstance(generator(config), Autoencoder):
        return training

    def init(key: Key, params: Params) -> Params:
        def examples(params: Params, key: Key) -> Examples:
            task = first_task(training.sample(key))
            return made.learner.examples(params, task, key)

        shapes = jax.eval_shape(examples, params, key)
        rows = jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), shapes)
        return params | {"critic": critic(config).init(key, rows)}

    return training._replace(init=init)
