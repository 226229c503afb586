"""Chunks of steps with hooks between them."""

from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
import numpy as np

from fsjax.types import Best, Metrics, Params, TrainState

Chunk = Callable[[TrainState, int], tuple[TrainState, Metrics]]  # state, steps to take
Hook = Callable[[TrainState, Metrics], TrainState]  # metrics lead with [steps of the chunk]


class Diverged(RuntimeError):
    """The loss or a parameter is no longer finite."""


def run(
    state: TrainState,
    *,
    chunk: Chunk,
    num_steps: int,
    chunk_steps: int,
    hooks: Sequence[Hook] = (),
    patience: int | None = None,
) -> TrainState:
    """Trains to the end, or until validation has not improved for a while.

    Args:
      state: where the run stands.
      chunk: (state, steps) -> state, metrics; `train_chunk` with all else bound.
      num_steps: steps of the whole run.
      chunk_steps: steps between hooks.
      hooks: called in order after each chunk; what they return goes on.
      patience: validations in a row without improvement after which the run stops.

    Returns:
      The last state.
    """
    while not has_ended(state, num_steps, patience):
        state, metrics = chunk(state, min(chunk_steps, num_steps - int(state.step)))
        for hook in hooks:
            state = hook(state, metrics)
    return state


def has_ended(state: TrainState, num_steps: int, patience: int | None) -> bool:
    """Whether a run has taken all its steps, or validation has not improved for its patience."""
    # Of several seeds, until it has not improved for any.
    exhausted = patience is not None and int(np.min(state.best.misses)) >= patience
    return exhausted or int(state.step) >= num_steps


def stop_if_diverged(state: TrainState, metrics: Metrics) -> TrainState:
    """A hook to stand before the one that saves: nothing that is not finite is kept.

    Raises:
      Diverged: if a loss or a parameter is NaN or infinite; says at which step.
    """
    loss = np.asarray(metrics["loss"])
    # A last step may spoil the parameters after its own loss was still finite.
    intact = all(np.isfinite(x).all() for x in jax.tree.leaves(state.params))
    bad = np.append(~np.isfinite(loss), not intact)
    if bad.any():
        first = int(np.argmax(bad))
        what = f"the loss became {loss[first]}" if first < len(loss) else "a parameter is NaN"
        raise Diverged(
            f"{what} at step {int(state.step) - len(loss) + first}; the last good checkpoint is "
            "kept. Try a smaller learning rate, or clip the gradients"
        )
    return state


def keep_best(
    measure: Callable[[TrainState], tuple[Params, float]], record: Callable[[int, float], None]
) -> Hook:
    """A hook that validates and keeps the best parameters in the state.

    Args:
      measure: state -> the parameters as validated, and their figure, larger is better.
      record: called with the step and the figure.

    Returns:
      The hook.
    """

    def hook(state: TrainState, metrics: Metrics) -> TrainState:
        params, figure = measure(state)
        record(int(state.step), figure)
        # On the devices of the one before: elsewhere it would make the next chunk compile anew.
        figure = jnp.full_like(state.best.figure, figure)
        if figure > state.best.figure:
            best = Best(params, figure, state.step, jnp.zeros_like(state.step))
        else:
            best = state.best._replace(misses=state.best.misses + 1)
        return state._replace(best=best)

    return hook
