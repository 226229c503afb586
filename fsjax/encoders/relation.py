"""Relation modules that compare feature maps."""

import flax.linen as nn
import jax.numpy as jnp

from fsjax.encoders.layers import ConvBlock
from fsjax.encoders.norms import GroupNorm
from fsjax.types import Array


class ConvRelation(nn.Module):
    """Two convolution blocks over the maps of a pair, one behind the other in depth, then two
    dense layers (Sung et al. 2018, https://arxiv.org/abs/1711.06025).

    Normalised by groups and not by the batch, so that pairs do not see each other.
    """

    shape: tuple[int, int, int]  # H, W, C of the maps
    features: int = 64
    hidden: int = 8

    @nn.compact
    def __call__(self, a: Array, b: Array) -> Array:
        """a, b [N, H * W * C] -> [N], before the sigmoid."""
        maps = [z.reshape(-1, *self.shape) for z in (a, b)]
        x = jnp.concatenate(maps, axis=-1)
        for _ in range(2):
            x = ConvBlock(self.features, GroupNorm)(x, jnp.ones(len(x)), train=False)
        x = nn.relu(nn.Dense(self.hidden)(x.reshape(len(x), -1)))
        return nn.Dense(1)(x)[:, 0]
