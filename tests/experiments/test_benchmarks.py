"""Competitors side by side, and that they do the same work."""

import io
import json
import subprocess
import sys
from functools import partial
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments import bench
from experiments.benchmarks import bouts, contest, parts, race, steps
from experiments.benchmarks.rows import of_three
from fsjax.data.table import Table, rows
from fsjax.encoders.image import Conv4, ResNet12
from fsjax.heads.prototype import prototype
from fsjax.objectives.losses import cross_entropy

MARKED = {"MARK": "1"}
SERVER = """
import os
from experiments.benchmarks import contest
contest.serve(lambda: lambda: os.environ["MARK"], 1)
"""


def test_every_line_is_answered_by_the_time_of_a_part(monkeypatch, capsys):
    clock = iter([1.0, 4.0, 10.0, 10.5, 20.0, 20.25])
    monkeypatch.setattr(contest.time, "perf_counter", lambda: next(clock))
    monkeypatch.setattr(contest.sys, "stdin", io.StringIO("\n\n"))
    done = []
    contest.serve(lambda: lambda: done.append(None), 5)
    answers = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [answer["ms"] for answer in answers] == [100.0, 50.0]
    assert {answer["ready"] for answer in answers} == {3.0}  # of the first work, which compiles
    assert len(done) == 3 and answers[0]["GiB"] > 0


def test_the_first_work_is_not_timed(monkeypatch):
    clock = iter([1.0, 2.0, 3.0, 7.0, 8.0, 10.0])
    monkeypatch.setattr(contest.time, "perf_counter", lambda: next(clock))
    done = []
    assert contest.median(lambda: done.append(None), 4, 3) == 1e3 * 2.0 / 4
    assert len(done) == 4


def test_parts_of_a_block_are_timed():
    for channels, number in ((1, 1), (3, 3)):
        found = parts.measure(2, 4, channels)
        assert len(found) == number and min(found.values()) > 0


def test_a_competitor_has_the_variables_that_are_its_own():
    command = [sys.executable, "-c", SERVER]
    found = contest.measure({"a": command, "b": command}, 2, dict.fromkeys("ab", MARKED))
    assert all(of["ms"] > 0 and of["GiB"] > 0 for of in found.values())
    with pytest.raises(RuntimeError, match="'b' ended without an answer"):
        contest.measure({"a": command, "b": command}, 2, {"a": MARKED})


def test_a_table_tells_ratios_and_the_share_of_the_peak():
    bout = contest.Bout("work", "step", 1, {}, gigaflops=1.0)
    figures = {"ready": 3.0, "GiB": 0.5}
    found = {"a": {"ms": 20.0, **figures}, "b": {"ms": 50.0, **figures}}
    assert bench.peak(bout, found) == 50.0
    rows = [line.split(" | ") for line in contest.table(bout, found, 100.0).splitlines()[2:]]
    assert [row[1:4] for row in rows] == [["20.0", "1.00", "50%"], ["50.0", "2.50", "20%"]]
    rows = [line.split(" | ") for line in contest.table(bout, found, 0.0).splitlines()]
    assert rows[0][2:4] == ["ratio", "ready after"]


def test_convolutions_of_a_step_are_counted():
    # Nine products for each place, of 28, 14, 7 and 3 squared, two operations each.
    layers = [784 * 3 * 64, 196 * 64 * 64, 49 * 64 * 64, 9 * 64 * 64]
    whole = 18 * (3 * sum(layers) - layers[0])
    np.testing.assert_allclose(bouts.gigaflops(10, 28, 3), 10 * whole / 1e9)


@pytest.mark.parametrize("quick", [True, False])
def test_bouts_begin_with_fsjax_and_the_peak(quick):
    found = bouts.bouts(quick=quick)
    assert next(iter(found)) == "peak"
    for bout in found.values():
        assert next(iter(bout.competitors)).startswith("fsjax")


def test_pytorch_is_left_out_where_it_is_not_installed(monkeypatch):
    monkeypatch.setattr(bench.importlib.util, "find_spec", lambda name: None)
    asked = []
    monkeypatch.setattr(bench.contest, "measure", lambda *given: asked.append(given) or {})
    bench.measure("peak", bouts.bouts(quick=True)["peak"], 3, "--quick")
    ((commands, rounds, variables),) = asked
    assert list(commands) == list(variables) == ["fsjax"] and rounds == 3
    assert commands["fsjax"][-4:] == ["--quick", "--serve", "peak", "fsjax"]


