"""Checkpoints of a run, with orbax."""

from pathlib import Path
from typing import Any

import jax
import orbax.checkpoint as ocp

from fsjax.types import Metrics, TrainState


class Checkpoints:
    """The checkpoints of one run in one folder.

    Each holds the whole state and the settings that made it.

    Args:
      folder: where they lie; made if absent.
      settings: of the run, JSON-like; a checkpoint of others is not read. Keys that it does not
        hold, as those of a later version, may have any value.

    Raises:
      OSError: if the folder cannot be made.
    """

    def __init__(self, folder: Path, settings: dict[str, Any]):
        self._folder = Path(folder).absolute()
        self._folder.mkdir(parents=True, exist_ok=True)
        self._settings = settings
        options = ocp.CheckpointManagerOptions(
            max_to_keep=2, enable_async_checkpointing=False, create=True
        )
        self._manager = ocp.CheckpointManager(self._folder, options=options)

    def save(self, state: TrainState, metrics: Metrics | None = None) -> TrainState:
        """Saves the state and hands it on, so that it is a hook."""
        self._manager.save(
            int(state.step),
            args=ocp.args.Composite(
                state=ocp.args.StandardSave(_without_key_types(state)),
                settings=ocp.args.JsonSave(self._settings),
            ),
        )
        return state

    def restore(self, fresh: TrainState) -> TrainState:
        """The newest state saved, or `fresh` if there is none.

        Args:
          fresh: a state of the same run, for its shapes.

        Returns:
          The state, equal to the one saved bit for bit.

        Raises:
          ValueError: if the checkpoint is of other settings (names them) or damaged.
        """
        step = self._manager.latest_step()
        if step is None:
            return fresh
        where = self._folder / str(step)
        try:
            saved = self._manager.restore(
                step, args=ocp.args.Composite(settings=ocp.args.JsonRestore())
            ).settings
        except Exception as error:
            raise _damaged(where) from error
        if differences := _differences(saved, self._settings):
            raise ValueError(
                f"{where} is of another configuration: {', '.join(differences)}; "
                "use another work directory, or the configuration it was made with"
            )
        shapes = jax.tree.map(ocp.utils.to_shape_dtype_struct, _without_key_types(fresh))
        try:
            state = self._manager.restore(
                step, args=ocp.args.Composite(state=ocp.args.StandardRestore(shapes))
            ).state
        except Exception as error:
            raise _damaged(where) from error
        return state._replace(key=jax.random.wrap_key_data(state.key))


def _without_key_types(state: TrainState) -> TrainState:
    return state._replace(key=jax.random.key_data(state.key))


def _damaged(where: Path) -> ValueError:
    return ValueError(
        f"the checkpoint {where} cannot be read, it may have been cut short; "
        "remove that folder and run again to go on from the one before"
    )


def _differences(saved: dict[str, Any], now: dict[str, Any], prefix: str = "") -> list[str]:
    parts = []
    for key in sorted(saved):
        old, new = saved[key], now.get(key)
        if isinstance(old, dict) and isinstance(new, dict):
            parts += _differences(old, new, f"{prefix}{key}.")
        elif old != new:
            parts.append(f"{prefix}{key} was {old!r} and is {new!r}")
    return parts
