"""Modules in the space of small pictures, whose sizes are those of the prototypes."""

from collections.abc import Callable
from math import prod

import flax.linen as nn
import jax.numpy as jnp

from fsjax.generators.features import Perceptron
from fsjax.types import Array, Condition

Layer = Callable[[int], nn.Module]  # of so many channels: maps [B, H, W, I] -> [B, H', W', O]


class Biased(nn.Module):
    """A layer, a bias and leaky ReLU."""

    layer: Layer
    features: int

    @nn.compact
    def __call__(self, x: Array) -> Array:
        """x [B, H, W, C] -> [B, H', W', features]."""
        bias = self.param("bias", nn.initializers.zeros, (self.features,))
        return nn.leaky_relu(self.layer(self.features)(x) + bias, 0.2)


class Halvings(nn.Module):
    """Maps halved until their shorter side is `smallest` or less, twice as wide each time."""

    halve: Layer
    smallest: int
    width: int = 32

    @nn.compact
    def __call__(self, x: Array) -> list[Array]:
        """x [B, H, W, C] -> x and what it becomes, the smallest maps last."""
        maps = [x]
        while min(maps[-1].shape[1:3]) > self.smallest:
            features = min(2 ** (len(maps) - 1), 4) * self.width
            maps.append(Biased(self.halve, features)(maps[-1]))
        return maps


class PictureGenerator(nn.Module):
    """Pictures as that of their class, drawn anew where class and noise say (Antoniou et al. 2017,
    https://arxiv.org/abs/1711.04340; maps handed on, Ronneberger et al. 2015,
    https://arxiv.org/abs/1505.04597). They are within [-1, 1] if the prototypes are.
    """

    conv: Layer
    halve: Layer
    width: int = 32

    @nn.compact
    def __call__(self, condition: Condition, noise: Array) -> Array:
        """condition [B, ...], noise [B, Z] -> pictures [B, H, W, C], as the prototypes are."""
        seen = _checked(condition.prototype)
        *maps, x = Halvings(self.halve, 8, self.width)(seen)
        told = jnp.concatenate([condition.side, noise], 1)
        x = x + nn.Dense(prod(x.shape[1:]))(told).reshape(x.shape)
        for beside in reversed(maps):
            x = jnp.concatenate([_doubled(x, beside), beside], -1)
            x = Biased(self.conv, max(self.width, beside.shape[-1]))(x)
        start = nn.initializers.constant(-2.0)  # an eighth is drawn anew
        drawn, share = jnp.split(self.conv(2 * seen.shape[-1])(x), 2, -1)
        share = nn.sigmoid(share + self.param("share", start, (seen.shape[-1],)))
        return seen + share * (jnp.tanh(drawn) - seen)


class PictureCritic(nn.Module):
    """How well pictures go with that of their class; without norms, so each is judged alone."""

    halve: Layer
    width: int = 32

    @nn.compact
    def __call__(self, rows: Array, condition: Condition) -> Array:
        """rows [B, H, W, C], condition [B, ...] -> [B]."""
        both = jnp.concatenate([rows, _checked(condition.prototype)], -1)
        maps = Halvings(self.halve, 4, self.width)(both)
        return Perceptron(1, (4 * self.width,))(maps[-1], condition.side)[:, 0]


def _doubled(x: Array, like: Array) -> Array:
    """Maps of twice the size by nearest neighbours, cut to the height and width of others."""
    height, width = like.shape[1:3]
    return x.repeat(2, axis=1).repeat(2, axis=2)[:, :height, :width]


def _checked(prototype: Array) -> Array:
    if prototype.ndim != 4:
        raise ValueError(
            f"pictures are [B, H, W, C], and the prototypes are {prototype.shape}: take modules of "
            "fsjax.generators.features for other rows"
        )
    return prototype
