"""Competitors side by side, and that they do the same work."""

import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments.benchmarks import contest
from fsjax.heads.prototype import prototype
from fsjax.objectives.losses import cross_entropy

SERVER = """
import os, time
from experiments.benchmarks import contest
contest.serve(lambda: time.sleep(float(os.environ.get("NAP", 0.05))), 2)
"""


def test_competitors_are_asked_in_turn_each_in_its_own_environment():
    commands = {name: [sys.executable, "-c", SERVER] for name in ("slow", "quick")}
    found = contest.measure(commands, 3, {"quick": {"NAP": "0.001"}})
    # A sleep never ends early: half of 50 milliseconds is what a part takes at least.
    assert found["slow"]["ms"] >= 25
    assert all(of["GiB"] > 0 for of in found.values())


def test_a_competitor_that_ends_early_is_named():
    with pytest.raises(RuntimeError, match="'broken' ended without an answer"):
        contest.measure({"broken": [sys.executable, "-c", ""]}, 1)


def test_ratios_are_to_the_first_competitor():
    table = contest.table({"a": {"ms": 2.0, "GiB": 1.0}, "b": {"ms": 5.0, "GiB": 1.0}}, "step")
    assert [line.split()[-3] for line in table.splitlines()] == ["1.00", "2.50"]


def test_the_loss_of_prototypes_is_pytorchs():
    torch = pytest.importorskip("torch")
    from experiments.benchmarks import torch_prototypes

    ways, shots, queries = 3, 2, 4
    z = np.random.default_rng(0).normal(size=(ways, shots + queries, 5)).astype(np.float32)
    y = jnp.eye(ways)

    def loss(z):
        head = prototype()
        params = {"log_temperature": jnp.zeros(())}
        task = head.fit(params, z[:, :shots].reshape(-1, 5), jnp.repeat(y, shots, 0))
        logits = head.score(params, task, z[:, shots:].reshape(-1, 5))
        return cross_entropy(logits, jnp.repeat(y, queries, 0))

    value, slope = jax.value_and_grad(loss)(z)
    theirs = torch.tensor(z, requires_grad=True)
    expected = torch_prototypes.loss(theirs, ways=ways, shots=shots)
    expected.backward()
    np.testing.assert_allclose(value, expected.item(), rtol=1e-5)
    np.testing.assert_allclose(slope, theirs.grad, rtol=1e-3, atol=1e-5)
