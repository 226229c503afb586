"""Encoders of sound."""

import flax.linen as nn

from fsjax.encoders.layers import ConvBlock, Norm, ToTokens, as_image, flat_token
from fsjax.encoders.norms import CalibratedNorm
from fsjax.types import Array, Tokens


class ConvAudio(nn.Module):
    """Convolution blocks over log-mel frames, read as an image of one channel."""

    features: tuple[int, ...] = (32, 64, 64, 64)
    norm: Norm = CalibratedNorm
    tokens: ToTokens = flat_token

    @nn.compact
    def __call__(self, x: Array, weight: Array, *, train: bool = False) -> Tokens:
        """x [B, frames, mels] uint8 or float, weight [B] -> tokens [B, 1, P * features[-1]].

        Each block halves both axes, so P = frames / 2^blocks * mels / 2^blocks places.
        """
        x = as_image(x)
        for features in self.features:
            x = ConvBlock(features, self.norm)(x, weight, train=train)
        return self.tokens(x)
