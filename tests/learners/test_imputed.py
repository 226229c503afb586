"""Features of absent modalities, where what they should be is known."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from fsjax import heads
from fsjax.encoders.multimodal import Multimodal, as_network
from fsjax.encoders.tabular import Encoded
from fsjax.fusion.pooled import Plain, mean_pool
from fsjax.generators import generator
from fsjax.generators.features import FeatureGenerator
from fsjax.learners import imputed, metric
from fsjax.objectives.regression import regression
from fsjax.training.state import init_state, train_chunk
from fsjax.types import Episode, Inputs, Support, Tokens

KEY = jax.random.key(0)
ROWS, WAYS, NOISE = 32, 4, 0.3
# What is seen by "ear" is a function of what is seen by "eye", and some noise.
HEARD = jnp.array([[1.0, 0.5, 0.0], [-0.5, 1.0, 0.3]])
EARS = jnp.array([2.0, 0.0, -1.0])  # their mean


def heard(eye):
    return EARS + jnp.tanh(eye) @ HEARD


def rows_of(key, rows=ROWS) -> Inputs:
    key_eye, key_noise = jax.random.split(key)
    eye = jax.random.normal(key_eye, (rows, 2))
    ear = heard(eye) + NOISE * jax.random.normal(key_noise, (rows, 3))
    # Two tokens whose mean is the row; the third is padding that holds anything.
    ears = jnp.stack([ear + 1.0, ear - 1.0, 9.0 * jnp.ones_like(ear)], 1)
    mask = jnp.broadcast_to(jnp.array([1.0, 1.0, 0.0]), (rows, 3))
    values = {"eye": Tokens(eye[:, None], jnp.ones((rows, 1))), "ear": Tokens(ears, mask)}
    return Inputs(values, {m: jnp.ones(rows) for m in values})


def without(inputs: Inputs, **absent) -> Inputs:
    """Absent rows of a modality hold nothing that may be read."""
    values, present = dict(inputs.values), dict(inputs.present)
    for m, rows in absent.items():
        rows = jnp.asarray(rows)
        present[m] = present[m].at[rows].set(0.0)
        holds_nan = values[m].values.at[rows].set(jnp.nan)
        values[m] = Tokens(holds_nan, values[m].mask)
    return Inputs(values, present)


@jax.tree_util.Partial
def episodes(key) -> Episode:
    key_support, key_query, key_absent = jax.random.split(key, 3)
    labels = jnp.eye(WAYS)[jnp.arange(ROWS) % WAYS]
    side = Inputs({}, {})
    query = rows_of(key_query)
    # A third of the rows lack the ear: nothing can be learned from what they hold.
    there = jax.random.bernoulli(key_absent, 2 / 3, (ROWS,))
    tokens = query.values["ear"]
    hidden = tokens._replace(values=jnp.where(there[:, None, None], tokens.values, jnp.nan))
    values = query.values | {"ear": hidden}
    query = Inputs(values, query.present | {"ear": there.astype(jnp.float32)})
    return Episode(Support(rows_of(key_support), labels, side), query, labels)


NETWORK = Multimodal({"ear": Encoded(), "eye": Encoded()}, Plain())
FILLING = generator(FeatureGenerator((16,)), noise=0)
LEARNER = imputed(
    as_network(NETWORK),
    as_network(NETWORK, method="encode"),
    metric(as_network(NETWORK), heads.prototype()),
    FILLING,
    pool=mean_pool,
)


@pytest.fixture(scope="module")
def params():
    start = jax.jit(LEARNER.init)(KEY, episodes(KEY).support)
    optimizer = optax.adam(1e-2)
    state, metrics = train_chunk(
        init_state(KEY, start, optimizer),
        sample=episodes,
        objective=regression(FILLING, LEARNER.examples),
        optimizer=optimizer,
        num_steps=400,
    )
    assert metrics["loss"][0] > 1 > metrics["loss"][-50:].mean()
    return state.params


def test_what_is_filled_in_is_nearer_to_the_truth_than_the_mean_is(params):
    rows = rows_of(jax.random.key(9), 1000)
    truth = np.asarray(mean_pool(rows.values["ear"]))
    blind = rows._replace(present=rows.present | {"ear": jnp.zeros(1000)})
    made = jax.jit(LEARNER.filled)(params, blind)
    error = np.square(mean_pool(made.values["ear"]) - truth).mean()
    of_mean = np.square(np.asarray(EARS) - truth).mean()
    # Nothing explains the noise, unless what is absent is read.
    assert NOISE**2 * 0.9 < error < 1.4 * NOISE**2 < of_mean / 2
    np.testing.assert_array_equal(made.present["ear"], 1.0)


def test_rows_that_lack_nothing_or_everything_are_left_as_they_are(params):
    rows = rows_of(KEY, 4)
    gone = rows._replace(
        present={"eye": jnp.array([1.0, 1, 0, 0]), "ear": jnp.array([1.0, 0, 1, 0])}
    )
    made = jax.jit(LEARNER.filled)(params, gone)
    for m, kept in (("ear", [0, 2, 3]), ("eye", [0, 1, 3])):
        for before, after in zip(rows.values[m], made.values[m], strict=True):
            np.testing.assert_array_equal(after[np.array(kept)], before[np.array(kept)])
    np.testing.assert_array_equal(made.present["ear"], [1, 1, 1, 0])
    np.testing.assert_array_equal(made.values["ear"].mask[1], [1, 0, 0])


def test_logits_are_those_of_rows_that_are_filled_in_by_hand_and_absent_values_never_leak(params):
    episode = episodes(KEY)
    inputs = without(episode.support.inputs, ear=[0, 5])
    support, query = episode.support._replace(inputs=inputs), without(episode.query, eye=[1, 2])

    @jax.jit
    def logits(params, support, query):
        return LEARNER.predict(params, LEARNER.adapt(params, support), query)

    def by_hand(inputs):
        means = {m: np.nan_to_num(mean_pool(x)) for m, x in inputs.values.items()}
        there = {m: np.asarray(x) for m, x in inputs.present.items()}
        made = dict(means)
        for m, other in (("ear", "eye"), ("eye", "ear")):
            layers = params["generator"][m]["Perceptron_0"]
            known = means[other] * there[other][:, None]
            x = np.concatenate([0 * means[m], known, there[other][:, None]], 1)
            x = x @ layers["Dense_0"]["kernel"] + layers["Dense_0"]["bias"]
            x = np.where(x > 0, x, 0.2 * x)
            fill = x @ layers["Dense_1"]["kernel"] + layers["Dense_1"]["bias"]
            absent = (there[m] == 0) & (there[other] == 1)
            made[m] = np.where(absent[:, None], fill, means[m] * there[m][:, None])
        return np.concatenate([made["ear"], made["eye"]], 1)

    z, asked = by_hand(support.inputs), by_hand(query)
    labels = np.asarray(support.labels)
    prototypes = labels.T @ z / labels.sum(0)[:, None]
    apart = ((asked[:, None] - prototypes) ** 2).sum(-1)
    expected = -apart / np.exp(params["head"]["log_temperature"])
    np.testing.assert_allclose(logits(params, support, query), expected, rtol=1e-3, atol=1e-4)


def test_a_modality_is_learned_from_rows_that_have_it_and_another_that_is_shown():
    episode = episodes(KEY)
    episode = episode._replace(targets=episode.targets.at[0].set(0.0))
    found = jax.jit(LEARNER.examples)({"network": {}}, episode, KEY)
    has_ear = np.concatenate([np.ones(ROWS), episode.query.present["ear"]])
    shown = {m: np.asarray(x.condition.side[:, -1]) for m, x in found.items()}
    given = np.arange(2 * ROWS) != ROWS
    np.testing.assert_array_equal(found["ear"].weight, given * has_ear * shown["ear"])
    np.testing.assert_array_equal(found["eye"].weight, given * shown["eye"])
    assert 0.5 < shown["ear"].mean() < 1 and np.all(shown["eye"] <= has_ear)
    assert not np.any(found["ear"].condition.prototype)
    assert np.isfinite(found["ear"].rows).all()


def test_one_modality_alone_is_refused():
    support = episodes(KEY).support
    inputs = Inputs(*({"eye": part["eye"]} for part in support.inputs))
    with pytest.raises(ValueError, match="the inputs have one alone: eye"):
        LEARNER.init(KEY, support._replace(inputs=inputs))
