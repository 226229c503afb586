"""Several seeds as one program."""

from collections.abc import Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jax.sharding import Mesh
from jax.sharding import PartitionSpec as P

from fsjax.training.state import train_chunk
from fsjax.types import Array, Metrics, Sample, TrainState

# What of a state is of each seed: all but the step, which is the same.
EACH = TrainState(params=0, opt_state=0, key=0, step=None, best=0)


def stack(states: Sequence[TrainState]) -> TrainState:
    """States of runs that differ by their seeds as one, with a leading [N] but for the step.

    Raises:
      ValueError: if they are not of the same step.
    """
    if len(steps := sorted({int(state.step) for state in states})) > 1:
        raise ValueError(f"the states of seeds are of the steps {', '.join(map(str, steps))}")
    step = states[0].step
    together = jax.tree.map(lambda *x: jnp.stack(x), *(s._replace(step=()) for s in states))
    return together._replace(step=step)


def unstack(states: TrainState) -> list[TrainState]:
    """The states of each seed of `stack`."""
    number = len(states.best.figure)
    alone = states._replace(step=())
    each = [jax.tree.map(lambda x, i=i: x[i], alone) for i in range(number)]
    return [state._replace(step=states.step) for state in each]


def train_seeds(
    states: TrainState, *, sample: Sample, mesh: Mesh | None = None, **options: Any
) -> tuple[TrainState, Metrics]:
    """A chunk of steps of all seeds side by side.

    Args:
      states: of `stack`.
      sample: of `fsjax.training.state.train_chunk`, as all others.
      mesh: of one axis, over whose devices the seeds are spread, which then do not talk to each
        other. Their number has to divide that of the seeds.
      **options: of `train_chunk`.

    Returns:
      The states afterwards, each what it would be alone up to rounding, and the metrics
      [N, steps].
    """
    return _chunk(states, sample, mesh=mesh, **options)


@partial(jax.jit, static_argnames=("mesh", "objective", "optimizer", "num_steps"))
def _chunk(states: TrainState, sample: Sample, *, mesh: Mesh | None, **options: Any):
    def all_of(states: TrainState, sample: Sample):
        each = partial(train_chunk, sample=sample, **options)
        return jax.vmap(each, in_axes=(EACH,), out_axes=(EACH, 0))(states)

    if mesh is None:
        return all_of(states, sample)
    (axis,) = mesh.axis_names
    where = TrainState(*(P() if place is None else P(axis) for place in EACH))
    specs = {"in_specs": (where, P()), "out_specs": (where, P(axis))}
    return jax.shard_map(all_of, mesh=mesh, **specs)(states, sample)


def intact(states: TrainState, metrics: Metrics) -> Array:
    """Which seeds are finite still, in their losses and parameters: -> [N] bool."""
    leaves = [metrics["loss"], *jax.tree.leaves(states.params)]
    return jnp.stack([jnp.isfinite(x).reshape(len(x), -1).all(1) for x in leaves]).all(0)
