"""The accuracies claimed, against the rules themselves on many tasks."""

import jax
import numpy as np
import pytest

from fsjax.data.synthetic import bayes_accuracy, gaussian_episode, prototype_accuracy

SCALES = {"a": 0.1, "b": 10.0}
TASKS, SPREAD, SHOTS, DIMENSIONS = 20000, 0.8, 2, 3


def draw(key):
    settings = {"dimensions": DIMENSIONS, "nuisances": 2, "spread": SPREAD, "shots": SHOTS}
    return gaussian_episode(key, scales=SCALES, queries=1, **settings)


@pytest.fixture(scope="module")
def episodes():
    return jax.jit(jax.vmap(draw))(jax.random.split(jax.random.key(1), TASKS))


def informative(inputs, modalities: str, shots: int) -> np.ndarray:
    """The informative features, back at scale one: [TASKS, 2, shots, D]."""
    features = [np.asarray(inputs.values[m][..., :DIMENSIONS]) / SCALES[m] for m in modalities]
    rows = np.concatenate(features, axis=-1)
    return rows.reshape(TASKS, 2, -1, rows.shape[-1])[:, :, :shots]


@pytest.mark.parametrize("modalities", ["a", "ab"])
@pytest.mark.parametrize("shots", [1, SHOTS])
def test_the_accuracies_are_those_of_the_rules_on_many_tasks(episodes, modalities, shots):
    means = informative(episodes.support.inputs, modalities, shots).mean(2)
    query = informative(episodes.query, modalities, 1)[:, :, 0]
    t = SPREAD**2
    for claim, shrink in [(bayes_accuracy, t / (t + 1 / shots)), (prototype_accuracy, 1.0)]:
        distance = np.square(query[:, :, None] - shrink * means[:, None]).sum(-1)
        right = (distance.argmin(-1) == [0, 1]).mean(-1)
        dimensions = DIMENSIONS * len(modalities)
        expected = float(claim(dimensions=dimensions, spread=SPREAD, shots=shots))
        # Four standard errors, the two queries of a task together.
        assert abs(right.mean() - expected) < 4 * right.std() / np.sqrt(TASKS)


def test_no_linear_shrinkage_beats_the_bayes_accuracy():
    for shots in (1, 5):
        bayes, plain = (
            float(f(dimensions=6, spread=0.7, shots=shots))
            for f in (bayes_accuracy, prototype_accuracy)
        )
        assert 0.5 < plain < bayes < 1.0


def test_more_of_anything_that_helps_is_more_accurate():
    def accuracy(dimensions=4, spread=1.0, shots=2):
        return float(bayes_accuracy(dimensions=dimensions, spread=spread, shots=shots))

    assert accuracy() < min(accuracy(dimensions=6), accuracy(spread=1.5), accuracy(shots=4))
    assert accuracy(spread=1e-4) == pytest.approx(0.5, abs=1e-3)


def test_episodes_have_the_shapes_and_labels_documented(episodes):
    for name in SCALES:
        assert episodes.support.inputs.values[name].shape == (TASKS, 4, 5)
        assert episodes.query.values[name].shape == (TASKS, 2, 5)
        np.testing.assert_array_equal(episodes.query.present[name], np.ones((TASKS, 2)))
    np.testing.assert_array_equal(episodes.support.labels[0], np.repeat(np.eye(2), 2, axis=0))
    np.testing.assert_array_equal(episodes.targets[0], np.eye(2))


def test_an_episode_may_ask_nothing():
    options = {"dimensions": 2, "nuisances": 1, "spread": 1.0, "shots": 1, "queries": 0}
    episode = gaussian_episode(jax.random.key(0), scales={"a": 1.0}, **options)
    assert episode.query.values["a"].shape == (0, 3) and episode.targets.shape == (0, 2)


def test_features_have_the_moments_documented(episodes):
    for name, scale in SCALES.items():
        spread = np.std(episodes.query.values[name], axis=(0, 1)) / scale
        expected = [np.sqrt(1 + SPREAD**2)] * DIMENSIONS + [3.0] * 2
        np.testing.assert_allclose(spread, expected, rtol=0.02)
