"""Fusion of modalities that were pooled each by itself."""

from collections.abc import Mapping

import flax.linen as nn
import jax.numpy as jnp

from fsjax.fusion.attention import masked_softmax
from fsjax.types import Array, Tokens


def mean_pool(tokens: Tokens) -> Array:
    """Mean of the tokens that are not padding, zero if all are: [B, L, D] -> [B, D]."""
    total = (tokens.values * tokens.mask[..., None]).sum(1)
    return total / jnp.maximum(tokens.mask.sum(1, keepdims=True), 1.0)


def normed(tokens: Mapping[str, Tokens]) -> dict[str, Array]:
    """Each modality's mean token, normalised, so that none is loud by its scale: {m: [B, D_m]}.

    For a compact method, whose module gets the norms; by name of modality, whatever their order.
    """
    return {m: nn.LayerNorm(name=f"norm_{m}")(mean_pool(tokens[m])) for m in sorted(tokens)}


def projected(tokens: Mapping[str, Tokens], features: int, name: str = "project") -> Array:
    """Each modality's mean token, normalised and mapped to a common space: [B, M, features].

    For a compact method, as `normed`.
    """
    means = normed(tokens)
    return jnp.stack([nn.Dense(features, name=f"{name}_{m}")(x) for m, x in means.items()], axis=1)


def joined(features: Mapping[str, Array], present: Mapping[str, Array]) -> Array:
    """Features {m: [B, D_m]} side by side, by name of modality, zeros where one is absent."""
    return jnp.concatenate([features[m] * present[m][:, None] for m in sorted(features)], axis=-1)


def presence(tokens: Mapping[str, Tokens], present: Mapping[str, Array]) -> Array:
    """[B, M], by name of modality: 1 where it is there and has a token, else 0."""
    return jnp.stack([present[m] * tokens[m].mask.max(1) for m in sorted(tokens)], axis=1)


def tell_shares(module: nn.Module, names: Mapping[str, Tokens], shares: Array) -> None:
    """Sows into "intermediates" how much [B, M] of the features each modality makes up."""
    for m, share in zip(sorted(names), shares.T, strict=True):
        module.sow("intermediates", m, share)


class Plain(nn.Module):
    """Concatenation of each modality's mean token as its encoder gives it, zeros where absent."""

    @nn.compact
    def __call__(self, tokens: Mapping[str, Tokens], present: Mapping[str, Array]) -> Array:
        """tokens {m: [B, L_m, D_m]}, present {m: [B]} -> [B, sum of D_m], by name of modality."""
        return joined({m: mean_pool(tokens[m]) for m in tokens}, present)


class Concat(nn.Module):
    """Concatenation of each modality's mean token, normalised, zeros where it is absent.

    So no modality is loud by its scale.
    """

    @nn.compact
    def __call__(self, tokens: Mapping[str, Tokens], present: Mapping[str, Array]) -> Array:
        """tokens {m: [B, L_m, D_m]}, present {m: [B]} -> [B, sum of D_m], by name of modality."""
        return joined(normed(tokens), present)


class WeightedSum(nn.Module):
    """The mean of the modalities that are there, in a common space and by learned weights."""

    features: int = 256

    @nn.compact
    def __call__(self, tokens: Mapping[str, Tokens], present: Mapping[str, Array]) -> Array:
        """tokens {m: [B, L_m, D_m]}, present {m: [B]} -> [B, features], zero if none is there.

        Sows into "intermediates" the weight [B] of each modality.
        """
        there = presence(tokens, present)
        logits = self.param("weights", nn.initializers.zeros, (len(tokens),))
        weights = masked_softmax(jnp.broadcast_to(logits, there.shape), there)
        tell_shares(self, tokens, weights)
        return jnp.einsum("bm,bmf->bf", weights, projected(tokens, self.features))
