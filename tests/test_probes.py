"""Probe tasks with a known answer: whole systems learn to weigh modalities of any scale."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from fsjax.data.synthetic import bayes_accuracy, gaussian_episode, prototype_accuracy
from fsjax.encoders.multimodal import multimodal
from fsjax.encoders.tabular import MLP
from fsjax.evaluation.episodic import evaluate
from fsjax.evaluation.figures import accuracy
from fsjax.evaluation.intervals import Interval, mean_ci95
from fsjax.fusion.attention import Attention
from fsjax.fusion.pooled import Concat
from fsjax.heads.prototype import prototype
from fsjax.learners.metric import metric
from fsjax.objectives.episodic import over_tasks, query_loss
from fsjax.training.state import init_state, train_chunk
from fsjax.types import Episode, Inputs, Learner, Support

DIMENSIONS, SPREAD, SHOTS, EPISODES = 4, 1.0, 1, 1500
SCALES = {"loud": 5.0, "quiet": 0.2}
TASKS = 8
# A hair for training that ends; the interval of the evaluation comes on top.
TOLERANCE = 0.002


def claim(accuracy, modalities: int) -> float:
    return float(accuracy(dimensions=modalities * DIMENSIONS, spread=SPREAD, shots=SHOTS))


def draw(keep: dict, key: jax.Array, queries: int) -> Episode:
    """An episode whose modalities are present if `keep` is one."""
    episode = gaussian_episode(
        key,
        scales=SCALES,
        dimensions=DIMENSIONS,
        nuisances=DIMENSIONS,
        spread=SPREAD,
        shots=SHOTS,
        queries=queries,
    )

    def masked(inputs):
        return inputs._replace(present={m: x * keep[m] for m, x in inputs.present.items()})

    support = episode.support._replace(inputs=masked(episode.support.inputs))
    return episode._replace(support=support, query=masked(episode.query))


def draw_tasks(keep: dict, key: jax.Array) -> Episode:
    return jax.vmap(lambda k: draw(keep, k, 5))(jax.random.split(key, TASKS))


def draw_one(keep: dict, key: jax.Array) -> Episode:
    return draw(keep, key, 20)


def system(fusion, features: int, rate: float, steps: int):
    """A learner of linear encoders, its objective, its optimiser and the steps it takes."""
    encoders = {m: MLP(hidden=(), features=features) for m in SCALES}
    learner = metric(multimodal(encoders, fusion), prototype())
    optimizer = optax.adam(optax.cosine_decay_schedule(rate, steps))
    return learner, over_tasks(query_loss(learner)), optimizer, steps


SYSTEMS = {
    "concat": system(Concat(), 16, 0.01, 1000),
    "attention": system(Attention(features=16, heads=2), 16, 0.01, 1000),
}


def trained_accuracy(name: str, keep: dict) -> Interval:
    """Trains, and evaluates on episodes never seen."""
    learner, objective, optimizer, steps = SYSTEMS[name]
    keep = {m: jnp.asarray(x) for m, x in keep.items()}
    state = init_state(jax.random.key(0), initial(learner), optimizer)
    sample = jax.tree_util.Partial(draw_tasks, keep)
    state, _ = train_chunk(
        state, sample=sample, objective=objective, optimizer=optimizer, num_steps=steps
    )
    figures = evaluate(
        learner,
        state.params,
        jax.random.key(1),
        sample=jax.tree_util.Partial(draw_one, keep),
        num_episodes=EPISODES,
        batch=50,
        figures=(accuracy,),
    )
    return mean_ci95(figures["accuracy"])


def initial(learner: Learner):
    """Parameters from rows of about the right scale, which set the first temperature."""
    x = np.random.default_rng(0).normal(size=(6, 2 * DIMENSIONS)).astype(np.float32)
    rows = Inputs({m: 2 * x * s for m, s in SCALES.items()}, {m: np.ones(6) for m in SCALES})
    labels = np.repeat(np.eye(2, dtype=np.float32), 3, axis=0)
    return jax.jit(learner.init)(jax.random.key(2), Support(rows, labels, Inputs({}, {})))


BOTH = {"loud": 1.0, "quiet": 1.0}


@pytest.mark.parametrize("name", SYSTEMS)
def test_a_trained_fusion_reaches_the_accuracy_that_is_known(name):
    reached = trained_accuracy(name, BOTH)
    slack = reached.half_width + TOLERANCE
    assert reached.mean > claim(prototype_accuracy, 2) - slack
    assert reached.mean < claim(bayes_accuracy, 2) + slack


def test_a_model_that_ignores_a_modality_stays_at_the_accuracy_of_the_other():
    reached = trained_accuracy("concat", {"loud": 1.0, "quiet": 0.0})
    slack = reached.half_width + TOLERANCE
    assert claim(prototype_accuracy, 1) - slack < reached.mean < claim(bayes_accuracy, 1) + slack
    assert reached.mean + slack < claim(prototype_accuracy, 2) - 0.03
