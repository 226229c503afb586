"""Checkpoints of a run, with orbax."""

import hashlib
import json
import shutil
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import numpy as np
import orbax.checkpoint as ocp

from fsjax.types import Metrics, TrainState

UNFINISHED = "*.orbax-checkpoint-tmp*"  # what a save that was killed leaves


class Checkpoints:
    """The newest two checkpoints of one run in one folder.

    Each holds the whole state, the settings that made it and a digest of both, so that damage of
    any kind is found; it then goes on from the one before.

    Args:
      folder: where they lie; made if absent.
      settings: of the run, JSON-like; a checkpoint of others is not read. Keys that it does not
        hold, as those of a later version, may have any value.
      tell: called with a sentence for each checkpoint that is passed over because it is damaged.

    Raises:
      OSError: if the folder cannot be made.
    """

    def __init__(
        self,
        folder: Path,
        settings: dict[str, Any],
        tell: Callable[[str], None] = warnings.warn,
    ):
        self._folder = Path(folder).absolute()
        self._folder.mkdir(parents=True, exist_ok=True)
        self._settings, self._tell = settings, tell
        self._damaged: list[int] = []
        # What a run has is the same in all its processes: each saves by itself, for itself.
        alone = {"primary_host": jax.process_index(), "active_processes": {jax.process_index()}}
        options = ocp.CheckpointManagerOptions(
            max_to_keep=2,
            enable_async_checkpointing=False,
            create=False,  # which orbax does for all processes together alone
            multiprocessing_options=ocp.options.MultiprocessingOptions(
                **alone, barrier_sync_key_prefix=f"process{jax.process_index()}"
            ),
        )
        self._manager = ocp.CheckpointManager(self._folder, options=options)

    def is_empty(self) -> bool:
        """Whether there is none yet, whole or damaged."""
        return not self._manager.all_steps()

    def save(self, state: TrainState, metrics: Metrics | None = None) -> TrainState:
        """Saves the state and hands it on, so that it is a hook.

        Raises:
          OSError: if it cannot be written; those before are kept.
        """
        where = self._folder / str(int(state.step))
        plain = jax.tree.map(np.asarray, _without_key_types(state))
        try:
            self._make_way()
            self._manager.save(
                int(state.step),
                args=ocp.args.Composite(
                    state=ocp.args.StandardSave(plain),
                    settings=ocp.args.JsonSave(self._settings),
                    digest=ocp.args.JsonSave(_digests(plain, self._settings)),
                ),
            )
        except Exception as error:  # of a full disk tensorstore makes a ValueError
            raise OSError(
                f"cannot write the checkpoint {where} ({_brief(error)}); those before it are "
                "kept: see to the disk and run again to go on from there"
            ) from error
        return state

    def restore(self, fresh: TrainState) -> TrainState:
        """The newest state saved that is whole, or `fresh` if there is none.

        Args:
          fresh: a state of the same run, for its shapes.

        Returns:
          The state, equal to the one saved bit for bit, as arrays of the host.

        Raises:
          ValueError: if the checkpoint is of other settings (names them), or all are damaged.
        """
        faults: dict[int, Exception] = {}
        for step in sorted(self._manager.all_steps(), reverse=True):
            try:
                state = self._read(step, fresh)
            except _OfOthers:
                raise
            except Exception as error:  # whatever orbax and tensorstore make of broken files
                faults[step] = error
                continue
            for damaged, error in faults.items():
                self._tell(
                    f"the checkpoint {self._folder / str(damaged)} is damaged ({_brief(error)}); "
                    f"that of step {step} is taken in its place"
                )
            self._damaged = list(faults)
            return state
        if faults:
            raise ValueError(
                f"all checkpoints in {self._folder} are damaged, or of another version (of steps "
                f"{', '.join(map(str, faults))}; {_brief(next(iter(faults.values())))}); bring "
                "them back from a copy, or remove that folder and run again to begin anew"
            )
        return fresh

    def _read(self, step: int, fresh: TrainState) -> TrainState:
        """The state of a checkpoint, if that is whole and of these settings."""
        noted = (self._folder / str(step) / "digest").exists()  # not by earlier versions
        items = {"settings": ocp.args.JsonRestore()}
        items |= {"digest": ocp.args.JsonRestore()} if noted else {}
        read = self._manager.restore(step, args=ocp.args.Composite(**items))
        digests = dict(read.digest) if noted else None
        if digests and digests["settings"] != _digest_of_settings(read.settings):
            raise ValueError("its settings are not those that were written")
        if differences := _differences(read.settings, self._settings):
            raise _OfOthers(
                f"{self._folder / str(step)} is of another configuration: "
                f"{', '.join(differences)}; "
                "use another work directory, or the configuration it was made with"
            )
        plain = _without_key_types(fresh)
        shapes = jax.tree.map(lambda x: np.empty(x.shape, x.dtype), plain)
        state = self._manager.restore(
            step, args=ocp.args.Composite(state=ocp.args.StandardRestore(shapes))
        ).state
        if jax.tree.map(np.shape, state) != jax.tree.map(np.shape, shapes):
            raise ValueError("its arrays have other shapes")
        if digests and digests["state"] != _digest_of_state(state):
            raise ValueError("its numbers are not those that were written")
        return state._replace(key=jax.random.wrap_key_data(state.key))

    def _make_way(self) -> None:
        """Removes what is in the way of the next save: damaged ones, and halves of others."""
        for step in self._damaged:
            self._manager.delete(step)
        self._damaged = []
        for part in self._folder.glob(UNFINISHED):
            shutil.rmtree(part)


class _OfOthers(ValueError):
    """A checkpoint that is whole and of other settings."""


def _without_key_types(state: TrainState) -> TrainState:
    return state._replace(key=jax.random.key_data(state.key))


def _digests(state: TrainState, settings: dict[str, Any]) -> dict[str, str]:
    return {"state": _digest_of_state(state), "settings": _digest_of_settings(settings)}


def _digest_of_settings(settings: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()


def _digest_of_state(state: TrainState) -> str:
    content = hashlib.sha256()
    for leaf in jax.tree.leaves(state):
        numbers = np.asarray(leaf)
        content.update(f"{numbers.dtype} {numbers.shape}".encode())
        content.update(numbers.tobytes())
    return content.hexdigest()


def _brief(error: Exception) -> str:
    """The first words of an error, whose text may be a page long."""
    text = " ".join(str(error).split()) or type(error).__name__
    return text if len(text) <= 120 else f"{text[:120]} ..."


def _differences(saved: dict[str, Any], now: dict[str, Any], prefix: str = "") -> list[str]:
    parts = []
    for key in sorted(saved):
        old, new = saved[key], now.get(key)
        if isinstance(old, dict) and isinstance(new, dict):
            parts += _differences(old, new, f"{prefix}{key}.")
        elif old != new:
            parts.append(f"{prefix}{key} was {old!r} and is {new!r}")
    return parts
