"""Frozen features as they are: all classes, nothing trained."""

import jax.numpy as jnp
import numpy as np
import pytest

from experiments import build, cache
from experiments.configs import grocery
from experiments.frozen import all_classes, nearest_centroid, zero_shot
from fsjax.pretrained import Pretrained
from fsjax.types import Inputs


@pytest.fixture
def config(tmp_path, monkeypatch):
    """Six classes of four rows, told apart by the first six numbers and not by the others."""
    noise = np.random.default_rng(0).normal(size=(24, 5))
    x = np.concatenate([np.repeat(np.eye(6), 4, axis=0), noise], 1)
    np.savez(tmp_path / "rows.npz", x=x.astype(np.float32), cls=np.repeat(np.arange(6), 4))
    first = Pretrained("first", "a", "tabular", lambda rows: rows[:, :6].astype(np.float32))
    noisy = Pretrained("noisy", "b", "tabular", lambda rows: rows[:, 6:].astype(np.float32))
    monkeypatch.setitem(build.PRETRAINED, "first", lambda: first)
    monkeypatch.setitem(build.PRETRAINED, "noisy", lambda: noisy)
    monkeypatch.setattr(cache, "folder", lambda: tmp_path / "kept")
    config = grocery.get_config()
    config.data.update(name="npz", path=str(tmp_path / "rows.npz"), columns="x:x")
    config.update(modalities="x", frozen="x:first")
    config.generation.side = ""
    config.train.update(ways=2, queries=1)
    config.test.update(settings=((5, 1),), queries=2, episodes=20)
    return config


def test_the_nearest_centroid_is_told_for_all_classes(config):
    pool = all_classes(config)
    assert len(pool.sources["rows"].count) == 6
    mean, half = nearest_centroid(config, pool)[5, 1]
    assert (mean, half) == (1.0, 0.0)
    config.frozen = "x:noisy"
    mean, _ = nearest_centroid(config, all_classes(config))[5, 1]
    assert 0.05 < mean < 0.5


def test_nothing_of_the_rows_is_learned_whatever_encoder_the_config_has(config):
    config.frozen = "x:noisy"
    expected = nearest_centroid(config, all_classes(config))
    config.encoders.tabular = "mlp_standardised"
    assert nearest_centroid(config, all_classes(config)) == expected


@pytest.mark.parametrize(
    ("setting", "message"),
    [((2, 3), "all classes: class '0' has 4 rows.* 3 shots and 2"), ((7, 1), "7 ways asked")],
)
def test_settings_for_which_classes_are_too_small_or_few_are_refused(config, setting, message):
    config.test.settings = (setting,)
    with pytest.raises(ValueError, match=message):
        all_classes(config)


def test_descriptions_in_the_space_of_the_rows_tell_classes_apart_without_a_shot(config):
    pool = all_classes(config)
    sides = {"good": 3 * jnp.eye(6), "opposite": -jnp.eye(6), "other": jnp.ones((6, 3))}
    present = {name: jnp.ones(6) for name in sides}
    found = zero_shot(config, pool._replace(side=Inputs(sides, present)))
    # Reversed, no class is nearest to its own.
    assert {key: mean for key, (mean, _) in found.items()} == {
        ("x", "good", 5): 1.0,
        ("x", "opposite", 5): 0.0,
    }


def test_rows_that_lack_the_modality_are_padding_or_guesses_whatever_stands_there(config):
    pool = all_classes(config)
    rows = pool.sources["rows"]
    seen = jnp.arange(24) % 4 > 0
    described = Inputs({"own": jnp.eye(6)}, {"own": jnp.ones(6)})

    def accuracies(blank):
        values = {"x": jnp.where(seen[:, None], rows.inputs.values["x"], blank)}
        inputs = Inputs(values, {"x": seen.astype(jnp.float32)})
        some = pool._replace(sources={"rows": rows._replace(inputs=inputs)}, side=described)
        (centroid,), (told,) = (f(config, some).values() for f in (nearest_centroid, zero_shot))
        return centroid.mean, told.mean

    # Of the four rows of a class one is not seen: where it asks, there is a guess among five, and
    # where it is the only support row, its class is no answer.
    centroid, told = accuracies(-jnp.eye(6)[0])
    assert told == pytest.approx(0.75 + 0.25 / 5, abs=0.05)
    assert centroid == pytest.approx(0.75 * (2 / 3 + 1 / 3 / 5), abs=0.05)
    assert accuracies(jnp.nan) == (centroid, told)
