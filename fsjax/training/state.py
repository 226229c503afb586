"""The state of a run, and one chunk of steps as one program."""

from functools import partial

import jax
import jax.numpy as jnp
import optax

from fsjax.types import Best, Key, Metrics, Objective, Params, Sample, Step, TrainState


def init_state(key: Key, params: Params, optimizer: optax.GradientTransformation) -> TrainState:
    """The state before the first step.

    Args:
      key: the run's key; step i draws from fold_in(key, i) alone.
      params: initial parameters.
      optimizer: of which the state is made.

    Returns:
      The state, its best figure minus infinity.
    """
    zero = jnp.zeros((), jnp.int32)
    best = Best(params, jnp.asarray(-jnp.inf, jnp.float32), zero, zero)
    return TrainState(params, optimizer.init(params), key, zero, best)


def step_keys(key: Key, step: Step) -> tuple[Key, Key]:
    """The keys of one step of a run: of its batch, and of its objective."""
    key_batch, key_objective = jax.random.split(jax.random.fold_in(key, step))
    return key_batch, key_objective


@partial(jax.jit, static_argnames=("objective", "optimizer", "num_steps"))
def train_chunk(
    state: TrainState,
    *,
    sample: Sample,
    objective: Objective,
    optimizer: optax.GradientTransformation,
    num_steps: int,
) -> tuple[TrainState, Metrics]:
    """Takes steps in one compiled program, nothing read back between them.

    Args:
      state: where the run stands.
      sample: key -> batch; a pytree (`bind_pool`), whose arrays are arguments of the program.
      objective: (params, batch, key, step) -> gradients, metrics.
      optimizer: gradients -> updates.
      num_steps: steps to take.

    Returns:
      The state afterwards and the metrics of each step, with a leading [num_steps].
    """

    def step(state: TrainState, _):
        key_batch, key_objective = step_keys(state.key, state.step)
        batch = sample(key_batch)
        gradients, metrics = objective(state.params, batch, key_objective, state.step)
        updates, opt_state = optimizer.update(gradients, state.opt_state, state.params)
        params = optax.apply_updates(state.params, updates)
        return state._replace(params=params, opt_state=opt_state, step=state.step + 1), metrics

    return jax.lax.scan(step, state, length=num_steps)
