"""A run on rows that stay in their files is the run on rows in memory."""

from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments import (
    build,
    command,
    dealer,
    dry_run,
    fitting,
    jobs,
    results,
    streaming,
    train,
)
from experiments.configs.emoji import get_config
from experiments.deal import of_batches
from fsjax.data.pool import make_pool
from fsjax.data.stored import is_stored
from fsjax.training.state import step_keys, train_chunk


@pytest.fixture(scope="module")
def config(tmp_path_factory, write_csv):
    config = get_config()
    path = write_csv(tmp_path_factory.mktemp("things"))
    config.data.update(name="csv", path=str(path), image_size=8, stream=True, ahead=2)
    config.update(modalities="image,tabular", fusion="concat", compare="", apart=False)
    config.encoders.image = "raw"
    config.train.update(steps=4, chunk=2, ways=4, queries=1, drop=0.2, warp=0.05)
    config.validation.update(ways=4, queries=1, episodes=8)
    config.test.update(settings=((3, 1),), episodes=20)
    return config


def in_memory(config):
    other = config.copy_and_resolve_references()
    other.data.stream = False
    return other


def learned(folder):
    lines = results.read_lines(folder / "metrics.jsonl")
    return [{k: v for k, v in line.items() if k != "minutes"} for line in lines]


def test_killed_and_resumed_it_learns_as_from_memory(config, tmp_path, monkeypatch):
    save = train.fitting.Checkpoints.save

    def die(self, state, metrics=None):
        save(self, state)
        raise KeyboardInterrupt

    monkeypatch.setattr(train.fitting.Checkpoints, "save", die)
    with pytest.raises(KeyboardInterrupt):
        train.train(config, tmp_path / "streamed")
    monkeypatch.undo()
    train.train(config, tmp_path / "streamed")
    assert (tmp_path / "streamed" / "report.html").exists()
    pools = {s: make_pool(part) for s, part in build.tables(in_memory(config)).items()}
    job = jobs.prepare(in_memory(config), pools["train"])
    with train.Board(quiet=True) as board:
        progress = board.add("concat", config.train.steps)
        train.fitting.train(job, pools["validation"], tmp_path / "memory", progress)
    streamed = learned(tmp_path / "streamed" / "models" / "concat")
    for one, other in zip(streamed, learned(tmp_path / "memory"), strict=True):
        # Not the accuracy: queries as far from one class as from another fall to either.
        for key in ("step", "loss", "validation"):
            assert one[key] == pytest.approx(other[key], rel=1e-3)


def test_a_dry_run_compiles_the_program_that_trains(config, monkeypatch):
    job, programs = jobs.prepare(config, make_pool(build.tables(config)["train"])), []

    def lower(*args, **options):
        programs.append(train_chunk.lower(*args, **options).as_text())
        raise InterruptedError

    monkeypatch.setattr(dry_run, "train_chunk", SimpleNamespace(lower=lower))
    monkeypatch.setattr(streaming, "train_chunk", lower)
    for begins in (
        lambda: dry_run.cost("concat", job),
        lambda: fitting.steps_of(job)(job.state, 2),
    ):
        with pytest.raises(InterruptedError):
            begins()
    assert programs[0] == programs[1]


@pytest.mark.parametrize("sampler", [dealer.training_tasks, dealer.training_rows])
def test_its_batches_are_those_of_memory_to_the_bit(config, sampler):
    key = jax.random.key(3)
    batch_key, _ = step_keys(key, 5)
    elsewhere, here = (
        sampler(variant, make_pool(build.tables(variant)["train"]))
        for variant in (config, in_memory(config))
    )
    assert streaming.is_stored_elsewhere(elsewhere) and not streaming.is_stored_elsewhere(here)
    read_ahead = jax.tree.map(
        lambda *x: np.stack(x), *map(streaming.reader(elsewhere, key), (4, 5))
    )
    keys = jnp.stack([step_keys(key, step)[0] for step in (4, 5)])
    expected = jax.jit(lambda sample, key: sample(key))(here, batch_key)
    for sample in (elsewhere, of_batches(elsewhere, keys, read_ahead)):
        found = jax.jit(lambda sample, key: sample(key))(sample, batch_key)
        jax.tree.map(np.testing.assert_array_equal, found, expected)


def test_a_damaged_file_is_named_when_it_is_needed(config, tmp_path, write_csv):
    broken = config.copy_and_resolve_references()
    broken.data.path = str(write_csv(tmp_path))
    train_classes = build.tables(broken)["train"].classes
    for name in train_classes:
        (tmp_path / f"{name}_3.png").write_bytes(b"no picture")
    with pytest.raises(SystemExit, match=r"line \d+, column image: .*_3.png cannot be read as"):
        command.briefly(lambda argv: train.train(broken, *argv), [tmp_path / "work"])


def test_data_without_files_of_rows_stay_on_the_host(config, write_npz, tmp_path):
    other = config.copy_and_resolve_references()
    other.data.update(name="npz", path=str(write_npz(tmp_path / "data.npz")))
    other.data.columns = "image:pictures,tabular:numbers"
    streamed, held = (
        build.tables(one)["train"].sources["rows"].values for one in (other, in_memory(other))
    )
    assert is_stored(streamed["image"]) and not is_stored(streamed["tabular"])
    np.testing.assert_array_equal(streamed["image"], held["image"])
