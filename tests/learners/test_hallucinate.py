"""Synthetic rows beside real ones, against doing it by hand."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fsjax import heads
from fsjax.encoders.transfer import frozen, passed_on
from fsjax.learners import metric
from fsjax.learners.hallucinate import (
    FEATURES,
    by_both,
    by_prototype,
    by_side,
    equal_weights,
    hallucinate,
    missing_weights,
)
from fsjax.types import Episode, Generator, Inputs, Network, Support

RNG = np.random.default_rng(0)
KEY = jax.random.key(0)
WAYS, INPUTS, FEATURE_SIZE, GENERATED = 3, 4, 5, 2


def apply(params, inputs, *, weight=None, stats=None, key=None, train=False):
    return inputs.values["x"] @ params, {}


NETWORK = Network(lambda key, inputs: jax.random.normal(key, (INPUTS, FEATURE_SIZE)), apply)
# Rows are their class's prototype, moved by something learned, something noisy and the side.
GENERATOR = Generator(
    lambda key, examples: {"move": jnp.arange(examples.rows.shape[1]) / 10.0},
    lambda params, condition, key: (
        condition.prototype
        + params["move"]
        + condition.side.sum(1, keepdims=True)
        + jax.random.normal(key, condition.prototype.shape)
    ),
)


def inputs(rows):
    x = jnp.array(RNG.normal(size=(rows, INPUTS)), jnp.float32)
    return Inputs({"x": x}, {"x": jnp.ones(rows)})


EYE = np.eye(WAYS, dtype=np.float32)
TEXT = jnp.array(RNG.normal(size=(WAYS, 2)), jnp.float32)
SIDE = Inputs({"text": TEXT}, {"text": jnp.ones(WAYS)})
SUPPORT = Support(inputs(6), jnp.array(EYE[[0, 1, 2, 1, 1, 2]]).at[5].set(0.0), SIDE)
EPISODE = Episode(SUPPORT, inputs(4), jnp.array(EYE[[0, 1, 2, 0]]).at[3].set(0.0))


def learner_of(weights, **options):
    wrapped = metric(passed_on(FEATURES), heads.prototype())
    return hallucinate(NETWORK, wrapped, GENERATOR, weights=weights, **options)


def logits_of(learner, params, support=SUPPORT, **options):
    task = learner.adapt(params, support, **options)
    return learner.predict(params, task, EPISODE.query, **options)


def test_without_synthetic_rows_it_is_the_learner_on_features_of_the_network():
    learner, plain = learner_of(equal_weights(0)), metric(NETWORK, heads.prototype())
    params = jax.jit(learner.init)(KEY, SUPPORT)
    alike = {"network": params["network"], "head": params["learner"]["head"]}
    np.testing.assert_allclose(
        jax.jit(lambda: logits_of(learner, params))(), logits_of(plain, alike), rtol=1e-5
    )


DESCRIBED = pytest.mark.parametrize(
    "describe, of_prototype, of_side",
    [(by_prototype, 1, 0), (by_side("text"), 0, 1), (by_both("text"), 1, 1)],
)


@DESCRIBED
@pytest.mark.parametrize("total", [0.5, 3.0])
def test_prototypes_are_means_of_real_and_synthetic_rows(describe, of_prototype, of_side, total):
    learner = learner_of(equal_weights(GENERATED, total=total), describe=describe)
    params = learner.init(KEY, SUPPORT)
    z = np.asarray(SUPPORT.inputs.values["x"] @ params["network"])
    noise = np.asarray(
        jax.random.normal(jax.random.split(KEY, 3)[2], (WAYS * GENERATED, FEATURE_SIZE))
    )
    prototypes = []
    for way in range(WAYS):
        real = z[np.asarray(SUPPORT.labels[:, way]) == 1]
        move = np.arange(FEATURE_SIZE) / 10 + of_side * np.sum(TEXT[way])
        made = of_prototype * real.mean(0) + move + noise[GENERATED * way :][:GENERATED]
        prototypes.append((real.sum(0) + total * made.mean(0)) / (len(real) + total))
    query = np.asarray(EPISODE.query.values["x"] @ params["network"])
    apart = ((query[:, None] - np.array(prototypes)) ** 2).sum(-1)
    expected = -apart / np.exp(params["learner"]["head"]["log_temperature"])
    np.testing.assert_allclose(logits_of(learner, params), expected, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(
        logits_of(learner, params, key=None), logits_of(learner, params), rtol=0
    )
    assert np.abs(logits_of(learner, params, key=jax.random.key(1)) - expected).max() > 1e-2


def test_classes_without_any_row_are_known_by_rows_made_of_their_descriptions():
    learner = learner_of(equal_weights(GENERATED), describe=by_both("text"))
    params = learner.init(KEY, SUPPORT)
    none = SUPPORT._replace(inputs=inputs(0), labels=jnp.zeros((0, WAYS)))
    padded = SUPPORT._replace(labels=jnp.zeros_like(SUPPORT.labels))
    found, expected = (logits_of(learner, params, support) for support in (none, padded))
    np.testing.assert_allclose(found, expected, rtol=1e-5)
    assert np.ptp(found, axis=1).min() > 1e-2


@DESCRIBED
def test_of_a_class_of_which_nothing_is_known_no_synthetic_row_is_made_or_learned(
    describe, of_prototype, of_side
):
    learner = learner_of(equal_weights(GENERATED), describe=describe)
    params = learner.init(KEY, SUPPORT)
    told = Inputs({"text": TEXT}, {"text": jnp.array([1.0, 1.0, 0.0])})
    labels = SUPPORT.labels.at[:, 1:].set(0.0)
    episode = EPISODE._replace(support=SUPPORT._replace(labels=labels, side=told))
    made = learner.rows(params, episode, KEY)[1][10:]
    assert np.any(made, axis=0).tolist() == [True, of_side == 1, False]
    weight = learner.examples(params, episode, KEY).weight
    np.testing.assert_array_equal(weight, [1, of_side == 1, 0, 0])


def test_a_generator_that_is_told_descriptions_alone_makes_no_row_of_a_class_without_one():
    learner = learner_of(equal_weights(GENERATED), describe=by_side("text"))
    params = learner.init(KEY, SUPPORT)
    told = Inputs({"text": TEXT}, {"text": jnp.array([1.0, 0.0, 1.0])})
    episode = EPISODE._replace(support=SUPPORT._replace(side=told))
    made = learner.rows(params, episode, KEY)[1][10:]
    assert np.any(made, axis=0).tolist() == [True, False, True]


def test_a_class_gets_as_many_synthetic_rows_as_it_lacks():
    counts = jnp.array([1.0, 2.5, 3.0, 7.0, 0.0])
    weights = missing_weights(3)(counts)
    np.testing.assert_allclose(weights.sum(1), [2.0, 0.5, 0.0, 0.0, 3.0])
    assert set(np.unique(weights)) == {0.0, 0.5, 1.0}


def test_examples_are_queries_beside_what_is_known_of_their_classes():
    learner = learner_of(equal_weights(GENERATED), describe=by_both("text"))
    params = learner.init(KEY, SUPPORT)
    examples = jax.jit(learner.examples)(params, EPISODE, KEY)
    z, query = (x.values["x"] @ params["network"] for x in (SUPPORT.inputs, EPISODE.query))
    np.testing.assert_allclose(examples.rows[:3], query[:3], rtol=1e-5)
    np.testing.assert_array_equal(examples.weight, [1, 1, 1, 0])
    assert not np.any(examples.rows[3])
    means = [z[0], (z[1] + z[3] + z[4]) / 3, z[2]]
    np.testing.assert_allclose(examples.condition.prototype[:3], means, rtol=1e-5)
    np.testing.assert_array_equal(examples.condition.side[:3], TEXT)


@pytest.mark.parametrize("share", [0.0, 0.25, 0.6])
def test_members_of_triplets_are_all_rows_the_synthetic_ones_in_the_share_asked_for(share):
    learner = learner_of(equal_weights(GENERATED, total=0.3), share=share)
    params = learner.init(KEY, SUPPORT)
    z, y = jax.jit(learner.rows)(params, EPISODE, KEY)
    assert z.shape == (6 + 4 + WAYS * GENERATED, FEATURE_SIZE)
    np.testing.assert_array_equal(y[:10], np.concatenate([SUPPORT.labels, EPISODE.targets]))
    np.testing.assert_allclose(y[10:].sum() / y.sum(), share, rtol=1e-5)
    np.testing.assert_array_equal(y[10:].argmax(1), np.repeat(range(WAYS), GENERATED) * (share > 0))


def test_where_no_class_lacks_a_row_the_real_rows_alone_make_triplets():
    learner = learner_of(missing_weights(1))
    rows = inputs(60)
    episode = Episode(SUPPORT, rows, jnp.array(EYE[np.arange(60) % WAYS]))
    y = jax.jit(learner.rows)(learner.init(KEY, SUPPORT), episode, KEY)[1]
    np.testing.assert_array_equal(y[66:], np.zeros((WAYS, WAYS)))
    np.testing.assert_array_equal(y[:66], np.concatenate([SUPPORT.labels, episode.targets]))


def test_triplets_do_not_train_the_generator_but_queries_do():
    learner = learner_of(equal_weights(GENERATED))
    params = learner.init(KEY, SUPPORT)

    def by_rows(params):
        return jnp.square(learner.rows(params, EPISODE, KEY)[0]).sum()

    def by_queries(params):
        return jnp.square(logits_of(learner, params, key=KEY, train=True)).sum()

    assert not np.any(jax.grad(by_rows)(params)["generator"]["move"])
    assert np.all(jax.grad(by_queries)(params)["generator"]["move"])


def test_no_gradient_reaches_a_frozen_network_which_begins_as_it_was_given():
    given = jnp.ones((INPUTS, FEATURE_SIZE))
    network = frozen(NETWORK, given)
    learner = metric(network, heads.prototype())
    params = learner.init(KEY, SUPPORT)
    np.testing.assert_array_equal(params["network"], given)
    gradients = jax.grad(lambda params: jnp.square(logits_of(learner, params)).sum())(params)
    assert not np.any(gradients["network"]) and np.any(gradients["head"]["log_temperature"])


@pytest.mark.parametrize("share", [-0.1, 1.0])
def test_a_share_that_is_none_is_refused(share):
    with pytest.raises(ValueError, match="share of synthetic rows"):
        learner_of(equal_weights(1), share=share)
