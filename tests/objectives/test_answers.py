"""Answers to the queries of an episode, on a linear network."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fsjax.evaluation.figures import accuracy
from fsjax.heads import matching, prototype, ridge
from fsjax.learners.embedding import embed_together
from fsjax.learners.metric import metric
from fsjax.objectives.answers import adapted, answer_loss, fitted, known_of, of_those_known
from fsjax.objectives.losses import cross_entropy
from fsjax.types import Episode, Inputs, Learner, Network, Support

RNG, KEY = np.random.default_rng(0), jax.random.key(0)
EYE = jnp.eye(3)


def rows(number: int) -> Inputs:
    x = jnp.array(RNG.normal(size=(number, 5)), jnp.float32)
    return Inputs({"x": x}, {"x": jnp.ones(number)})


EPISODE = Episode(
    Support(rows(4), EYE[jnp.array([0, 1, 2, 1])], Inputs({}, {})),
    rows(5),
    EYE[jnp.array([0, 1, 2, 2, 0])],
)
NETWORK = Network(
    lambda key, inputs: jax.random.normal(key, (5, 4)),
    lambda params, inputs, **_: (inputs.values["x"] @ params, {}),
)


@pytest.mark.parametrize("make", [prototype, matching, ridge])
def test_a_head_fitted_to_rows_embedded_together_answers_as_the_metric_learner(make):
    head = make()
    learner = metric(NETWORK, head)
    params = learner.init(KEY, EPISODE.support)
    ours = answer_loss(fitted(embed_together(NETWORK), head), watch={"accuracy": accuracy})
    theirs = answer_loss(adapted(learner), watch={"accuracy": accuracy})
    found, expected = (jax.jit(f)(params, EPISODE, KEY, 0) for f in (ours, theirs))
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5), found, expected
    )
    assert np.any(found[0]["network"]) and set(found[1]) == {"loss", "accuracy"}


@pytest.mark.parametrize("train", [True, False])
def test_a_learner_is_told_whether_it_trains_and_draws_from_two_keys(train):
    def adapt(params, support, *, key, train):
        return jax.random.uniform(key), train

    def predict(params, task, query, *, key, train):
        drawn, told = task
        assert told is train
        return jnp.array([drawn, jax.random.uniform(key), train])

    drawn, other, told = adapted(Learner(None, adapt, predict), train=train)(None, EPISODE, KEY)
    assert drawn != other and told == train


@pytest.mark.parametrize("described", [0.0, 1.0])
def test_a_class_of_which_nothing_is_known_is_no_answer(described):
    side = Inputs({"words": jnp.ones((3, 2))}, {"words": jnp.array([1.0, 1.0, described])})
    labels = EPISODE.support.labels.at[2].set(0.0)  # the only row of the last class
    episode = EPISODE._replace(support=EPISODE.support._replace(labels=labels, side=side))
    head = prototype()
    params = metric(NETWORK, head).init(KEY, EPISODE.support)
    answer = fitted(embed_together(NETWORK), head)
    ways = 3 if described else 2

    def loss(params):
        logits = answer(params, episode, KEY)[:, :ways]
        value = cross_entropy(logits, episode.targets[:, :ways])
        return value, {"loss": value}

    known = of_those_known(answer, partial(known_of, told=("words",)))
    found = jax.jit(answer_loss(known))(params, episode, KEY, 0)
    expected = jax.jit(jax.grad(loss, has_aux=True))(params)
    jax.tree.map(partial(np.testing.assert_allclose, rtol=1e-4, atol=1e-6), found, expected)
