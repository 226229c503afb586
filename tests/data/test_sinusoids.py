"""The waves, and that MAML learns to fit them."""

import jax
import numpy as np

from experiments import sinusoid
from fsjax.data.sinusoids import sinusoid_episode
from fsjax.learners.gradient import constant


def test_points_lie_on_waves_of_the_amplitudes_and_phases_promised():
    draw = jax.jit(jax.vmap(lambda key: sinusoid_episode(key, shots=6, queries=4)))
    episodes = draw(jax.random.split(jax.random.key(0), 500))
    x = np.concatenate(
        [episodes.support.inputs.values["tabular"], episodes.query.values["tabular"]], 1
    )
    y = np.concatenate([episodes.support.labels, episodes.targets], 1)
    assert x.shape == y.shape == (500, 10, 1)
    assert -5 <= x.min() < -4.9 and 4.9 < x.max() <= 5
    # a sin(x - p) = (a cos p) sin x - (a sin p) cos x: least squares finds both factors.
    factors = [
        np.linalg.lstsq(np.hstack([np.sin(u), -np.cos(u)]), v)[:2]
        for u, v in zip(x, y, strict=True)
    ]
    assert max(float(rest.max(initial=0)) for _, rest in factors) < 1e-6
    a, p = (
        f(*np.stack([w[:, 0] for w, _ in factors], 1))
        for f in (np.hypot, lambda c, s: np.arctan2(s, c))
    )
    for found, low, high in ((a, 0.1, 5.0), (p, 0.0, np.pi)):
        assert low - 1e-3 <= found.min() and found.max() <= high + 1e-3
        assert abs(found.mean() - (low + high) / 2) < 4 * (high - low) / np.sqrt(12 * 500)


def test_a_short_training_fits_new_waves_better_with_every_step():
    method = sinusoid.learner(constant(0.01, steps=1))
    params = sinusoid.train(method, shots=10, steps=1500, seed=0)
    errors = [e.mean for e in sinusoid.test(method, params, shots=10, waves=200)]
    assert errors[1] < 0.6 * errors[0] and errors[10] < errors[1]
