"""Evaluation: the episodes that are drawn, and what a prediction may depend on."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fsjax.evaluation.episodic import FIGURES, episode_logits, evaluate, is_transductive
from fsjax.evaluation.figures import accuracy
from fsjax.heads.distances import squared_euclidean
from fsjax.heads.prototype import class_means, prototype
from fsjax.learners.metric import metric
from fsjax.types import Episode, Inputs, Learner, Network, Support

IDENTITY = Network(lambda key, inputs: {}, lambda params, inputs, **_: (inputs.values["x"], {}))
PROTOTYPE = metric(IDENTITY, prototype())
PARAMS = {"network": {}, "head": {"log_temperature": jnp.zeros(())}}
KEY = jax.random.key(0)


@jax.tree_util.Partial
def sample(key) -> Episode:
    """Two ways, two shots, three queries of each; one draw of random numbers."""
    labels = jnp.eye(2)[jnp.array([0, 0, 1, 1, 0, 0, 0, 1, 1, 1])]
    x = jax.random.normal(key, (10, 2)) + labels

    def inputs(x):
        return Inputs({"x": x}, {"x": jnp.ones(len(x))})

    support = Support(inputs(x[:4]), labels[:4], Inputs({}, {}))
    return Episode(support, inputs(x[4:]), labels[4:])


def centred() -> Learner:
    """Moves the queries to the mean of the prototypes: the queries share information."""

    def predict(params, task, query, *, key=None, train=False):
        x = query.values["x"]
        return -squared_euclidean(x - x.mean(0) + task.mean(0), task)

    def adapt(params, support, *, key=None, train=False):
        return class_means(support.inputs.values["x"], support.labels)

    return Learner(None, adapt, predict)


def evaluated(**options):
    return evaluate(PROTOTYPE, PARAMS, KEY, sample=sample, **options)


@pytest.fixture(scope="module")
def figures():
    return evaluated(num_episodes=10)


def test_figures_are_those_of_a_loop_over_episodes(figures):
    assert set(figures) == {f.__name__ for f in FIGURES}

    @jax.jit
    def one(i):
        episode = sample(jax.random.fold_in(KEY, i))
        logits = episode_logits(PROTOTYPE, PARAMS, episode)
        return {f.__name__: f(logits, episode.targets) for f in FIGURES}

    loop = jax.tree.map(lambda *x: np.stack(x), *(one(i) for i in range(10)))
    jax.tree.map(partial(np.testing.assert_allclose, rtol=1e-5, atol=1e-6), loop, figures)


def test_neither_the_batch_size_nor_the_number_changes_an_episode(figures):
    more = evaluated(num_episodes=13, batch=4)
    assert more["reliability"].shape == (13, 3, 15)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b[:10], rtol=1e-5), figures, more)


def test_other_figures_can_be_asked_for():
    def largest(logits, targets):
        return logits.max()

    shapes = jax.eval_shape(lambda: evaluated(num_episodes=2, figures=(accuracy, largest)))
    assert set(shapes) == {"accuracy", "largest"}


def test_two_figures_of_one_name_are_refused():
    figures = (lambda logits, targets: logits.max(), lambda logits, targets: logits.min())
    with pytest.raises(ValueError, match="two figures are called <lambda>"):
        evaluated(num_episodes=2, figures=figures)


def test_prototypes_are_inductive_and_centred_queries_transductive():
    episode = sample(KEY)
    assert not is_transductive(PROTOTYPE, PARAMS, episode)
    assert is_transductive(centred(), PARAMS, episode)


@pytest.mark.parametrize("least", [-jnp.inf, jnp.finfo(jnp.float32).min / 2])
def test_a_class_that_is_no_answer_hides_nothing(least):
    def without_first(learner):
        def predict(*args, **options):
            return learner.predict(*args, **options).at[:, 0].set(least)

        return learner._replace(predict=predict)

    episode = sample(KEY)
    assert not is_transductive(without_first(PROTOTYPE), PARAMS, episode)
    assert is_transductive(without_first(centred()), PARAMS, episode)


def test_one_query_cannot_tell_whether_queries_share_information():
    episode = sample(KEY)
    query = jax.tree.map(lambda x: x[:1], episode.query)
    with pytest.raises(ValueError, match="an episode of one query cannot tell"):
        is_transductive(PROTOTYPE, PARAMS, Episode(episode.support, query, episode.targets[:1]))


@pytest.mark.parametrize("none", [-jnp.inf, jnp.finfo(jnp.float32).min / 2])
def test_a_class_that_is_no_answer_costs_what_a_guess_does(none):
    logits = jnp.array([[1.0, 2.0, none]])

    def predict(params, task, query, *, key=None, train=False):
        return jnp.tile(logits, (len(query.values["x"]), 1))

    @jax.tree_util.Partial
    def of_three(key):
        episode = sample(key)
        return episode._replace(targets=jnp.eye(3)[jnp.array([0, 0, 0, 1, 1, 2])])

    learner = Learner(None, lambda params, support, **_: (), predict)
    found = evaluate(learner, {}, KEY, sample=of_three, num_episodes=2, figures=FIGURES)
    costs = -jax.nn.log_softmax(logits[0, :2])
    expected = (3 * costs[0] + 2 * costs[1] + np.log(3)) / 6
    np.testing.assert_allclose(found["negative_log_likelihood"], expected, rtol=1e-6)
    np.testing.assert_allclose(found["accuracy"], 2 / 6)
