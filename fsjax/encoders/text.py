"""Encoders of text, given as bytes plus one, zero for padding."""

import flax.linen as nn
import jax.numpy as jnp

from fsjax.encoders.layers import one_token
from fsjax.types import Array, Tokens


def _check_codes(x: Array) -> None:
    if x.ndim != 2 or not jnp.issubdtype(x.dtype, jnp.integer):
        raise ValueError(
            f"texts are codes [B, L] of whole numbers, got {x.dtype}{list(x.shape)}: take an "
            "encoder of other rows for them, as mlp for numbers"
        )


class _TransformerBlock(nn.Module):
    heads: int

    @nn.compact
    def __call__(self, x: Array, mask: Array) -> Array:
        y = nn.LayerNorm()(x)
        # A row of padding attends to all its padding: uniform weights, not 0 / 0.
        attended = nn.MultiHeadAttention(self.heads)(y, mask=mask[:, None, None, :] > 0)
        x = x + attended
        y = nn.Dense(2 * x.shape[-1])(nn.LayerNorm()(x))
        return x + nn.Dense(x.shape[-1])(nn.gelu(y))


class ByteTransformer(nn.Module):
    """A small pre-norm transformer over bytes (Vaswani et al. 2017, arxiv.org/abs/1706.03762)."""

    features: int = 64
    layers: int = 2
    heads: int = 4

    @nn.compact
    def __call__(self, x: Array, weight: Array, *, train: bool = False) -> Tokens:
        """x [B, L] int32 -> tokens [B, L, features], padding masked."""
        _check_codes(x)
        mask = (x > 0).astype(jnp.float32)
        embedded = nn.Embed(257, self.features)(x)
        position = self.param("position", nn.initializers.normal(0.02), (x.shape[1], self.features))
        y = embedded + position
        for _ in range(self.layers):
            y = _TransformerBlock(self.heads)(y, mask)
        return Tokens(nn.LayerNorm()(y), mask)


class CharNgrams(nn.Module):
    """A bag of hashed character n-grams (Bojanowski et al. 2017, arxiv.org/abs/1607.04606).

    In training, where a key is given, n-grams go missing at random, as the words of Iyyer et al.
    2015 (https://aclanthology.org/P15-1162) do: texts are few and learned by heart otherwise.
    """

    features: int = 64
    orders: tuple[int, ...] = (1, 2, 3, 4)
    buckets: int = 8192
    dropout: float = 0.0

    @nn.compact
    def __call__(self, x: Array, weight: Array, *, train: bool = False) -> Tokens:
        """x [B, L] int32 -> tokens [B, 1, len(orders) * features], zeros for an order that a
        text is too short for.
        """
        _check_codes(x)
        table = self.param(
            "embedding",
            nn.initializers.normal(0.1),
            (len(self.orders), self.buckets, self.features),
        )
        drop = nn.Dropout(self.dropout, deterministic=not (train and self.has_rng("dropout")))
        bags = [
            self._bag(x, order, rows, drop) for order, rows in zip(self.orders, table, strict=True)
        ]
        return one_token(jnp.concatenate(bags, axis=-1))

    def _bag(self, x: Array, order: int, table: Array, drop: nn.Module) -> Array:
        last = x.shape[1] - order + 1
        if last < 1:
            raise ValueError(f"texts of {x.shape[1]} bytes hold no {order}-gram")
        grams = jnp.stack([x[:, i : i + last] for i in range(order)], axis=-1).astype(jnp.uint32)
        # Multiplicative hashing modulo 2^32: the high bits of the product are the mixed ones.
        hashed = jnp.zeros(grams.shape[:2], jnp.uint32)
        for i in range(order):
            hashed = (hashed + grams[..., i] + 1) * jnp.uint32(2654435761)
        found = (grams > 0).all(-1).astype(table.dtype)
        vectors = table[(hashed >> 7) % self.buckets] * drop(found)[..., None]
        return vectors.sum(1) / jnp.sqrt(jnp.maximum(found.sum(1, keepdims=True), 1))
