"""Encoders of table rows, and of anything as it is."""

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax.lax import collapse, stop_gradient

from fsjax.encoders.layers import as_float, one_token
from fsjax.encoders.norms import maps_of, told_moments, weighted_moments
from fsjax.types import Array, Tokens


class MLP(nn.Module):
    """Dense layers with ReLU between them, of rows flattened; no hidden layer is a linear map."""

    hidden: tuple[int, ...] = (64,)
    features: int = 64

    @nn.compact
    def __call__(self, x: Array, weight: Array, *, train: bool = False) -> Tokens:
        """x [B, ...] -> tokens [B, 1, features]."""
        x = collapse(as_float(x), 1)
        for width in self.hidden:
            x = nn.relu(nn.Dense(width)(x))
        return one_token(nn.Dense(self.features)(x))


def _at_unit_length(x: Array) -> Array:
    flat = collapse(as_float(x), 1).astype(jnp.float32)
    # The bound stands inside the root, whose derivative at 0 is infinite.
    return flat / jnp.sqrt(jnp.maximum(jnp.square(flat).sum(-1, keepdims=True), 1e-30))


class Raw(nn.Module):
    """The input itself, flattened and scaled to unit length: the baseline without an encoder."""

    @nn.compact
    def __call__(self, x: Array, weight: Array, *, train: bool = False) -> Tokens:
        """x [B, ...] -> tokens [B, 1, D], D the number of values of a row."""
        return one_token(_at_unit_length(x))


class UnitLength(nn.Module):
    """Rows flattened and scaled to unit length, before an encoder."""

    encoder: nn.Module

    @nn.compact
    def __call__(self, x: Array, weight: Array, *, train: bool = False) -> Tokens:
        """x [B, ...], weight [B] -> tokens of the encoder."""
        return self.encoder(_at_unit_length(x), weight, train=train)


class Standardised(nn.Module):
    """Numbers less their mean and over their deviation, before an encoder.

    In training these are the batch's; at test they are the parameters `mean` and `var`, which begin
    as those of the rows of `init`, so that heads begin at the scale of training, and which
    `calibrate` sets to those of the training rows: no other row has a part in them.
    """

    encoder: nn.Module

    @nn.compact
    def __call__(self, x: Array, weight: Array, *, train: bool = False) -> Tokens:
        """x [B, K], weight [B] -> tokens of the encoder."""
        x = as_float(x).astype(jnp.float32)
        mean = stop_gradient(self.param("mean", lambda _: weighted_moments(x, weight)[0]))
        var = stop_gradient(self.param("var", lambda _: weighted_moments(x, weight)[1]))
        if train:
            mean, var = told_moments(self, maps_of(x), weight)
        # What is the same in all rows has a variance of rounding alone, and stays near zero.
        varies = var > 1e-12 * jnp.square(mean)
        x = (x - mean) * jnp.where(varies, jax.lax.rsqrt(jnp.where(varies, var, 1.0)), 1.0)
        return self.encoder(x, weight, train=train)


class BesideOne(nn.Module):
    """Numbers over the root of how many there are, beside a one, before an encoder.

    At unit length they then keep how large they are: rows that lie near each other stay so, and
    those of one direction are told apart, which matters the more the fewer numbers there are.
    """

    encoder: nn.Module

    @nn.compact
    def __call__(self, x: Array, weight: Array, *, train: bool = False) -> Tokens:
        """x [B, K], weight [B] -> tokens of the encoder."""
        x = as_float(x) / x.shape[-1] ** 0.5
        one = jnp.ones((len(x), 1), x.dtype)
        return self.encoder(jnp.concatenate([x, one], axis=-1), weight, train=train)


class Mirrored(nn.Module):
    """Numbers beside their negatives, before an encoder: their mean is zero, so that a norm over
    them takes nothing of theirs away.
    """

    encoder: nn.Module

    @nn.compact
    def __call__(self, x: Array, weight: Array, *, train: bool = False) -> Tokens:
        """x [B, K], weight [B] -> tokens of the encoder."""
        return self.encoder(jnp.concatenate([x, -x], axis=-1), weight, train=train)


class Encoded(nn.Module):
    """Tokens of an encoder that has already run, handed on."""

    @nn.compact
    def __call__(self, x: Tokens, weight: Array, *, train: bool = False) -> Tokens:
        """x: tokens [B, L, D] -> the same."""
        return x
