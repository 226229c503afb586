"""Encoders of series: what was measured step by step, as the path of a pen or a heart's current."""

import flax.linen as nn
import jax.numpy as jnp

from fsjax.encoders.layers import Norm, ToTokens, as_float, flat_token
from fsjax.encoders.norms import CalibratedNorm
from fsjax.types import Array, Tokens


def windows(x: Array, width: int) -> Array:
    """Each step beside those around it, zeros beyond the ends: [B, T, C] -> [B, T, width * C]."""
    before = (width - 1) // 2
    padded = jnp.pad(x, ((0, 0), (before, width - 1 - before), (0, 0)))
    shifted = [padded[:, i : i + x.shape[1]] for i in range(width)]
    return jnp.concatenate(shifted, axis=-1)


def max_of_pairs(x: Array) -> Array:
    """The larger of every two steps, an odd last one dropped: [B, T, C] -> [B, T // 2, C].

    Raises:
      ValueError: if there are no two steps.
    """
    pairs = x.shape[1] // 2
    if not pairs:
        raise ValueError(
            f"{x.shape[1]} steps are too few to be pooled once more: give longer series, or an "
            "encoder with fewer blocks, as encoders.series=conv_series_short"
        )
    return jnp.maximum(x[:, 0 : 2 * pairs : 2], x[:, 1 : 2 * pairs : 2])


class ConvSeries(nn.Module):
    """Convolution blocks over time, those of Wang et al. 2017 (https://arxiv.org/abs/1611.06455)
    with pooling between them, as `Conv4` has it for images.

    A convolution is a product of windows, which differentiates and batches as products do.
    """

    features: tuple[int, ...] = (64, 64, 64, 64)
    width: int = 5  # steps that a kernel sees
    norm: Norm = CalibratedNorm
    tokens: ToTokens = flat_token

    @nn.compact
    def __call__(self, x: Array, weight: Array, *, train: bool = False) -> Tokens:
        """x [B, T, C], or [B, T] of one number a step, weight [B] -> tokens [B, 1, D].

        D is features[-1] for each step that is left, T / 2^blocks.
        """
        x = as_float(x[..., None] if x.ndim == 2 else x)
        for features in self.features:
            x = nn.Dense(features, use_bias=False)(windows(x, self.width))
            x = nn.relu(self.norm()(x, weight, train=train, pool=max_of_pairs))
        return self.tokens(x)
