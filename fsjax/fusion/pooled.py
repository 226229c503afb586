"""Fusion of modalities that were pooled each by itself."""

from collections.abc import Mapping

import flax.linen as nn
import jax.numpy as jnp

from fsjax.types import Array, Tokens


def mean_pool(tokens: Tokens) -> Array:
    """Mean of the tokens that are not padding, zero if all are: [B, L, D] -> [B, D]."""
    total = (tokens.values * tokens.mask[..., None]).sum(1)
    return total / jnp.maximum(tokens.mask.sum(1, keepdims=True), 1.0)


class Plain(nn.Module):
    """Concatenation of each modality's mean token as its encoder gives it, zeros where absent."""

    @nn.compact
    def __call__(self, tokens: Mapping[str, Tokens], present: Mapping[str, Array]) -> Array:
        """tokens {m: [B, L, D_m]}, present {m: [B]} -> [B, sum of D_m], by name of modality."""
        return _joined({m: mean_pool(tokens[m]) for m in tokens}, present)


class Concat(nn.Module):
    """Concatenation of each modality's mean token, normalised, zeros where it is absent.

    So no modality is loud by its scale.
    """

    @nn.compact
    def __call__(self, tokens: Mapping[str, Tokens], present: Mapping[str, Array]) -> Array:
        """tokens {m: [B, L, D_m]}, present {m: [B]} -> [B, sum of D_m], by name of modality."""
        normed = {m: nn.LayerNorm(name=f"norm_{m}")(mean_pool(tokens[m])) for m in sorted(tokens)}
        return _joined(normed, present)


def _joined(features: Mapping[str, Array], present: Mapping[str, Array]) -> Array:
    return jnp.concatenate([features[m] * present[m][:, None] for m in sorted(features)], axis=-1)
