"""Modules in the space of features."""

from math import prod

import flax.linen as nn
import jax.numpy as jnp

from fsjax.types import Array, Condition


class Perceptron(nn.Module):
    """Dense layers with leaky ReLU between them."""

    features: int
    hidden: tuple[int, ...]
    last: nn.initializers.Initializer = nn.initializers.lecun_normal()

    @nn.compact
    def __call__(self, *parts: Array) -> Array:
        """parts [B, ...], side by side -> [B, features]."""
        x = jnp.concatenate([part.reshape(len(part), prod(part.shape[1:])) for part in parts], 1)
        for width in self.hidden:
            x = nn.leaky_relu(nn.Dense(width)(x), 0.2)
        return nn.Dense(self.features, kernel_init=self.last)(x)


class FeatureGenerator(nn.Module):
    """Rows as the prototype of their class, moved by what class and noise say; at first not."""

    hidden: tuple[int, ...] = (256,)

    @nn.compact
    def __call__(self, condition: Condition, noise: Array) -> Array:
        """condition [B, ...], noise [B, Z] -> rows [B, D], D as wide as the prototypes are."""
        if condition.prototype.ndim != 2:
            raise ValueError(
                f"these rows are [B, D], and the prototypes are {condition.prototype.shape}: take "
                "modules of fsjax.generators.pictures for pictures"
            )
        width = condition.prototype.shape[1]
        move = Perceptron(width, self.hidden, nn.initializers.zeros)
        return condition.prototype + move(condition.prototype, condition.side, noise)


class FeatureCritic(nn.Module):
    """How well rows go with their class."""

    hidden: tuple[int, ...] = (256,)

    @nn.compact
    def __call__(self, rows: Array, condition: Condition) -> Array:
        """rows [B, D], condition [B, ...] -> [B]."""
        return Perceptron(1, self.hidden)(rows, condition.prototype, condition.side)[:, 0]


class FeatureEncoder(nn.Module):
    """What a row of a class is like, beside its class."""

    codes: int = 32
    hidden: tuple[int, ...] = (256,)

    @nn.compact
    def __call__(self, rows: Array, condition: Condition) -> Array:
        """rows [B, D], condition [B, ...] -> mean and log variance of codes [B, 2 codes]."""
        return Perceptron(2 * self.codes, self.hidden)(rows, condition.prototype, condition.side)
