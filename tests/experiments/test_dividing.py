"""Rows divided among devices are drawn as those that every device has."""

from pathlib import Path

import jax
import numpy as np
import pytest

from experiments import build, dealer, dividing
from experiments.benchmarks.scaling import collectives


@pytest.fixture(scope="module")
def config(tmp_path_factory, write_npz, small):
    made = small(write_npz(tmp_path_factory.mktemp("data") / "data.npz"))
    made.update(compare="")
    made.data.divide = True
    made.train.tasks = 8
    return made


def whole(config):
    other = config.copy_and_resolve_references()
    other.data.divide = False
    return other


def test_batches_are_the_same_to_the_bit(config):
    train, key, drawn = build.tables(config)["train"], jax.random.key(3), []
    for one in (config, whole(config)):
        sample = dealer.training_tasks(one, dividing.training_pool(one, train))
        program = jax.jit(lambda sample, key: sample(key)).lower(sample, key).compile()
        drawn.append(program(sample, key))
        if jax.device_count() > 1:
            kinds = sorted(kind for kind, _ in collectives(program.as_text()))
            # Of numbers, and of rows.
            assert kinds == (["all-gather", "reduce-scatter"] if one.data.divide else [])
    jax.tree.map(np.testing.assert_array_equal, *drawn)


def test_each_device_keeps_a_part(config):
    train = build.tables(config)["train"]
    shards = dividing.training_pool(config, train).shards
    pictures = train.sources["rows"].values["image"]
    assert set(shards) == ({"image"} if jax.device_count() > 1 else set())  # numbers are small
    for shard in shards.values():
        each = [part.data.shape for part in shard.addressable_shards]
        assert each == 4 * [(-(-len(pictures) // 4), 3, 3, 1)]
        np.testing.assert_array_equal(np.asarray(shard)[: len(pictures)], pictures)


def test_of_several_devices_one_alone_is_not_given_all_rows(config, monkeypatch):
    other = config.copy_and_resolve_references()
    other.train.tasks = 1
    monkeypatch.setattr(jax, "device_count", lambda: 4)
    with pytest.raises(ValueError, match=r"each of 4 devices, and config\.train\.tasks=1 are all"):
        dividing.training_pool(other, build.tables(config)["train"])
    other.devices = 1
    assert not dividing.training_pool(other, build.tables(config)["train"]).shards


def test_all_of_it_on_four_devices(on_devices):
    exchanged = Path(__file__).parents[1] / "training" / "test_sharding.py"
    on_devices(4, "-k", "same or part or exchanged", __file__, str(exchanged))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"data.stream": True}, "config.data.stream leaves rows off the devices"),
        ({"base.steps": 1}, "config.base.steps encodes all rows"),
        ({"devices": 2, "train.tasks": 1}, "config.devices spreads rows of one task"),
        ({"seeds": 2}, "config.seeds lets each device draw"),
        ({"objective": "supervised"}, "supervised has no tasks"),
    ],
)
def test_rows_that_cannot_be_divided(config, changes, message):
    other = config.copy_and_resolve_references()
    other.update_from_flattened_dict(changes)
    with pytest.raises(ValueError, match=message):
        dividing.training_pool(other, build.tables(config)["train"])
