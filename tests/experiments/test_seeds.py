"""Several seeds of a job as one program: each ends in what it would have been alone."""

import json
import shutil

import jax
import numpy as np
import pytest

from experiments import build, dry_run, evaluate, fitting, jobs, report, seeds, train
from experiments.runs import read_lines, read_runs
from experiments.stopping import Stop, Stopped
from fsjax.data.pool import make_pool
from fsjax.training.loop import Diverged

SEEDS = (3, 4)


def several(config):
    config.update(seed=SEEDS[0], seeds=len(SEEDS), modalities="tabular", compare="")
    config.test.settings = ((3, 1),)
    return config


@pytest.fixture(scope="module")
def whole(tmp_path_factory, write_npz, small):
    folder = tmp_path_factory.mktemp("seeds")
    config = several(small(write_npz(folder / "data.npz")))
    with pytest.MonkeyPatch.context() as patch:  # what the page draws of a model is not at issue
        patch.setattr(train.inspection, "inspect", lambda *of_model: {})
        return config, folder / "run", train.train(config, folder / "run")


def metrics(folder):
    lines = read_lines(folder / "models/prototype/metrics.jsonl")
    return [{k: v for k, v in line.items() if k != "minutes"} for line in lines]


def params(folder, config):
    job = jobs.prepare(config, make_pool(build.tables(config)["train"]))
    return fitting.trained_params(job, folder / "models" / next(iter(build.models(config))))


def test_each_seed_ends_as_it_would_alone(whole, tmp_path):
    config, folder, lines = whole
    alone = config.copy_and_resolve_references()
    alone.update(seed=SEEDS[1], seeds=1)
    expected = train.train(alone, tmp_path)
    ours = folder / f"seed={SEEDS[1]}"
    # Not parameters: Adam makes steps of its rate out of the rounding of a gradient that is zero.
    for seen, wanted in zip(metrics(ours), metrics(tmp_path), strict=True):
        assert seen == pytest.approx(wanted, rel=1e-3)
    told = [line for line in lines if line["seed"] == SEEDS[1]]
    assert [line["kind"] for line in told] == [line["kind"] for line in expected]
    assert json.loads((ours / "config.json").read_text()) == json.loads(
        (tmp_path / "config.json").read_text()
    )


def test_the_page_tells_mean_and_spread(whole):
    _, folder, lines = whole
    assert {line["seed"] for line in lines} == set(SEEDS)
    assert "mean of 2 seeds" in (folder / "report.html").read_text()
    assert [run.name for run in read_runs([folder])] == [f"run seed={seed}" for seed in SEEDS]
    report.main([str(folder), f"--out={folder / 'again.html'}"])


def test_the_best_on_validation_has_a_link(whole):
    _, folder, _ = whole
    reached = [
        max(line["validation"] for line in metrics(folder / f"seed={seed}")) for seed in SEEDS
    ]
    assert (folder / "best").readlink().name == f"seed={SEEDS[int(np.argmax(reached))]}"


def test_the_best_stays_so_if_its_folder_is_removed_and_made_again(whole, tmp_path, monkeypatch):
    config, folder, _ = whole
    shutil.copytree(folder, tmp_path / "run", symlinks=True)
    best = (folder / "best").readlink()
    shutil.rmtree(tmp_path / "run" / best)
    monkeypatch.setattr(train, "_one", lambda *run: [])  # what is tested is the choice
    monkeypatch.setattr(train.report, "write_report", lambda *runs: None)
    train.train(config, tmp_path / "run")
    assert (tmp_path / "run/best").readlink() == best
    assert (tmp_path / "run/best/models/prototype/checkpoints").exists()


def test_a_run_of_one_seed_is_to_be_named(whole):
    with pytest.raises(ValueError, match=r"runs of 2 seeds: name one of them, as .*seed=3"):
        evaluate.load_config(whole[1])


def test_stopped_and_resumed_to_the_same_bits(whole, tmp_path, monkeypatch):
    config, folder, _ = whole
    stop, chunk = Stop(), seeds.train_seeds

    def stopped(*states, **options):
        stop.ask()
        return chunk(*states, **options)

    monkeypatch.setattr(seeds, "train_seeds", stopped)
    with pytest.raises(Stopped):
        train.train(config, tmp_path, stop)
    monkeypatch.setattr(seeds, "train_seeds", chunk)
    monkeypatch.setattr(train, "_one", lambda *run: [])  # what is tested is the training
    monkeypatch.setattr(train.report, "write_report", lambda *runs: None)
    train.train(config, tmp_path)
    for seed in SEEDS:
        alone = config.copy_and_resolve_references()
        alone.update(seed=seed, seeds=1)
        ours, theirs = (params(where / f"seed={seed}", alone) for where in (tmp_path, folder))
        jax.tree.map(np.testing.assert_array_equal, ours, theirs)


def test_a_seed_that_diverges_is_named(whole, tmp_path, monkeypatch):
    chunk = seeds.train_seeds

    def spoiled(*states, **options):
        states, metrics = chunk(*states, **options)
        return states, metrics | {"loss": metrics["loss"].at[1, -1].set(np.nan)}

    monkeypatch.setattr(seeds, "train_seeds", spoiled)
    with pytest.raises(Diverged, match=r"prototype: seed=4: the loss became nan at step 1"):
        train.train(whole[0], tmp_path)


@pytest.mark.parametrize("change", [{"base.steps": 2}, {"compare": "taught"}])
def test_seeds_that_cannot_be_one_program(whole, change):
    config = whole[0].copy_and_resolve_references()
    config.update_from_flattened_dict(change)
    with pytest.raises(ValueError, match=r"config.seeds=2 .* experiments.sweep --grid seed"):
        seeds.folders(config)


def test_seeds_of_several_hosts_that_cannot_be_tested_are_refused_before_training(
    whole, tmp_path, monkeypatch
):
    monkeypatch.setattr(jax, "device_count", lambda: 2)
    monkeypatch.setattr(jax, "process_count", lambda: 2)
    for begins in (lambda config: train.train(config, tmp_path), dry_run.plan):
        with pytest.raises(ValueError, match=r"tasks=1 use 1 of the 2 devices of 2 processes"):
            begins(whole[0])
    assert not list(tmp_path.iterdir())


def test_seeds_of_no_training_are_refused(whole):
    config = whole[0].copy_and_resolve_references()
    config.train.steps = 0
    with pytest.raises(ValueError, match=r"config\.train\.steps=0 trains no model"):
        train.train(config, whole[1])


@pytest.mark.parametrize(("asked", "tasks", "each"), [(0, 1, 0), (2, 1, 1), (4, 6, 2)])
def test_a_seed_is_tested_on_as_many_devices_as_divide_its_tasks(whole, asked, tasks, each):
    config = whole[0].copy_and_resolve_references()
    config.update(devices=asked)
    config.train.tasks = tasks
    assert {one.devices for one in seeds.folders(config).values()} == {each}
