"""Intervals against the textbook and by simulation."""

from functools import partial

import numpy as np
import pytest
from scipy import stats

from fsjax.evaluation.intervals import bootstrap_ci95, mean_ci95, paired_difference

RNG = np.random.default_rng(0)


@pytest.mark.parametrize("episodes", [2, 50])
def test_the_interval_is_that_of_students_t(episodes):
    x = RNG.beta(2, 1, episodes)
    interval = mean_ci95(x)
    low, high = stats.t.interval(0.95, episodes - 1, loc=x.mean(), scale=stats.sem(x))
    np.testing.assert_allclose(interval.mean, x.mean(), rtol=1e-12)
    np.testing.assert_allclose(interval.half_width, (high - low) / 2, rtol=1e-6)


def test_float32_figures_are_averaged_in_double_precision():
    x = np.full(100_000, 0.1, np.float32)
    assert mean_ci95(x).mean == pytest.approx(np.float64(np.float32(0.1)), rel=1e-12)


@pytest.mark.parametrize("episodes", [5, 200])
def test_intervals_hold_the_truth_95_times_in_100(episodes):
    samples = RNG.binomial(100, 0.7, (1000, episodes)) / 100
    intervals = [mean_ci95(x) for x in samples]
    covered = np.mean([abs(i.mean - 0.7) <= i.half_width for i in intervals])
    assert abs(covered - 0.95) < 4 * np.sqrt(0.95 * 0.05 / 1000)


def test_a_paired_difference_is_far_sharper_than_two_intervals():
    difficulty = RNG.normal(size=300)
    a, b = (difficulty + shift + 0.1 * RNG.normal(size=300) for shift in (0.05, 0.0))
    paired = paired_difference(a, b)
    np.testing.assert_allclose(paired, mean_ci95(a - b), rtol=1e-12)
    np.testing.assert_allclose(
        (paired.mean - paired.half_width, paired.mean + paired.half_width),
        stats.ttest_rel(a, b).confidence_interval(0.95),
        rtol=1e-6,
    )
    assert paired.mean - paired.half_width > 0 > mean_ci95(a).mean - mean_ci95(b).mean - 0.1
    assert paired_difference(b, a).mean == -paired.mean


@pytest.mark.parametrize("x", [[0.5], [], [[0.1, 0.2]], 0.5])
def test_fewer_than_two_episodes_have_no_interval(x):
    for interval in (mean_ci95, partial(bootstrap_ci95, np.mean)):
        with pytest.raises(ValueError, match="figures of two episodes or more"):
            interval(x)


def test_a_mean_is_that_of_one_figure_for_each_episode():
    with pytest.raises(ValueError, match=r"one figure for each episode, got \(2, 3\)"):
        mean_ci95(np.zeros((2, 3)))


def test_figures_of_other_episodes_cannot_be_paired():
    with pytest.raises(ValueError, match=r"same episodes, got \(3,\) \(4,\)"):
        paired_difference(np.zeros(3), np.zeros(4))


def test_the_bootstrap_of_a_mean_is_its_interval_and_repeats():
    x = RNG.normal(size=(400, 1))
    half = bootstrap_ci95(np.mean, x, resamples=1000)
    assert half == pytest.approx(mean_ci95(x[:, 0]).half_width, rel=0.1)
    assert bootstrap_ci95(np.mean, x, resamples=1000) == half
