"""Rows that stay where they are are those that an array would give, on the host and in programs."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fsjax.data.pool import make_pool, on_host
from fsjax.data.stored import Stored, fetched, loaded, read, stored
from fsjax.data.table import Table, rows, scales, take_classes
from fsjax.episodes.sample import sample_tasks

PIXELS = np.random.default_rng(0).integers(0, 256, (12, 2, 2, 3)).astype(np.uint8)
NUMBERS = np.arange(24, dtype=np.float32).reshape(12, 2)


def in_store(x):
    return stored(len(x), x.__getitem__)


def test_they_look_like_an_array():
    x = in_store(PIXELS)
    assert (x.shape, x.dtype, x.ndim, len(x)) == (PIXELS.shape, np.uint8, 4, 12)
    for chosen in (slice(3, 7), np.array([5, 1, 5]), np.arange(12) % 2 == 0):
        np.testing.assert_array_equal(x[chosen][::-1], PIXELS[chosen][::-1])
    np.testing.assert_array_equal(np.asarray(x, np.float32), PIXELS.astype(np.float32))


def test_programs_fetch_them():
    x, chosen = jax.tree.map(jnp.asarray, in_store(PIXELS)), jnp.array([[3, 4], [11, 0]])

    def sums(x, chosen):
        return fetched({"a": x[chosen], "b": chosen})["a"].astype(jnp.float32).sum((-1, -2, -3))

    expected = PIXELS[np.array(chosen)].astype(np.float32).sum((-1, -2, -3))
    np.testing.assert_array_equal(sums(x, chosen), expected)
    np.testing.assert_array_equal(jax.jit(sums)(x, chosen), expected)
    np.testing.assert_array_equal(jax.vmap(sums, (None, 0))(x, chosen), expected)
    in_turn = jax.jit(lambda x: jax.lax.map(lambda i: sums(x, i), chosen))
    np.testing.assert_array_equal(in_turn(x), expected)


def test_equal_stores_compile_once():
    traced = []

    @jax.jit
    def first(x):
        traced.append(1)
        return fetched(x[:1])

    x = in_store(PIXELS)
    for part in (x, x[::-1]):
        np.testing.assert_array_equal(first(part)[0], np.asarray(part)[0])
    assert len(traced) == 1


def table_of(pixels):
    labels = np.repeat(np.arange(4), 3)
    return Table(("a", "b", "c", "d"), {"rows": rows({"image": pixels, "n": NUMBERS}, labels)}, {})


def test_the_same_episodes_are_drawn_of_them():
    def drawn(pixels):
        pool = make_pool(take_classes(table_of(pixels), ("d", "b", "a")))
        return sample_tasks(jax.random.key(1), pool, tasks=2, ways=3, shots=1, queries=2)

    expected, numbers = drawn(PIXELS), drawn(in_store(PIXELS))
    assert isinstance(numbers.query.values["image"], Stored)
    for found in (read(numbers), fetched(numbers)):
        jax.tree.map(np.testing.assert_array_equal, found, expected)


def test_large_rows_alone_are_left():
    assert isinstance(loaded(in_store(PIXELS), stream=True), Stored)
    assert isinstance(loaded(in_store(PIXELS), stream=False), np.ndarray)
    assert isinstance(loaded(in_store(NUMBERS), stream=True), np.ndarray)


def test_what_cannot_be_is_said():
    with pytest.raises(ValueError, match="'image' is streamed, and cannot be standardised"):
        scales(table_of(in_store(PIXELS)), ("image",))
    ragged = stored(2, lambda i: PIXELS[0, : 2 - i])
    with pytest.raises(ValueError, match=r"row 1 has shape \(1, .* first has \(2, 2, 3\)"):
        np.asarray(ragged)
    spoilt = np.where(np.arange(12) == 2, np.nan, PIXELS.T).T
    with pytest.raises(ValueError, match=r"1 rows of modality 'image' .* row 2"):
        on_host(table_of(spoilt))


def test_arrays_stay_on_the_host():
    kept = on_host(table_of(PIXELS.astype(np.float64))).sources["rows"].values
    assert isinstance(kept["image"], Stored) and isinstance(kept["n"], np.ndarray)
    assert kept["image"].dtype == np.float32  # as on a device
    np.testing.assert_array_equal(np.asarray(kept["image"]), PIXELS)
