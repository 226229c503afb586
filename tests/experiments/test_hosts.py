"""Several processes as one job: how many there are, and that they do what one process does."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import jax
import numpy as np
import pytest

from experiments import fitting, hosts, train
from experiments.configs.emoji import get_config
from fsjax.types import Best, TrainState

ROOT = Path(__file__).parents[2]
TASKS = {"devices": 4, "train.tasks": 4}


@pytest.mark.parametrize(
    ("environment", "number"),
    [
        ({}, 1),
        ({"JAX_NUM_PROCESSES": "4"}, 4),
        ({"SLURM_STEP_NUM_TASKS": "8", "SLURM_NTASKS": "16"}, 8),
        ({"SLURM_STEP_NUM_TASKS": "8", "JAX_NUM_PROCESSES": "1"}, 1),  # eight jobs, each by itself
        ({"OMPI_COMM_WORLD_SIZE": "2"}, 2),
        ({"TPU_WORKER_HOSTNAMES": "10.0.0.1,10.0.0.2,10.0.0.3"}, 3),
    ],
)
def test_processes_that_launchers_started(environment, number):
    assert hosts.count(environment) == number


@pytest.mark.parametrize(
    ("told", "lacking"),
    [
        ({"JAX_NUM_PROCESSES": "2"}, "JAX_COORDINATOR_ADDRESS, JAX_PROCESS_ID"),
        ({"JAX_PROCESS_ID": "1"}, "JAX_COORDINATOR_ADDRESS, JAX_NUM_PROCESSES"),
        ({"JAX_PROCESS_ID": "1", "JAX_COORDINATOR_ADDRESS": "a:1"}, "JAX_NUM_PROCESSES"),
    ],
)
def test_half_of_what_is_told_by_hand(monkeypatch, told, lacking):
    for name, value in told.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(ValueError, match=f"are set, and {lacking} are not"):
        hosts.join()


@pytest.mark.parametrize("name", hosts.COUNTS)
@pytest.mark.parametrize("value", ["", "two", "-1"])
def test_what_is_no_number_of_processes_is_told_with_its_variable(name, value):
    with pytest.raises(ValueError, match=f"{name}='{value}' is no number"):
        hosts.count({name: value})


def test_one_process_that_is_told_so_joins_none(monkeypatch):
    for name, value in {"JAX_NUM_PROCESSES": "1", "JAX_PROCESS_ID": "0"}.items():
        monkeypatch.setenv(name, value)
    hosts.join()


def test_one_process_agrees_with_itself(tmp_path):
    value = {"a": [1, None, "x"]}
    assert hosts.told(value) is value and hosts.of_first(value) is value
    assert hosts.any_of(True) and not hosts.any_of(False)
    with hosts.folder(tmp_path) as ours:
        assert ours == tmp_path


class Lacking:
    """Checkpoints of a process that is not the first one."""

    def restore(self, fresh):
        pytest.fail("it has none of its own")


def test_only_the_first_process_restores_and_all_have_its_numbers(monkeypatch):
    key, w = jax.random.key(7), np.float32([1, -0.0, 3])
    best = Best({"w": w}, w[0], np.int32(4), np.int32(0))
    first = TrainState({"w": w}, (), key, np.int32(4), best)
    shapes = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype), first)
    leaves = iter(jax.tree.leaves(first._replace(key=jax.random.key_data(key))))

    def broadcast(x):
        return np.frombuffer(np.asarray(next(leaves)).tobytes(), np.uint8)

    monkeypatch.setattr(jax, "process_count", lambda: 2)
    monkeypatch.setattr(hosts, "is_first", lambda: False)
    monkeypatch.setattr(hosts.multihost_utils, "broadcast_one_to_all", broadcast)
    fresh = shapes._replace(key=jax.random.key(0))
    found = fitting.restored(Lacking(), get_config(), fresh)
    assert found.key == key and int(found.step) == 4
    np.testing.assert_array_equal(found.best.params["w"], w)


def test_another_process_needs_no_figures_of_models_tested_before(
    monkeypatch, tmp_path, write_npz, small
):
    monkeypatch.setattr(hosts, "is_first", lambda: False)
    monkeypatch.setattr(train, "run_model", lambda name, run: [])
    assert train.train(small(write_npz(tmp_path / "data.npz")), tmp_path / "work") == []


def start(flags, workdir, processes):
    """The processes of a job on this host, begun."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    command = [sys.executable, "-m", "experiments.train", *flags, f"--workdir={workdir}"]
    told = {"JAX_COORDINATOR_ADDRESS": address, "JAX_NUM_PROCESSES": str(processes)}
    told["JAX_DISABLE_MOST_OPTIMIZATIONS"] = "true"  # compiling is what takes the time
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True, "cwd": ROOT}
    return [
        subprocess.Popen(command, env=os.environ | told | {"JAX_PROCESS_ID": str(i)}, **pipes)
        for i in range(processes)
    ]


