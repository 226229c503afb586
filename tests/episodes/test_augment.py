"""Warped images against bilinear interpolation place by place."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fsjax.episodes.augment import warp, warp_images
from fsjax.types import Episode, Inputs, Support

RNG = np.random.default_rng(0)
KEY = jax.random.key(0)


def bilinear(image, row, column):
    """The value between four pixels; beyond the border it is the border's."""
    height, width = image.shape[:2]
    row, column = np.clip(row, 0, height - 1), np.clip(column, 0, width - 1)
    top, left = min(int(row), height - 2), min(int(column), width - 2)
    r, c = row - top, column - left
    a, b, d, e = (image[top + i, left + j] for i in (0, 1) for j in (0, 1))
    return (1 - r) * ((1 - c) * a + c * b) + r * ((1 - c) * d + c * e)


def naive(image, change):
    result = np.zeros_like(image)
    half = (np.array(image.shape[:2]) - 1) / 2
    for place in np.ndindex(*image.shape[:2]):
        p = (np.array(place) - half) / half
        source = p + change @ np.append(p, 1.0)
        result[place] = bilinear(image, *(half + half * source))
    return result


@pytest.mark.parametrize("jitted", [False, True])
@pytest.mark.parametrize("shape", [(7, 7, 1), (5, 8, 3)])
def test_an_image_is_seen_through_the_map(shape, jitted):
    image = RNG.normal(size=shape).astype(np.float32)
    change = 0.2 * RNG.normal(size=(2, 3))
    found = (jax.jit(warp) if jitted else warp)(image, change)
    np.testing.assert_allclose(found, naive(image, change), rtol=1e-4, atol=1e-4)


def test_known_maps_shift_turn_and_keep():
    image = RNG.integers(0, 256, size=(5, 5, 1)).astype(np.uint8)
    np.testing.assert_array_equal(warp(image, np.zeros((2, 3))), image)
    one_down = np.array([[0, 0, 0.5], [0, 0, 0]])  # a pixel is half of half the side
    np.testing.assert_array_equal(warp(image, one_down)[:-1], image[1:])
    quarter = np.array([[-1.0, 1, 0], [-1, -1, 0]])  # (r, c) -> (c, -r)
    turned = warp(image, quarter)
    np.testing.assert_array_equal(turned, np.rot90(image))
    assert turned.dtype == np.uint8
    line = image[:1]
    np.testing.assert_array_equal(warp(line, np.full((2, 3), 1e-6)), line)


def episode():
    def inputs(rows):
        values = {
            "image": jnp.asarray(RNG.integers(0, 256, size=(rows, 6, 6, 3)), jnp.uint8),
            "text": jnp.asarray(RNG.integers(0, 9, size=(rows, 4)), jnp.int32),
        }
        return Inputs(values, {name: jnp.ones(rows) for name in values})

    support, query = inputs(3), inputs(3)
    same = jax.tree.map(lambda x: jnp.tile(x[:1], (3, *(1,) * (x.ndim - 1))), query)
    return Episode(Support(support, jnp.eye(3), Inputs({}, {})), same, jnp.eye(3))


def test_every_image_gets_a_map_of_its_own_and_nothing_else_is_touched():
    before = episode()
    after = jax.jit(lambda key, e: warp_images(key, e, amount=0.3))(KEY, before)
    assert all(jax.tree.leaves(jax.tree.map(lambda a, b: a.dtype == b.dtype, after, before)))
    changed = jax.tree.map(lambda a, b: bool((a != b).any()), before, after)
    images = (changed.support.inputs.values.pop("image"), changed.query.values.pop("image"))
    assert images == (True, True) and not any(jax.tree.leaves(changed))
    first, second, third = after.query.values["image"]
    assert (first != second).any() and (second != third).any()


def test_the_amount_is_the_deviation_of_the_map():
    before = episode()
    small = warp_images(KEY, before, amount=1e-6).query.values["image"]
    np.testing.assert_array_equal(small, before.query.values["image"])
    # Of a ramp, the middle moves by the shift: amount times half the side times its slope.
    ramp = jnp.tile(jnp.linspace(-1.0, 1.0, 101)[:, None, None], (1, 3, 1))
    inputs = Inputs({"image": jnp.tile(ramp, (500, 1, 1, 1))}, {"image": jnp.ones(500)})
    labels = jnp.ones((500, 1))
    many = Episode(before.support._replace(inputs=inputs, labels=labels), inputs, labels)
    middle = warp_images(KEY, many, amount=0.1).query.values["image"][:, 50, 1, 0]
    assert abs(middle.mean()) < 0.02 and abs(middle.std() - 0.1) < 0.01


def test_a_picture_of_one_channel_needs_no_axis_for_it():
    image = np.arange(30, dtype=np.float32).reshape(5, 6)
    change = np.full((2, 3), 0.2)
    np.testing.assert_array_equal(warp(image, change), warp(image[..., None], change)[..., 0])
