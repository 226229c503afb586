"""Encoders of images."""

import flax.linen as nn
from flax.linen import leaky_relu

from fsjax.encoders.layers import (
    Conv3x3,
    ConvBlock,
    Norm,
    StridedBlock,
    ToTokens,
    as_image,
    flat_token,
    spatial_tokens,
)
from fsjax.encoders.norms import CalibratedNorm
from fsjax.encoders.pooling import max_pool2x2, no_pool
from fsjax.types import Array, Tokens


class Conv4(nn.Module):
    """Four convolution blocks (Vinyals et al. 2016, https://arxiv.org/abs/1606.04080).

    The last maps are one token, as in the papers, or with `spatial_tokens` one for each place.
    """

    features: tuple[int, ...] = (64, 64, 64, 64)
    norm: Norm = CalibratedNorm
    tokens: ToTokens = flat_token
    pooled: int = 4  # blocks that pool, the first ones; two in relation networks

    @nn.compact
    def __call__(self, x: Array, weight: Array, *, train: bool = False) -> Tokens:
        """x [B, H, W, C] or [B, H, W], uint8 or float, weight [B] -> tokens [B, 1, D].

        D is features[-1] for each place that is left, H / 2^pooled * W / 2^pooled.
        """
        x = as_image(x)
        for block, features in enumerate(self.features):
            pool = max_pool2x2 if block < self.pooled else no_pool
            x = ConvBlock(features, self.norm, pool)(x, weight, train=train)
        return self.tokens(x)


class StridedConv4(nn.Module):
    """Four convolutions of stride 2: the network of Finn et al. 2017 for Omniglot
    (https://arxiv.org/abs/1703.03400), a tenth of the arithmetic of Conv4.
    """

    features: tuple[int, ...] = (64, 64, 64, 64)
    norm: Norm = CalibratedNorm
    tokens: ToTokens = flat_token

    @nn.compact
    def __call__(self, x: Array, weight: Array, *, train: bool = False) -> Tokens:
        """x [B, H, W, C] or [B, H, W], uint8 or float, weight [B] -> tokens [B, 1, D].

        D is features[-1] for each place that is left, H / 16 * W / 16, rounded up.
        """
        x = as_image(x)
        for features in self.features:
            x = StridedBlock(features, self.norm)(x, weight, train=train)
        return self.tokens(x)


class Halved(nn.Module):
    """An encoder that sees images at half their height and width, at a quarter of its cost."""

    encoder: nn.Module

    def __call__(self, x: Array, weight: Array, *, train: bool = False) -> Tokens:
        """x [B, H, W, C] or [B, H, W], uint8 or float, weight [B] -> tokens of the encoder."""
        return self.encoder(nn.avg_pool(as_image(x), (2, 2), (2, 2)), weight, train=train)


class _ResidualBlock(nn.Module):
    features: int
    norm: Norm

    @nn.compact
    def __call__(self, x: Array, weight: Array, *, train: bool) -> Array:
        # Flat: the gradient of a product with more axes copies them turned around.
        shortcut = nn.Dense(self.features, use_bias=False)(x.reshape(-1, x.shape[-1]))
        shortcut = shortcut.reshape(*x.shape[:-1], self.features)
        shortcut = self.norm()(shortcut, weight, train=train)
        for last in (False, False, True):
            x = self.norm()(Conv3x3(self.features)(x), weight, train=train)
            x = leaky_relu(x + shortcut if last else x, 0.1)
        return max_pool2x2(x)


class ResNet12(nn.Module):
    """Residual network of twelve convolutions (Oreshkin et al. 2018, arxiv.org/abs/1805.10123).

    Widths as in Lee et al. 2019 (https://arxiv.org/abs/1904.03758), without DropBlock.
    """

    features: tuple[int, ...] = (64, 160, 320, 640)
    norm: Norm = CalibratedNorm

    @nn.compact
    def __call__(self, x: Array, weight: Array, *, train: bool = False) -> Tokens:
        """x [B, H, W, C] or [B, H, W], uint8 or float, weight [B] -> tokens [B, P, features[-1]].

        P = H / 16 * W / 16 places.
        """
        x = as_image(x)
        for features in self.features:
            x = _ResidualBlock(features, self.norm)(x, weight, train=train)
        return spatial_tokens(x)
