"""Learned comparisons of feature maps, for the head `fsjax.heads.relation`."""

import math

import flax.linen as nn
import jax.numpy as jnp
from jax.lax import collapse

from fsjax.encoders.layers import Conv3x3, ConvBlock
from fsjax.encoders.norms import GroupNorm
from fsjax.encoders.pooling import max_pool2x2
from fsjax.types import Array


class ConvRelation(nn.Module):
    """The relation module of Sung et al. 2018 (https://arxiv.org/abs/1711.06025) on pairs of maps.

    Two convolution blocks over the maps of a class and of a query side by side, and two dense
    layers. Each pair is normalised by itself: the paper's batch statistics over all pairs would
    let a query see the others.
    """

    channels: int = 64  # of the encoder's maps
    features: int = 64

    @nn.compact
    def __call__(self, classes: Array, queries: Array) -> Array:
        """classes [W, H * H * channels], queries [Q, H * H * channels] -> logits [Q, W]."""
        # A convolution of two maps side by side is the sum of one of each, and there are far
        # fewer maps than pairs.
        of_classes = Conv3x3(self.features, name="of_classes")(self._maps(classes))
        of_queries = Conv3x3(self.features, name="of_queries")(self._maps(queries))
        pairs = of_queries[:, None] + of_classes
        x = pairs.reshape(-1, *pairs.shape[2:])
        each = jnp.ones(len(x))
        x = max_pool2x2(nn.relu(GroupNorm()(x, each, train=False)))
        x = ConvBlock(self.features, GroupNorm)(x, each, train=False)
        x = nn.relu(nn.Dense(8)(collapse(x, 1)))
        return nn.Dense(1)(x).reshape(pairs.shape[:2])

    def _maps(self, x: Array) -> Array:
        side = math.isqrt(x.shape[-1] // self.channels)
        if side < 4 or side * side * self.channels != x.shape[-1]:
            raise ValueError(
                f"ConvRelation compares square maps of {self.channels} channels and 4 x 4 places "
                f"at least, and got features of length {x.shape[-1]}: give the image to an encoder "
                "that pools less, as conv4_maps, and nothing else to the fusion plain"
            )
        return x.reshape(-1, side, side, self.channels)
