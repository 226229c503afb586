"""Rows changed at random in training: Episode -> Episode, on the device."""

import dm_pix
import jax
import jax.numpy as jnp

from fsjax.episodes import flat
from fsjax.types import Array, Episode, Inputs, Key


def warp_images(key: Key, episode: Episode, *, amount: float, modality: str = "image") -> Episode:
    """Turns, stretches, shears and shifts every image by an affine map near the identity.

    As elastic and affine distortions in training (Simard et al. 2003,
    https://doi.org/10.1109/ICDAR.2003.1227801); it takes the linear map I + amount * G around the
    middle, and a shift of amount times half the side, with G and the shift standard normal.

    Args:
      key: a random key; each image has a map of its own.
      episode: without a task axis.
      amount: standard deviation of the map's entries, without unit.
      modality: that holds images [B, H, W, C] or [B, H, W], uint8 or float; beyond its border an
        image goes on as the border is.

    Returns:
      The episode with other images, of the same type; the other modalities are left as they are.
    """
    supports, queries = len(episode.support.labels), len(episode.targets)
    maps = amount * flat.normal(key, (supports + queries, 2, 3))
    return _warped(episode, maps[:supports], maps[supports:], modality)


def _warped(episode: Episode, supports: Array, queries: Array, modality: str) -> Episode:
    def apply(inputs: Inputs, maps: Array) -> Inputs:
        images = jax.vmap(warp)(inputs.values[modality], maps)
        return inputs._replace(values=inputs.values | {modality: images})

    support = episode.support._replace(inputs=apply(episode.support.inputs, supports))
    return episode._replace(support=support, query=apply(episode.query, queries))


def warp(image: Array, change: Array) -> Array:
    """An image seen through an affine map of its plane, interpolated linearly.

    Args:
      image: [H, W, C], or [H, W].
      change: [2, 3], what is added to the identity map of the plane, whose unit is half the
        side: a place p = (row, column, 1) of the result shows the place p + change p.

    Returns:
      The same shape and type, integers rounded.
    """
    if image.ndim == 2:
        return warp(image[..., None], change)[..., 0]
    half = jnp.array([max(side - 1, 1) / 2 for side in image.shape[:2]])
    linear = jnp.eye(2) + half[:, None] * change[:, :2] / half
    # From the map around the middle, in halves of sides, to one around the corner, in pixels.
    offset = half + half * change[:, 2] - linear @ half
    matrix = jnp.eye(3).at[:2, :2].set(linear)
    pixels = dm_pix.affine_transform(
        image.astype(jnp.float32), matrix, offset=jnp.append(offset, 0.0)
    )
    whole = jnp.issubdtype(image.dtype, jnp.integer)
    return (jnp.round(pixels) if whole else pixels).astype(image.dtype)
