"""Figures of training, told to programs that draw them as they come."""

import hashlib
import importlib
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

from ml_collections import ConfigDict

from experiments import hosts
from experiments.names import parse_names, pick
from experiments.results import plain

Tell = Callable[[Mapping[str, float]], None]  # a line of metrics.jsonl


def open_trackers(config: ConfigDict, folder: Path, step: int) -> list[Tell]:
    """What is told the figures of a model in training, by the names in `config.track`.

    Args:
      config: of the model.
      folder: of the model, in the work directory.
      step: from which it goes on; later ones of before do not count.

    Raises:
      ValueError: if a name is not known or its package is not installed.
    """
    opened = []
    for name in parse_names(config.track):
        package, start = pick(TRACKERS, name, "track")
        module = _imported(name, package)
        if hosts.is_first():
            opened.append(start(module, config, folder, step))
    return opened


def _imported(name: str, package: str) -> ModuleType:
    try:
        return importlib.import_module(package)
    except ImportError as error:
        raise ValueError(
            f"config.track names {name}, which wants {package}: pip install {package}"
        ) from error


def _tensorboard(module: ModuleType, config: ConfigDict, folder: Path, step: int) -> Tell:
    """Scalars in the model's folder: tensorboard --logdir RUN."""
    writer = module.SummaryWriter(str(folder / "tensorboard"), purge_step=step + 1)

    def tell(line: Mapping[str, float]) -> None:
        for name, value in line.items():
            writer.add_scalar(name, value, int(line["step"]))
        writer.flush()

    return tell


def _wandb(module: ModuleType, config: ConfigDict, folder: Path, step: int) -> Tell:
    """A run of Weights & Biases for each model, which goes on when the model does."""
    run = module.init(
        project="fsjax",
        name=str(folder),
        id=hashlib.sha256(str(folder.resolve()).encode()).hexdigest()[:16],
        dir=str(folder),
        resume="allow",
        reinit="create_new",  # one of several side by side
        config=plain(config),
    )
    return partial(_log, run)


def _log(run: Any, line: Mapping[str, float]) -> None:
    run.log(dict(line), step=int(line["step"]))


TRACKERS = {"tensorboard": ("tensorboardX", _tensorboard), "wandb": ("wandb", _wandb)}
