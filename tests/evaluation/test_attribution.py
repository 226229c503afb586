"""Shapley values against every order in which modalities can arrive."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fsjax.evaluation.attribution import attribute, log_probability, shapley_weights
from fsjax.evaluation.episodic import episode_logits
from fsjax.evaluation.figures import accuracy
from fsjax.types import Episode, Inputs, Learner, Support

RNG = np.random.default_rng(0)
NAMES = ("audio", "image", "text", "touch")


def adapt(params, support, *, key=None, train=False):
    return support


def predict(params, task, query, *, key=None, train=False):
    """Prototypes on a product of modalities, so that none is worth the same beside others."""

    def features(inputs):
        parts = [inputs.values[m] * inputs.present[m][:, None] for m in sorted(inputs.values)]
        together = sum(parts)
        return jnp.concatenate([together, jnp.tanh(parts[0] * parts[-1])], axis=1)

    means = task.labels.T @ features(task.inputs)
    return params * (features(query) @ means.T)


LEARNER = Learner(None, adapt, predict)


def inputs(names, labels):
    """The first modality tells nothing."""
    values = {
        m: jnp.asarray(RNG.normal(size=(len(labels), 4)) + (m != "audio") * np.eye(4)[labels])
        for m in names
    }
    present = {m: jnp.asarray(RNG.integers(0, 2, len(labels)), jnp.float32) for m in names}
    return Inputs(values, present)


def episode(names=NAMES):
    labels = np.arange(8) % 4
    eye = jnp.eye(4)[labels]
    return Episode(Support(inputs(names, labels), eye, Inputs({}, {})), inputs(names, labels), eye)


@jax.jit
def logits_of(episode, kept):
    def of(inputs):
        return inputs._replace(present={m: x * kept[m] for m, x in inputs.present.items()})

    support = episode.support._replace(inputs=of(episode.support.inputs))
    return episode_logits(LEARNER, 1.0, episode._replace(support=support, query=of(episode.query)))


@pytest.mark.parametrize("figure", [accuracy, log_probability])
@pytest.mark.parametrize("jitted", [False, True])
def test_values_are_means_over_all_orders_and_add_up(figure, jitted):
    one = episode()

    def worth(kept):
        kept = {m: float(m in kept) for m in NAMES}
        return float(figure(logits_of(one, kept), one.targets))

    gains = {m: [] for m in NAMES}
    for order in itertools.permutations(NAMES):
        for place, name in enumerate(order):
            gains[name].append(worth(order[: place + 1]) - worth(order[:place]))

    def ours(episode):
        return attribute(LEARNER, 1.0, episode, figure=figure)

    found = (jax.jit(ours) if jitted else ours)(one)
    for name in NAMES:
        assert float(found.shapley[name]) == pytest.approx(np.mean(gains[name]), abs=1e-4)
        without = worth([m for m in NAMES if m != name])
        lost = float(found.leave_one_out[name])
        assert lost == pytest.approx(worth(NAMES) - without, abs=1e-4)
    total = sum(map(float, found.shapley.values()))
    assert total == pytest.approx(float(found.full - found.empty), abs=1e-4)
    assert max(map(abs, gains["image"])) > 0.01


def test_of_one_modality_it_is_all_and_of_six_there_are_too_many():
    one = episode(("text",))
    found = attribute(LEARNER, 1.0, one)
    assert found.shapley["text"] == found.leave_one_out["text"] == found.full - found.empty
    with pytest.raises(ValueError, match="64 subsets"):
        attribute(LEARNER, 1.0, episode(tuple("abcdef")))


def test_values_are_the_mean_over_all_orders():
    worth = np.random.default_rng(0).normal(size=(5, 8))
    expected = np.zeros((5, 3))
    for order in itertools.permutations(range(3)):
        seen = 0
        for modality in order:
            more = seen | 1 << (2 - modality)
            expected[:, modality] += (worth[:, more] - worth[:, seen]) / 6
            seen = more
    np.testing.assert_allclose(worth @ shapley_weights(3).T, expected, atol=1e-12)
