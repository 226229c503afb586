"""Episodes seen in several ways, against a loop over the ways with rows encoded for each."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fsjax.encoders.multimodal import Multimodal, as_network, encoded
from fsjax.encoders.tabular import MLP
from fsjax.episodes.missing import see_through
from fsjax.evaluation.figures import accuracy
from fsjax.fusion.pooled import Concat
from fsjax.heads import prototype
from fsjax.learners.metric import metric
from fsjax.objectives.answers import known_of
from fsjax.objectives.episodic import query_loss
from fsjax.objectives.losses import cross_entropy
from fsjax.objectives.views import over_views, views
from fsjax.types import Episode, Inputs, Support

KEY, STEP = jax.random.key(0), jnp.zeros((), jnp.int32)
RNG = np.random.default_rng(0)
NAMES = ("audio", "image")
MODULE = Multimodal({m: MLP(hidden=(), features=3) for m in NAMES}, Concat())
LEARNER = metric(as_network(MODULE), prototype())


def rows(number):
    values = {m: jnp.asarray(RNG.normal(size=(number, 4)), jnp.float32) for m in NAMES}
    present = {m: jnp.ones(number) for m in NAMES}
    return Inputs(values, present | {"audio": present["audio"].at[0].set(0.0)})


LABELS = jnp.eye(2)[jnp.array([0, 1, 0, 1])]
EPISODE = Episode(Support(rows(4), LABELS, Inputs({}, {})), rows(4), LABELS.at[3].set(0.0))
PARAMS = LEARNER.init(KEY, EPISODE.support)


def test_ways_are_all_modalities_each_alone_and_every_two():
    _, support, query, weight = views("abc", alone=0.6, cross=1.2)
    np.testing.assert_array_equal(support[0] + query[0], [2, 2, 2])
    np.testing.assert_array_equal(support[1:4], np.eye(3))
    np.testing.assert_array_equal(query[1:4], np.eye(3))
    pairs = set(zip(support[4:].argmax(1).tolist(), query[4:].argmax(1).tolist(), strict=True))
    assert pairs == {(i, j) for i in range(3) for j in range(3) if i != j}
    np.testing.assert_allclose(weight, [1.0, *[0.2] * 3, *[0.2] * 6])
    assert len(views("abc", alone=1.0, cross=0.0).weight) == 4
    assert len(views("a", alone=1.0, cross=1.0).weight) == 1


def test_the_loss_and_its_gradient_are_those_of_a_loop_over_the_ways():
    ways = views(NAMES, alone=0.5, cross=0.25)

    @jax.jit
    @jax.value_and_grad
    def one(params, support, query, weight):
        # Each side is encoded as it is before anything is hidden, which such encoders ignore.
        shown = [dict(zip(NAMES, side, strict=True)) for side in (support, query)]
        seen = see_through(EPISODE, support=shown[0], query=shown[1])
        task = LEARNER.adapt(params, seen.support, train=True)
        logits = LEARNER.predict(params, task, seen.query, train=True)
        return weight * cross_entropy(logits, seen.targets)

    objective = over_views(
        as_network(MODULE, method="encode"),
        metric(as_network(encoded(MODULE)), prototype()),
        see_through,
        ways,
        watch={"accuracy": accuracy},
    )
    each = [one(PARAMS, *way) for way in zip(*ways[1:], strict=True)]
    value, gradient = jax.tree.map(lambda *x: sum(x), *each)
    for run in (jax.jit(objective), objective):
        ours, metrics = run(PARAMS, EPISODE, KEY, STEP)
        np.testing.assert_allclose(metrics["loss"], value, rtol=1e-5)
        jax.tree.map(partial(np.testing.assert_allclose, rtol=1e-4, atol=1e-5), ours, gradient)
    task = LEARNER.adapt(PARAMS, EPISODE.support)
    logits = LEARNER.predict(PARAMS, task, EPISODE.query)
    assert metrics["accuracy"] == pytest.approx(accuracy(logits, EPISODE.targets))


def test_one_modality_of_several_is_seen_as_if_there_were_no_other():
    module = Multimodal({"audio": MLP(hidden=(), features=3)}, Concat())
    encode, learner = as_network(module, method="encode"), metric(as_network(module), prototype())
    fast = metric(as_network(encoded(module)), prototype())
    params = jax.jit(learner.init)(KEY, EPISODE.support)
    own = over_views(encode, fast, see_through, views(("audio",)))
    seen = see_through(EPISODE, support={"audio": 1.0}, query={"audio": 1.0})
    assert float(seen.support.labels.sum()) == 3  # the row without audio is padding
    ours = jax.jit(own)(params, EPISODE, KEY, STEP)
    expected = jax.jit(query_loss(learner))(params, seen, KEY, STEP)
    jax.tree.map(partial(np.testing.assert_allclose, rtol=1e-4, atol=1e-6), ours, expected)


def test_a_class_of_which_a_view_shows_no_row_is_no_answer_there():
    ways = views(NAMES, alone=1.0)
    missing = EPISODE.support.inputs.present["audio"].at[2].set(0.0)  # of all rows of a class
    support = EPISODE.support._replace(
        inputs=EPISODE.support.inputs._replace(
            present=EPISODE.support.inputs.present | {"audio": missing}
        )
    )
    episode = EPISODE._replace(support=support)
    parts = (as_network(MODULE, method="encode"), metric(as_network(encoded(MODULE)), prototype()))

    def loss(ways, known):
        return jax.jit(over_views(*parts, see_through, ways, known=known))(
            PARAMS, episode, KEY, STEP
        )

    audio = ways._replace(support=ways.support[1:2], query=ways.query[1:2], weight=ways.weight[1:2])
    gradients, metrics = loss(audio, known_of)
    # Of the two classes one is left, which answers all that asks.
    assert metrics["loss"] == 0 and not any(x.any() for x in jax.tree.leaves(gradients))
    assert loss(audio, None)[1]["loss"] > 0
    others = ways._replace(weight=ways.weight * np.array([1.0, 0.0, 1.0], np.float32))
    for ours, theirs in zip(
        *(jax.tree.leaves(loss(others, k)) for k in (known_of, None)), strict=True
    ):
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-6)