def ended(job):
    """What each process said, and its code."""
    return [(process.communicate()[0], process.returncode) for process in job]


def lines(workdir, name):
    return [json.loads(line) for line in (workdir / name).read_text().splitlines()]


def metrics(workdir):
    read = lines(workdir, "models/prototype/metrics.jsonl")
    return [{k: v for k, v in line.items() if k != "minutes"} for line in read]


@pytest.mark.slow
def test_two_processes_train_as_one(tmp_path, job_flags):
    for name, processes in (("two", 2), ("one", 1)):
        changes = {"train.steps": 2, "devices": 4 if processes == 2 else 1}
        flags = job_flags(tmp_path / "data.npz", **TASKS | changes)
        said = ended(start(flags, tmp_path / name, processes))
        assert [code for _, code in said] == processes * [0], said
    for two, one in zip(metrics(tmp_path / "two"), metrics(tmp_path / "one"), strict=True):
        assert two == pytest.approx(one, rel=1e-5)
    (two,), (one,) = (lines(tmp_path / name, "results.jsonl") for name in ("two", "one"))
    assert two["accuracy"] == pytest.approx(one["accuracy"], abs=1e-6)
    assert two["device"].startswith("4 x") and (tmp_path / "two" / "report.html").exists()


@pytest.mark.slow
@pytest.mark.parametrize("change", [{"seeds": 4}, {"compare": "taught"}])
def test_two_processes_test_what_the_first_has_saved(tmp_path, job_flags, change):
    flags = job_flags(tmp_path / "data.npz", **TASKS | {"train.steps": 2} | change)
    for _ in ("trained", "gone on with when all is done"):
        said = ended(start(flags, tmp_path / "two", 2))
        assert [code for _, code in said] == [0, 0], said


@pytest.mark.slow
@pytest.mark.parametrize(
    ("how", "objective"), [("stream", "own"), ("stream", "supervised"), ("divide", "own")]
)
def test_two_processes_read_or_keep_the_rows_of_their_tasks(
    tmp_path, job_flags, write_csv, how, objective
):
    data = {"data.name": "csv", "data.path": write_csv(tmp_path), "data.image_size": 8}
    data |= {
        "data.columns": "image:image",
        "modalities": "image",
        "apart": False,
        "encoders.image": "raw",
    }
    for name, processes in (("two", 2), ("one", 1)):
        changes = {"devices": 4 if processes == 2 else 1, f"data.{how}": processes == 2}
        changes |= {"train.steps": 2, "objective": objective}
        flags = job_flags(tmp_path / "data.npz", **TASKS | data | changes)
        said = ended(start(flags, tmp_path / name, processes))
        assert [code for _, code in said] == processes * [0], said
    for two, one in zip(metrics(tmp_path / "two"), metrics(tmp_path / "one"), strict=True):
        assert two == pytest.approx(one, rel=1e-4)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory, job_flags):
    folder = tmp_path_factory.mktemp("hosts")
    flags = job_flags(folder / "data.npz", **TASKS | {"train.steps": 40})
    assert [code for _, code in ended(start(flags, folder / "whole", 2))] == [0, 0]
    return flags, metrics(folder / "whole")


def once_saved(job, workdir):
    """Waits until a job has saved something."""
    while not list(workdir.glob("models/prototype/checkpoints/[0-9]*")):
        assert all(process.poll() is None for process in job), ended(job)
        time.sleep(0.1)


@pytest.mark.slow
@pytest.mark.parametrize("place", [0, 1])
@pytest.mark.parametrize("sent", [signal.SIGTERM, signal.SIGKILL])
def test_what_ends_one_process_ends_all_and_the_job_goes_on(tmp_path, undisturbed, sent, place):
    flags, whole = undisturbed
    job = start(flags, tmp_path / "run", 2)
    once_saved(job, tmp_path / "run")
    job[place].send_signal(sent)
    said = ended(job)
    if sent == signal.SIGTERM:
        assert [code for _, code in said] == [75, 75], said
        assert "all saved; go on with" in said[0][0]
    else:
        assert said[1 - place][1] != 0, said
    assert len(metrics(tmp_path / "run")) < len(whole)
    assert [code for _, code in ended(start(flags, tmp_path / "run", 2))] == [0, 0]
    assert metrics(tmp_path / "run") == whole
