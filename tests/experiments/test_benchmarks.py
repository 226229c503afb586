"""Competitors side by side, and that they do the same work."""

import io
import json
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments.benchmarks import contest
from fsjax.heads.prototype import prototype
from fsjax.objectives.losses import cross_entropy

MARKED = {"MARK": "1"}
SERVER = """
import os
from experiments.benchmarks import contest
contest.serve(lambda: os.environ["MARK"], 1)
"""


def test_every_line_is_answered_by_the_time_of_a_part(monkeypatch, capsys):
    clock = iter([10.0, 10.5, 20.0, 20.25])
    monkeypatch.setattr(contest.time, "perf_counter", lambda: next(clock))
    monkeypatch.setattr(contest.sys, "stdin", io.StringIO("\n\n"))
    done = []
    contest.serve(lambda: done.append(None), 5)
    answers = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [answer["ms"] for answer in answers] == [100.0, 50.0]
    assert len(done) == 3  # the first one compiles


def test_a_competitor_has_the_variables_that_are_its_own():
    command = [sys.executable, "-c", SERVER]
    found = contest.measure({"a": command, "b": command}, 2, dict.fromkeys("ab", MARKED))
    assert all(of["ms"] > 0 and of["GiB"] > 0 for of in found.values())
    with pytest.raises(RuntimeError, match="'b' ended without an answer"):
        contest.measure({"a": command, "b": command}, 2, {"a": MARKED})


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