def test_a_bout_that_there_is_not_names_the_nearest_before_any_is_measured(monkeypatch):
    monkeypatch.setattr(sys, "argv", ["bench", "--only", "fused", "prototypes_2"])
    monkeypatch.setattr(bench, "measure", None)
    with pytest.raises(ValueError, match=r"^--only='prototypes_2' is .*prototypes_20"):
        bench.main()


def test_steps_are_measured_on_the_devices_of_the_config(monkeypatch, capsys):
    config, made = SimpleNamespace(devices=2), []
    monkeypatch.setattr(steps.command, "CONFIG", SimpleNamespace(value=config))
    monkeypatch.setattr(steps.devices, "cores_as_devices", made.append)
    names = ("scanned chunk", "single steps", "sampling")
    monkeypatch.setattr(steps, "measure", lambda config: dict.fromkeys(names, 1.0))
    steps.main([])
    assert made == [config]


@pytest.mark.slow
def test_the_quick_bench_writes_all_figures(tmp_path):
    command = [sys.executable, "-m", "experiments.bench", "--quick", "--rounds=1"]
    subprocess.run([*command, f"--out={tmp_path / 'bench.json'}"], check=True)
    figures = json.loads((tmp_path / "bench.json").read_text())["figures"]
    assert {line["bout"] for line in figures} == set(bouts.bouts(quick=True))


@pytest.mark.parametrize(
    "ours, theirs, shape",
    [(Conv4(), "conv4", (1, 28, 28, 1)), (ResNet12(), "resnet12", (1, 32, 32, 3))],
)
def test_networks_of_both_have_as_many_parameters(ours, theirs, shape):
    networks = pytest.importorskip("experiments.benchmarks.torch_networks")
    init = partial(ours.init, jax.random.key(0))
    params = jax.eval_shape(init, jnp.zeros(shape), jnp.ones(1))["params"]
    flat = jax.tree_util.tree_leaves_with_path(params)
    learned = [x for path, x in flat if path[-1].key not in ("mean", "var")]
    given = {"channels": shape[-1]} if theirs == "conv4" else {}
    expected = getattr(networks, theirs)(**given).parameters()
    assert sum(x.size for x in learned) == sum(p.numel() for p in expected)


def test_pytorch_that_embeds_all_rows_once_answers_alike():
    torch_prototypes = pytest.importorskip("experiments.benchmarks.torch_prototypes")
    images = np.random.default_rng(0).integers(0, 256, (4, 5, 28, 28, 1), np.uint8)
    sizes = {"ways": 3, "shots": 1, "queries": 2, "episodes": 4}
    ways = torch_prototypes.embedded_once, torch_prototypes.embedded_anew
    found = [torch_prototypes.evaluation(embedded, images, **sizes)() for embedded in ways]
    assert found[0] == found[1] and 0 < found[0] < 1


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


def test_a_race_ends_where_validation_first_reaches_the_goal():
    reached, done, told = iter([0.5, 0.96, 0.97, 1.0]), [], []
    racer = race.Racer(done.append, lambda split: next(reached))
    steps = race.race(racer, 0.97, lambda *line: told.append(line))
    assert steps == sum(done) == 3 * race.EVERY and told[-1] == (steps, 0.97)
    never = race.Racer(done.append, lambda split: 0.1)
    with pytest.raises(RuntimeError, match=r"0\.97"):
        race.race(never, 0.97, lambda *line: None)


def test_pytorch_is_given_the_rows_of_each_class():
    torch_race = pytest.importorskip("experiments.benchmarks.torch_race")
    labels = np.array([1, 0, 1, 0, 0, 1])
    images = np.arange(6, dtype=np.uint8)[:, None, None, None]
    table = Table(("a", "b"), {"rows": rows({"image": images}, labels)}, {})
    assert torch_race.by_class(table).squeeze().tolist() == [[1, 3, 4], [0, 2, 5]]


def test_pytorch_fuses_image_text_and_sound():
    networks = pytest.importorskip("experiments.benchmarks.torch_networks")
    texts = np.random.default_rng(0).integers(1, 257, (2, 32))
    places = networks.hashed(texts)
    assert places.shape == (2, 32 + 31 + 30 + 29) and places.max() < networks.BUCKETS
    alike = networks.hashed(np.concatenate([texts[:, 5:], texts[:, :5]], 1))
    assert np.isin(places[:, :32], alike[:, :32]).all()  # the same bytes elsewhere
    rows = {m: x[0, :2] for m, x in of_three().items()} | {"text": places}
    rows["image"], rows["audio"] = np.moveaxis(rows["image"], -1, 1), rows["audio"][:, None]
    given = {m: networks.torch.as_tensor(x) for m, x in rows.items()}
    z = networks.Fused()(given)
    assert z.shape == (2, 256 + 384 + 256) and z.isfinite().all()
