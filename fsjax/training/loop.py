"""Chunks of steps with hooks between them."""

from collections.abc import Callable, Sequence

import jax.numpy as jnp
import numpy as np

from fsjax.types import Metrics, TrainState

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
    while int(state.step) < num_steps and not _exhausted(state, patience):
        state, metrics = chunk(state, min(chunk_steps, num_steps - int(state.step)))
        for hook in hooks:
            state = hook(state, metrics)
    return state


def _exhausted(state: TrainState, patience: int | None) -> bool:
    return patience is not None and int(state.best.misses) >= patience


def stop_if_diverged(state: TrainState, metrics: Metrics) -> TrainState:
    """A hook to stand before the one that saves: nothing that is not finite is kept.

    Raises:
      Diverged: if the loss was NaN or infinite; says at which step.
    """
    bad = ~np.isfinite(np.asarray(metrics["loss"]))
    if bad.any():
        step = int(state.step) - len(bad) + int(np.argmax(bad))
        raise Diverged(
            f"the loss became {np.asarray(metrics['loss'])[np.argmax(bad)]} at step {step}; the "
            "last good checkpoint is kept. Try a smaller learning rate, or clip the gradients"
        )
    return state


def keep_best(
    measure: Callable[[TrainState], tuple[Metrics, float]], record: Callable[[int, float], None]
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
        best = state.best
        if figure > float(best.figure):
            best = best._replace(
                params=params, figure=jnp.asarray(figure), step=state.step, misses=best.misses * 0
            )
        else:
            best = best._replace(misses=best.misses + 1)
        return state._replace(best=best)

    return hook
