"""Devices by config: how many, what says why not, and a job on two that is cut short."""

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import jax
import numpy as np
import pytest

from experiments import build, devices
from experiments.configs import emoji

ROOT = Path(__file__).parents[2]


def config(**settings):
    made = emoji.get_config()
    made.train.tasks = 6
    made.update(settings)
    return made


def test_one_device_needs_no_mesh():
    state = {"x": np.ones(3)}
    assert devices.mesh(config()) is None and devices.everywhere(config(), state) is state


@pytest.mark.parametrize(("there", "used"), [(2, 2), (3, 3), (4, 3), (8, 6), (1, None)])
def test_as_many_devices_as_divide_the_tasks(monkeypatch, there, used):
    monkeypatch.setattr(jax, "device_count", lambda: there)
    monkeypatch.setattr(jax, "devices", lambda: there * jax.local_devices())
    monkeypatch.setattr(devices, "Mesh", lambda found, names: len(found))
    assert devices.mesh(config()) == used


def test_more_devices_than_there_are():
    with pytest.raises(ValueError, match=r"config.devices=3, and jax sees 1 \(cpu\)"):
        devices.mesh(config(devices=3))


class Spread(NamedTuple):
    """A mesh of devices that need not differ."""

    devices: list
    axis_names: tuple


def test_rows_of_the_one_task_are_spread_where_devices_are_asked_for(monkeypatch):
    made = config(devices=2)
    made.train.tasks = 1
    with pytest.raises(ValueError, match=r"config\.devices=2, and jax sees 1"):
        devices.mesh(made)
    monkeypatch.setattr(jax, "device_count", lambda: 4)
    monkeypatch.setattr(jax, "devices", lambda: 4 * jax.local_devices())
    monkeypatch.setattr(devices, "Mesh", Spread)
    assert devices.mesh_of_rows(made) == Spread(2 * jax.local_devices(), ("rows",))
    # Norms add up over "rows", and test episodes have nothing to do with each other.
    assert devices.mesh(made) == Spread(2 * jax.local_devices(), ("devices",))
    assert devices.mesh_of_tasks(made) is None
    for name, change in {"devices": 0, "train.tasks": 2}.items():
        other = made.copy_and_resolve_references()
        other.update_from_flattened_dict({name: change})
        assert devices.mesh_of_rows(other) is None
    monkeypatch.setattr(jax, "process_count", lambda: 2)
    with pytest.raises(ValueError, match=r"tasks=1, whose rows .* 2 processes: .* multiple of 2"):
        devices.mesh(made)
    made.learner = "maml"
    with pytest.raises(ValueError, match=r"not of maml by own: give each device tasks .*tasks=2"):
        build.training(made, None, None)
    made.update(learner="metric", objective="supervised")
    with pytest.raises(ValueError, match=r"not of metric by supervised: set it to 1"):
        build.training(made, None, None)


def test_tasks_that_cannot_be_spread_alike(monkeypatch):
    monkeypatch.setattr(jax, "device_count", lambda: 4)
    with pytest.raises(ValueError, match=r"config.train.tasks=6 cannot be .* config.devices=4"):
        devices.mesh(config(devices=4))


@pytest.mark.parametrize(("asked", "each"), [(0, None), (8, 4)])
def test_processes_share_the_devices_of_a_config(monkeypatch, asked, each):
    monkeypatch.setenv("JAX_NUM_PROCESSES", "2")
    told = {}
    monkeypatch.setattr(jax.config, "update", told.__setitem__)
    devices.cores_as_devices(config(devices=asked))
    assert told.get("jax_num_cpu_devices") == each


def test_processes_that_cannot_have_as_many_devices_each(monkeypatch):
    monkeypatch.setenv("JAX_NUM_PROCESSES", "2")
    with pytest.raises(ValueError, match=r"config.devices=5 are of all 2 processes"):
        devices.cores_as_devices(config(devices=5))


def test_a_process_must_use_its_devices(monkeypatch):
    monkeypatch.setattr(jax, "device_count", lambda: 4)
    monkeypatch.setattr(jax, "process_count", lambda: 2)
    with pytest.raises(ValueError, match=r"train.tasks=6 use 3 of the 4 devices of 2 processes"):
        devices.mesh(config())


def test_models_side_by_side_do_not_share_several_devices(monkeypatch):
    assert devices.workers(config()) == 2
    monkeypatch.setattr(devices, "mesh", lambda config: "several")
    assert devices.workers(config()) == 1
    with pytest.raises(ValueError, match="workers=2 models side by side"):
        devices.workers(config(workers=2))


@pytest.mark.slow
def test_a_job_on_two_devices_resumes_to_the_same_bits(tmp_path, job_flags):
    changes = {"compare": "raw", "learner": "maml", "devices": 2, "train.tasks": 4}
    flags = job_flags(tmp_path / "data.npz", **changes)

    def results(workdir):
        command = [sys.executable, "-m", "experiments.train", *flags, f"--workdir={workdir}"]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        lines = map(json.loads, (workdir / "results.jsonl").read_text().splitlines())
        return [line | {"seconds": 0} for line in lines]

    whole, cut = tmp_path / "whole", tmp_path / "cut"
    first = results(whole)
    assert first[0]["device"].startswith("2 x")
    shutil.copytree(whole, cut)
    (cut / "results.jsonl").unlink()
    shutil.rmtree(cut / "models" / "maml" / "checkpoints" / "4")
    assert results(cut) == first
