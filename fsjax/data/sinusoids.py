"""Regression tasks: a sine wave from a few of its points."""

import jax
import jax.numpy as jnp

from fsjax.types import Array, Episode, Inputs, Key, Support


def sinusoid_episode(key: Key, *, shots: int, queries: int) -> Episode:
    """Draws a wave y = a sin(x - p) and points on it (Finn et al. 2017, section 5.1,
    https://arxiv.org/abs/1703.03400).

    The amplitude a is uniform in 0.1..5, the phase p in 0..pi and every x in -5..5.

    Args:
      key: a random key.
      shots: S, support points.
      queries: Q, query points.

    Returns:
      The episode; the modality "tabular" is x [S, 1] and [Q, 1], labels [S, 1] and targets [Q, 1]
      are y itself.
    """
    key_wave, key_points = jax.random.split(key)
    low, high = jnp.array([0.1, 0.0]), jnp.array([5.0, jnp.pi])
    amplitude, phase = jax.random.uniform(key_wave, (2,), minval=low, maxval=high)
    x = jax.random.uniform(key_points, (shots + queries, 1), minval=-5.0, maxval=5.0)
    y = amplitude * jnp.sin(x - phase)

    def inputs(x: Array) -> Inputs:
        return Inputs({"tabular": x}, {"tabular": jnp.ones(len(x))})

    support = Support(inputs(x[:shots]), y[:shots], Inputs({}, {}))
    return Episode(support, inputs(x[shots:]), y[shots:])
