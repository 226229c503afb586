"""Modalities kept apart in one vector, for heads that fuse what they make of each."""

from collections.abc import Mapping, Sequence

import flax.linen as nn
import jax.numpy as jnp
from jax.lax import collapse

from fsjax.fusion.pooled import WeightedSum, normed, presence
from fsjax.types import Array, Tokens


class Stacked(nn.Module):
    """Equal places for all modalities, for late fusion: `fsjax.heads.late`.

    A place holds the mean token, normalised to length one and filled up with zeros to the widest,
    and in the end whether the modality is there; it is all zeros where it is not.
    """

    @nn.compact
    def __call__(self, tokens: Mapping[str, Tokens], present: Mapping[str, Array]) -> Array:
        """tokens {m: [B, L_m, D_m]}, present {m: [B]} -> [B, M * (widest D_m + 1)], by name."""
        return _side_by_side(list(normed(tokens).values()), presence(tokens, present))


class StackedInCommon(nn.Module):
    """The places of `Stacked`, and behind them one in which all modalities of a row meet.

    As the private and shared spaces of Hazarika et al. 2020, MISA
    (https://arxiv.org/abs/2005.03547). Rows that have no modality in common are compared there.
    """

    features: int = 256  # of the common space

    @nn.compact
    def __call__(self, tokens: Mapping[str, Tokens], present: Mapping[str, Array]) -> Array:
        """tokens {m: [B, L_m, D_m]}, present {m: [B]} -> [B, (M + 1) * (widest + 1)], by name."""
        met = WeightedSum(self.features)(tokens, present)
        there = presence(tokens, present)
        places = [*normed(tokens).values(), nn.LayerNorm(name="norm_common")(met)]
        return _side_by_side(places, jnp.append(there, there.max(1, keepdims=True), axis=1))


def _side_by_side(places: Sequence[Array], there: Array) -> Array:
    """[B, D_m] of each place, [B, M] -> [B, M * (widest D_m + 1)]."""
    widest = max(x.shape[-1] for x in places)
    # Rows of a layer norm are as long as the root of their width.
    units = [
        jnp.pad(x / jnp.sqrt(x.shape[-1]), ((0, 0), (0, widest - x.shape[-1]))) for x in places
    ]
    stacked = jnp.stack(units, axis=1) * there[..., None]
    return collapse(jnp.concatenate([stacked, there[..., None]], axis=-1), 1)
