"""Features less their mean over the training set."""

from collections.abc import Mapping

import flax.linen as nn
import jax.numpy as jnp
from jax.lax import stop_gradient

from fsjax.fusion.pooled import presence
from fsjax.types import Array, Tokens


class Centred(nn.Module):
    """A fusion whose features have mean zero over the training set (Wang et al. 2019,
    https://arxiv.org/abs/1911.04623).

    The mean is the parameter `mean`, zero until `calibrate` writes it. Rows of which nothing is
    there have no part in it.
    """

    fusion: nn.Module

    @nn.compact
    def __call__(self, tokens: Mapping[str, Tokens], present: Mapping[str, Array]) -> Array:
        """tokens {m: [B, L, D_m]}, present {m: [B]} -> [B, D]."""
        z = self.fusion(tokens, present)
        mean = self.param("mean", nn.initializers.zeros, (z.shape[-1],))
        there = presence(tokens, present).max(1)
        seen = jnp.matmul(there, z, precision="highest") / jnp.maximum(there.sum(), 1.0)
        for name, value in (("mean", seen), ("rows", there.sum())):
            self.sow("stats", name, value, reduce_fn=_last, init_fn=lambda: None)
        return z - stop_gradient(mean)


def _last(old, new):
    return new
