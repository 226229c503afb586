"""Encoders of table rows, and of anything as it is."""

import flax.linen as nn
import jax.numpy as jnp

from fsjax.encoders.layers import as_float, one_token
from fsjax.types import Array, Tokens


class MLP(nn.Module):
    """Dense layers with ReLU between them; no hidden layer is a linear map."""

    hidden: tuple[int, ...] = (64,)
    features: int = 64

    @nn.compact
    def __call__(self, x: Array, weight: Array, *, train: bool = False) -> Tokens:
        """x [B, K] -> tokens [B, 1, features]."""
        x = as_float(x)
        for width in self.hidden:
            x = nn.relu(nn.Dense(width)(x))
        return one_token(nn.Dense(self.features)(x))


class Raw(nn.Module):
    """The input itself, flattened and scaled to unit length: the baseline without an encoder."""

    @nn.compact
    def __call__(self, x: Array, weight: Array, *, train: bool = False) -> Tokens:
        """x [B, ...] -> tokens [B, 1, D], D the number of values of a row."""
        flat = as_float(x).reshape(len(x), -1).astype(jnp.float32)
        # The bound stands inside the root, whose derivative at 0 is infinite.
        norm = jnp.sqrt(jnp.maximum(jnp.square(flat).sum(-1, keepdims=True), 1e-12))
        return one_token(flat / norm)


class Encoded(nn.Module):
    """Tokens of an encoder that has already run, handed on."""

    @nn.compact
    def __call__(self, x: Tokens, weight: Array, *, train: bool = False) -> Tokens:
        """x: tokens [B, L, D] -> the same."""
        return x
