"""Figures of training, told to programs that draw them: stand-ins for the packages."""

import sys
from types import ModuleType

import pytest

from experiments import trackers
from experiments.configs import emoji

LINE = {"step": 20, "loss": 0.5, "validation": 0.25}


@pytest.fixture
def told(monkeypatch):
    """What the packages are told."""
    told = []

    class SummaryWriter:
        def __init__(self, folder, purge_step):
            told.append((folder, purge_step))

        def add_scalar(self, name, value, step):
            told.append((name, value, step))

        def flush(self):
            told.append("flushed")

    class Run:
        def log(self, line, step):
            told.append((line, step))

    def init(**settings):
        told.append(settings)
        return Run()

    for name, parts in {
        "tensorboardX": {"SummaryWriter": SummaryWriter},
        "wandb": {"init": init},
    }.items():
        module = ModuleType(name)
        vars(module).update(parts)
        monkeypatch.setitem(sys.modules, name, module)
    return told


def opened(names, folder, step=10):
    config = emoji.get_config()
    config.track = names
    return trackers.open_trackers(config, folder, step)


def test_none_unless_asked_for(tmp_path):
    assert opened("", tmp_path) == []


def test_scalars_of_a_run_that_goes_on_take_the_place_of_those_that_came_to_nothing(told, tmp_path):
    (tell,) = opened("tensorboard", tmp_path)
    tell(LINE)
    scalars = [(name, value, 20) for name, value in LINE.items()]
    assert told == [(str(tmp_path / "tensorboard"), 11), *scalars, "flushed"]


def test_a_model_has_one_run_however_often_it_goes_on(told, tmp_path):
    folder = tmp_path / "mine" / "models" / "attention"
    for _ in range(2):
        (tell,) = opened("wandb", folder)
    tell(LINE)
    (first, again, logged) = told
    assert first == again and first["name"] == str(folder) and first["resume"] == "allow"
    assert first["config"]["track"] == "wandb" and logged == (LINE, 20)


def test_a_package_that_is_not_there(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorboardX", None)
    with pytest.raises(ValueError, match="tensorboard, which wants tensorboardX: pip install"):
        opened("tensorboard", tmp_path)


def test_an_unknown_name(tmp_path):
    with pytest.raises(ValueError, match="track"):
        opened("tensorbord", tmp_path)
