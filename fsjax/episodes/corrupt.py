"""Modalities whose values are corrupted: Episode -> Episode, on the device.

A way to corrupt takes (key, values [B, ...], present [B], level []) and returns values of the same
type; levels may be traced, so that one program serves all of them.
"""

import math
from collections.abc import Callable

import jax
import jax.numpy as jnp

from fsjax.episodes import flat
from fsjax.types import Array, Episode, Inputs, Key

Corruption = Callable[[Key, Array, Array, Array], Array]

VOICES = 3  # of other rows that babble at once
# Of a step, where log-mel frames are uint8: 255 is the loudest and 0 at least 70 dB below.
DECIBELS = 70.0 / 255.0


def corrupt(
    key: Key,
    episode: Episode,
    *,
    modality: str,
    how: Corruption,
    level: float | Array,
    support: bool = True,
    query: bool = True,
) -> Episode:
    """Corrupts one modality of an episode.

    As benchmarks of robustness do (Hendrycks & Dietterich 2019, https://arxiv.org/abs/1903.12261),
    with every row corrupted in a way of its own.

    Args:
      key: a random key.
      episode: without a task axis.
      modality: whose values are changed.
      how: one of the functions below.
      level: in its unit.
      support: whether support rows are corrupted.
      query: whether query rows are.

    Returns:
      The episode with other values of the modality, of the same type.
    """
    key_support, key_query = jax.random.split(key)

    def apply(key: Key, inputs: Inputs, wanted: bool) -> Inputs:
        if not wanted:
            return inputs
        x, present = inputs.values[modality], inputs.present[modality]
        return inputs._replace(values={**inputs.values, modality: how(key, x, present, level)})

    inputs = apply(key_support, episode.support.inputs, support)
    changed = episode.support._replace(inputs=inputs)
    return episode._replace(support=changed, query=apply(key_query, episode.query, query))


def add_noise(key: Key, x: Array, present: Array, level: Array) -> Array:
    """Normal noise of `level` standard deviations of the modality, over all values of the rows."""
    rows = _rows(present, x)
    count = jnp.maximum(present.sum(), 1) * math.prod(x.shape[1:])
    wide = x.astype(jnp.float32)
    mean = jnp.where(rows, wide, 0.0).sum() / count
    variance = jnp.where(rows, jnp.square(wide - mean), 0.0).sum() / count
    return _like(x, wide + level * jnp.sqrt(variance) * flat.normal(key, x.shape))


def add_noise_at_snr(key: Key, x: Array, present: Array, level: Array) -> Array:
    """Normal noise at a signal-to-noise ratio of `level` dB, the signal being a row's variance."""
    del present
    variance = x.astype(jnp.float32).var(axis=tuple(range(1, x.ndim)), keepdims=True)
    deviation = jnp.sqrt(variance * 10.0 ** (-level / 10.0))
    return _like(x, x + deviation * flat.normal(key, x.shape))


def occlude(key: Key, x: Array, present: Array, level: Array) -> Array:
    """Hides a square of each image that takes the share `level` of its area, at any place.

    As Cutout (DeVries & Taylor 2017, https://arxiv.org/abs/1708.04552), in the image's mean colour
    and wholly within the image; where so large a square does not fit, the largest that does.

    Args:
      key: a random key.
      x: [B, H, W, C] or [B, H, W].
      present: [B], ignored.
      level: 0..1.

    Returns:
      The same shape and type.
    """
    del present
    sides = jnp.array(x.shape[1:3])
    side = jnp.minimum(jnp.round(jnp.sqrt(level * sides.prod())), sides.min())
    corners = jnp.floor(flat.uniform(key, (len(x), 2)) * (sides - side + 1))

    def within(axis: int) -> Array:
        distance = jnp.arange(x.shape[1 + axis]) - corners[:, axis, None]
        return (distance >= 0) & (distance < side)

    hidden = within(0)[:, :, None] & within(1)[:, None]
    hidden = hidden.reshape(*hidden.shape, *(1,) * (x.ndim - 3))
    return jnp.where(hidden, _like(x, x.astype(jnp.float32).mean((1, 2), keepdims=True)), x)


def add_babble(key: Key, x: Array, present: Array, level: Array) -> Array:
    """Mixes into each sound the voices of other rows, at a signal-to-noise ratio of `level` dB.

    The voices, three if there are, are of the same mean power, and powers add up, as those of
    independent sounds do; then the loudest point is made as loud as it was.

    Args:
      key: a random key.
      x: [B, frames, mels] log-mel power in dB, or uint8 in steps of `DECIBELS`.
      present: [B]; rows that are absent are not heard.
      level: in dB, of the mean powers of a row and of all the babble in it.

    Returns:
      [B, frames, mels] of the same type; as it was where there is no other row.
    """
    there = _rows(present, x)
    step = DECIBELS if jnp.issubdtype(x.dtype, jnp.integer) else 1.0
    heard = jnp.where(there, x.astype(jnp.float32), 0.0) * step
    peak = heard.max((1, 2), keepdims=True)
    # Below the peak, so that powers neither overflow nor vanish.
    power = 10.0 ** ((heard - peak) / 10.0)
    voices = power / power.mean((1, 2), keepdims=True)
    others = present * (1 - jnp.eye(len(x)))
    drawn, who = jax.lax.top_k(flat.uniform(key, others.shape) * others, min(VOICES, len(x)))
    speaks = (drawn > 0)[..., None, None]
    count = speaks.sum(1)
    babble = (speaks * voices[who]).sum(1) / jnp.maximum(count, 1)
    # Both have a mean power of one.
    mixed = 10.0 * jnp.log10(voices + babble * 10.0 ** (-level / 10.0))
    mixed = (mixed - mixed.max((1, 2), keepdims=True) + peak) / step
    return jnp.where((count > 0) & there, _like(x, mixed), x)


def replace_bytes(key: Key, x: Array, present: Array, level: Array) -> Array:
    """Replaces each byte of a text, at the rate `level`, by any byte: x [B, L], 1 + byte.

    0, which is padding, stays.
    """
    del present
    key_where, key_what = jax.random.split(key)
    replaced = (flat.uniform(key_where, x.shape) < level) & (x > 0)
    return jnp.where(replaced, jax.random.randint(key_what, x.shape, 1, 257).astype(x.dtype), x)


def _rows(present: Array, x: Array) -> Array:
    return present.reshape(-1, *(1,) * (x.ndim - 1)) > 0


def _like(x: Array, values: Array) -> Array:
    """Values in the type of x; integers rounded and kept in its range."""
    if not jnp.issubdtype(x.dtype, jnp.integer):
        return values.astype(x.dtype)
    ends = jnp.iinfo(x.dtype)
    return jnp.clip(jnp.round(values), ends.min, ends.max).astype(x.dtype)
