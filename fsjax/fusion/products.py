"""Fusion by products over the modalities that are there."""

from collections.abc import Mapping

import flax.linen as nn
import jax.numpy as jnp

from fsjax.fusion.pooled import normed, presence, projected, tell_shares
from fsjax.types import Array, Tokens


class LowRank(nn.Module):
    """The outer product of all modalities, each with a one beside it, read by a tensor of low rank
    (Liu et al. 2018, https://arxiv.org/abs/1806.00064).

    With factors W_m of rank R the features are sum_r prod_m W_m^r [x_m; 1]; a modality that is
    absent is a factor of one.
    """

    features: int = 256
    rank: int = 4

    @nn.compact
    def __call__(self, tokens: Mapping[str, Tokens], present: Mapping[str, Array]) -> Array:
        """tokens {m: [B, L_m, D_m]}, present {m: [B]} -> [B, features], zero if none is there."""
        there = presence(tokens, present)
        factors = projected(tokens, self.rank * self.features, "factor")
        product = jnp.where(there[..., None] > 0, factors, 1.0).prod(1)
        summed = product.reshape(-1, self.rank, self.features).sum(1)
        return summed * there.max(1, keepdims=True)


class ProductOfExperts(nn.Module):
    """The mean of a product of Gaussians, one of each modality that is there and a standard normal
    one (Wu & Goodman 2018, https://arxiv.org/abs/1802.05335).

    The product of densities N(m_i, 1 / p_i) has the mean sum_i p_i m_i / sum_i p_i: an expert
    counts by its precision, which it tells of every feature of every row.
    """

    features: int = 256

    @nn.compact
    def __call__(self, tokens: Mapping[str, Tokens], present: Mapping[str, Array]) -> Array:
        """tokens {m: [B, L_m, D_m]}, present {m: [B]} -> [B, features], zero if none is there.

        Sows into "intermediates" the share [B] of each modality in the precision, mean over
        features.
        """
        there = presence(tokens, present)
        means, told = [], []
        for m, x in normed(tokens).items():
            means.append(nn.Dense(self.features, name=f"mean_{m}")(x))
            told.append(nn.Dense(self.features, name=f"precision_{m}")(x))
        means, told = jnp.stack(means, axis=1), jnp.stack(told, axis=1)  # [B, M, features]
        precision = nn.softplus(told) * there[..., None]
        total = 1.0 + precision.sum(1)
        tell_shares(self, tokens, (precision / total[:, None]).mean(-1))
        return (precision * means).sum(1) / total
