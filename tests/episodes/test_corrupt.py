"""Corrupted modalities: how much of what changes, and that nothing else does."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fsjax.episodes import corrupt
from fsjax.types import Episode, Inputs, Support

RNG = np.random.default_rng(0)
KEY = jax.random.key(0)
ROWS = 6
PRESENT = jnp.array([1.0, 1, 1, 1, 1, 0])
jitted = {
    name: jax.jit(getattr(corrupt, name))
    for name in ("add_noise", "add_noise_at_snr", "occlude", "add_babble", "replace_bytes")
}


@partial(jax.jit, static_argnames=("support", "query"))
def changed(key, episode, **sides):
    return corrupt.corrupt(
        key, episode, modality="image", how=corrupt.add_noise, level=1.0, **sides
    )


def normal(*shape):
    return jnp.asarray(RNG.normal(size=shape), jnp.float32)


def test_noise_is_in_deviations_of_the_modality_over_the_rows_that_are_there():
    x = (3.0 + 2.0 * normal(ROWS, 50, 40)).at[-1].set(jnp.nan)
    noise = (jitted["add_noise"](KEY, x, PRESENT, 0.5) - x)[:-1]
    assert float(noise.std()) == pytest.approx(1.0, rel=0.02) and abs(float(noise.mean())) < 0.02
    np.testing.assert_array_equal(jitted["add_noise"](KEY, x, PRESENT, 0.0)[:-1], x[:-1])


@pytest.mark.parametrize("snr", [-10.0, 10.0])
def test_noise_at_a_ratio_has_it_in_every_row(snr):
    x = normal(ROWS, 2000) * jnp.arange(1.0, 1 + ROWS)[:, None] + 5.0
    noise = jitted["add_noise_at_snr"](KEY, x, PRESENT, snr) - x
    found = 10 * np.log10(np.var(x, axis=1) / np.var(noise, axis=1))
    np.testing.assert_allclose(found, np.full(ROWS, snr), atol=0.4)


@pytest.mark.parametrize("share", [0.0, 0.25, 1.0])
def test_a_square_of_the_share_is_hidden_in_the_mean_colour(share):
    x = jnp.asarray(RNG.integers(0, 256, size=(50, 16, 24, 3)), jnp.uint8)
    hidden = np.asarray(jitted["occlude"](KEY, x, jnp.ones(50), share))
    assert hidden.dtype == np.uint8
    side = min(round(np.sqrt(share * 16 * 24)), 16)
    corners = set()
    for before, after in zip(np.asarray(x), hidden, strict=True):
        mean = np.round(before.mean((0, 1)))
        changed = (before != after).any(-1)
        assert changed.sum() >= 0.98 * side**2 and changed.sum() <= side**2
        if side:
            rows, columns = np.nonzero(changed)
            assert np.ptp(rows) < side and np.ptp(columns) < side
            corners.add((rows.min(), columns.min()))
            np.testing.assert_allclose(after[changed], np.tile(mean, (changed.sum(), 1)), atol=1)
    assert share == 0 or len(corners) > (1 if share == 1 else 20)


def test_babble_is_the_power_of_other_rows_that_are_there_at_the_ratio():
    power = jnp.exp(normal(ROWS, 8, 4))
    x = (10 * jnp.log10(power)).at[-1].set(jnp.nan)
    mixed = jitted["add_babble"](KEY, x, PRESENT, 0.0)
    assert np.isnan(mixed[-1]).all() and np.isfinite(mixed[:-1]).all()
    np.testing.assert_allclose(mixed[:-1].max((1, 2)), x[:-1].max((1, 2)), rtol=1e-4, atol=1e-4)
    for row in range(ROWS - 1):
        all_of_it = 10 ** (np.asarray(mixed[row]) / 10)
        # Up to a factor it is the row's own, and of three of the other four a third each.
        voices = [power[j] / power[j].mean() for j in range(ROWS - 1)]
        basis = np.stack([voices.pop(row), *voices]).reshape(5, -1)
        weights, *_ = np.linalg.lstsq(basis.T, all_of_it.ravel(), rcond=None)
        expected = np.array([1, 0, 1 / 3, 1 / 3, 1 / 3]) * weights[0]
        np.testing.assert_allclose([weights[0], *np.sort(weights[1:])], expected, atol=1e-3)
    quiet = jitted["add_babble"](KEY, x, PRESENT, 90.0)
    np.testing.assert_allclose(quiet[:-1], x[:-1], atol=1e-2)


def test_bytes_of_sound_are_steps_of_decibels_and_one_row_alone_hears_nothing():
    x = jnp.asarray(RNG.integers(120, 256, size=(ROWS, 8, 4)), jnp.uint8)
    steps = jitted["add_babble"](KEY, x, PRESENT, 0.0)
    as_floats = jitted["add_babble"](KEY, x * corrupt.DECIBELS, PRESENT, 0.0) / corrupt.DECIBELS
    assert steps.dtype == jnp.uint8
    np.testing.assert_allclose(steps[:-1], np.clip(as_floats[:-1], 0, 255), atol=0.51)
    alone = jnp.arange(ROWS) == 2
    np.testing.assert_array_equal(jitted["add_babble"](KEY, x, alone * 1.0, 0.0), x)


def test_a_picture_of_one_channel_needs_no_axis_for_it():
    x = jnp.asarray(RNG.integers(0, 256, size=(ROWS, 8, 8)), jnp.uint8)
    expected = jitted["occlude"](KEY, x[..., None], PRESENT, 0.25)[..., 0]
    np.testing.assert_array_equal(jitted["occlude"](KEY, x, PRESENT, 0.25), expected)


@pytest.mark.parametrize("name", jitted)
def test_no_rows_stay_none(name):
    x = jnp.zeros((0, 4, 4), jnp.int32)
    assert jitted[name](KEY, x, jnp.zeros(0), 0.5).shape == x.shape


@pytest.mark.parametrize("name", ["add_noise", "add_babble"])
def test_values_of_half_precision_are_corrupted_as_those_of_single(name):
    x = (150.0 + 40.0 * normal(ROWS, 50, 32)).astype(jnp.float16)
    found = jitted[name](KEY, x, PRESENT, 1.0)
    expected = jitted[name](KEY, x.astype(jnp.float32), PRESENT, 1.0)
    assert found.dtype == jnp.float16
    np.testing.assert_allclose(found[:-1], expected[:-1], rtol=1e-3, atol=0.1)


def test_bytes_are_replaced_at_the_rate_and_padding_stays():
    x = jnp.asarray(RNG.integers(1, 257, size=(ROWS, 1000)), jnp.int32).at[:, 600:].set(0)
    for rate in (0.0, 0.3, 1.0):
        after = jitted["replace_bytes"](KEY, x, PRESENT, rate)
        assert after.dtype == x.dtype and not after[:, 600:].any()
        share = float((after != x)[:, :600].mean())
        assert share == pytest.approx(rate * 255 / 256, abs=0.03)
    assert (after.min(1) == 0).all() and int(after[:, :600].min()) == 1 and int(after.max()) == 256


def test_one_modality_of_the_sides_that_are_asked_for_is_changed_in_each_its_own_way():
    def inputs():
        image = jnp.asarray(RNG.integers(0, 256, size=(ROWS, 4, 4, 1)), jnp.uint8)
        values = {"image": image, "other": normal(ROWS, 3)}
        return Inputs(values, {"image": PRESENT, "other": PRESENT})

    before = Episode(Support(inputs(), jnp.eye(ROWS), Inputs({}, {})), inputs(), jnp.eye(ROWS))
    for support, query in ((False, True), (True, False)):
        after = changed(KEY, before, support=support, query=query)
        assert all(jax.tree.leaves(jax.tree.map(lambda a, b: a.dtype == b.dtype, after, before)))
        differ = jax.tree.map(lambda a, b: bool((a != b).any()), before, after)
        images = differ.support.inputs.values.pop("image"), differ.query.values.pop("image")
        assert images == (support, query) and not any(jax.tree.leaves(differ))
    both = changed(KEY, before._replace(query=before.support.inputs))
    assert (both.query.values["image"] != both.support.inputs.values["image"]).any()
