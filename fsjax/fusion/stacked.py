"""Modalities kept apart in one vector, for heads that fuse what they make of each."""

from collections.abc import Mapping

import flax.linen as nn
import jax.numpy as jnp

from fsjax.fusion.pooled import normed, presence
from fsjax.types import Array, Tokens


class Stacked(nn.Module):
    """Equal places for all modalities, for late fusion: `fsjax.heads.late`.

    A place holds the mean token, normalised to length one and filled up with zeros to the widest,
    and in the end whether the modality is there; it is all zeros where it is not.
    """

    @nn.compact
    def __call__(self, tokens: Mapping[str, Tokens], present: Mapping[str, Array]) -> Array:
        """tokens {m: [B, L_m, D_m]}, present {m: [B]} -> [B, M * (widest D_m + 1)], by name."""
        means, there = normed(tokens), presence(tokens, present)
        widest = max(x.shape[-1] for x in means.values())
        # Rows of a layer norm are as long as the root of their width.
        places = [
            jnp.pad(x / jnp.sqrt(x.shape[-1]), ((0, 0), (0, widest - x.shape[-1])))
            for x in means.values()
        ]
        stacked = jnp.stack(places, axis=1) * there[..., None]
        return jnp.concatenate([stacked, there[..., None]], axis=-1).reshape(len(there), -1)
