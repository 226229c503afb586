"""What a run would cost, told without a step of it."""

import jax
import pytest

from experiments import build, devices, dry_run, fitting, jobs
from fsjax.data.pool import make_pool


def test_every_model_is_compiled_and_told_and_nothing_is_trained(
    tmp_path, write_npz, small, monkeypatch
):
    config = small(write_npz(tmp_path / "data.npz"))
    config.update(compare="raw,taught", modalities="tabular", fusion="plain")
    monkeypatch.setattr(fitting, "train", None)
    prototype, raw, taught, empty, device, training, validation, test = dry_run.plan(
        config
    ).splitlines()
    job = jobs.prepare(build.models(config)["prototype"], make_pool(build.tables(config)["train"]))
    parameters = sum(x.size for x in jax.tree.leaves(job.state.params))
    assert prototype.startswith(f"prototype: {parameters} parameters, ")
    assert prototype.endswith(", 4 steps") and "MiB" in prototype
    assert taught.startswith(f"taught: {parameters} parameters, ")
    assert raw.endswith("not trained") and not empty and device == "on 1 of 1 devices (cpu)"
    assert training == "trains on 1 tasks a step, 4-way 1-shot"
    assert validation == "validates and saves every 2 steps, on 8 episodes, 4-way 1-shot"
    assert test == "tests on 20 episodes each: 3-way 1-shot, 3-way 2-shot"

    cost = dry_run.cost("prototype", job)
    # A row costs two a parameter forward, and about twice that backward.
    rows = 4 * (1 + 1)
    assert 2 * rows < cost.flops / parameters < 20 * rows
    # The optimiser's two moments and the best parameters are held too.
    assert cost.memory > 4 * 4 * parameters


def test_what_training_refuses_is_refused(tmp_path, write_npz, small, monkeypatch):
    config = small(write_npz(tmp_path / "data.npz"))
    config.update(learner="maml", compare="", modalities="tabular", fusion="plain")
    with pytest.raises(ValueError, match="learned for 4 ways"):
        dry_run.plan(config)
    config.update(learner="metric", compare="taught", seeds=2)
    with pytest.raises(ValueError, match=r"config\.seeds=2 trains models by themselves"):
        dry_run.plan(config)
    config.update(compare="", seeds=1, workers=2)
    monkeypatch.setattr(devices, "mesh", lambda config: "several")
    with pytest.raises(ValueError, match="workers=2 models side by side"):
        dry_run.plan(config)
