"""Several seeds as one program."""

from collections.abc import Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp

from fsjax.training.state import train_chunk
from fsjax.types import Array, Metrics, TrainState


def stack(states: Sequence[TrainState]) -> TrainState:
    """States of runs that differ by their seeds as one, with a leading [N] everywhere."""
    return jax.tree.map(lambda *x: jnp.stack(x), *states)


def train_seeds(states: TrainState, **options: Any) -> tuple[TrainState, Metrics]:
    """A chunk of steps of all seeds side by side.

    Args:
      states: of `stack`.
      **options: of `fsjax.training.state.train_chunk`.

    Returns:
      The states afterwards, each what it would be alone up to rounding, and the metrics
      [N, steps].
    """
    return jax.vmap(partial(train_chunk, **options))(states)


def intact(states: TrainState, metrics: Metrics) -> Array:
    """Which seeds are finite still, in their losses and parameters: -> [N] bool."""
    leaves = [metrics["loss"], *jax.tree.leaves(states.params)]
    return jnp.stack([jnp.isfinite(x).reshape(len(x), -1).all(1) for x in leaves]).all(0)
