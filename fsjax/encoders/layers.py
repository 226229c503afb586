"""What several encoders share."""

from collections.abc import Callable
from functools import partial

import flax.linen as nn
import jax.numpy as jnp
from flax.linen.dtypes import promote_dtype
from jax.lax import collapse

from fsjax.encoders.convolution import conv3x3, conv3x3_stride2
from fsjax.encoders.norms import CalibratedNorm, Maps
from fsjax.encoders.pooled_convolution import convolved
from fsjax.encoders.pooling import Pool, max_pool2x2
from fsjax.types import Array, Tokens

Norm = Callable[[], nn.Module]  # called as those of `fsjax.encoders.norms`
ToTokens = Callable[[Array], Tokens]  # of feature maps [B, H, W, D]


def as_float(x: Array) -> Array:
    """Floating values as they are, uint8 scaled to [-1, 1], others as float32; NumPy's in JAX's
    precision.
    """
    x = jnp.asarray(x)
    if x.dtype == jnp.uint8:
        return x / 127.5 - 1.0
    return x if jnp.issubdtype(x.dtype, jnp.floating) else x.astype(jnp.float32)


def as_image(x: Array) -> Array:
    """Pictures [B, H, W, C] as `as_float`, those [B, H, W] of one channel [B, H, W, 1].

    Raises:
      ValueError: if rows are neither, as waves [B, samples] are.
    """
    if x.ndim not in (3, 4):
        raise ValueError(
            f"rows of shape {list(x.shape[1:])} are neither pictures [H, W, C] nor frames "
            "[frames, bands]: waves become frames by fsjax.data.preprocess.log_mel, or are heard "
            "by a published encoder, as config.frozen=audio:soundnet"
        )
    return as_float(x[..., None] if x.ndim == 3 else x)


def spatial_tokens(x: Array) -> Tokens:
    """Feature maps [B, H, W, D] as tokens [B, H * W, D], none of them padding."""
    tokens = collapse(x, 1, 3)
    return Tokens(tokens, jnp.ones(tokens.shape[:2]))


def one_token(x: Array) -> Tokens:
    """Features [B, D] as one token a row."""
    return Tokens(x[:, None], jnp.ones((len(x), 1)))


def flat_token(x: Array) -> Tokens:
    """Feature maps [B, H, W, D] as one token [B, 1, H * W * D], each place apart."""
    return one_token(collapse(x, 1))


class Conv3x3(nn.Module):
    """A 3x3 convolution, zero padding, closed under differentiation, vmap and scan."""

    features: int
    convolve: Callable[[Array, Array], Array | Maps] = conv3x3

    @nn.compact
    def __call__(self, x: Array) -> Array | Maps:
        """x [B, H, W, C] -> [B, H, W, features], or half of H and W with `conv3x3_stride2`; or
        `Maps`, with `convolved`.
        """
        shape = (3, 3, x.shape[-1], self.features)
        kernel = self.param("kernel", nn.initializers.he_normal(), shape)
        return self.convolve(*promote_dtype(x, kernel))


class ConvBlock(nn.Module):
    """Convolution, normalisation, ReLU, 2x2 max pooling unless told otherwise."""

    features: int
    norm: Norm = CalibratedNorm
    pool: Pool = max_pool2x2

    @nn.compact
    def __call__(self, x: Array, weight: Array, *, train: bool) -> Array:
        """x [B, H, W, C], weight [B] -> [B, H // 2, W // 2, features]."""
        maps = Conv3x3(self.features, partial(convolved, pool=self.pool))(x)
        # ReLU and maximum commute, and there is less left after pooling.
        return nn.relu(self.norm()(maps, weight, train=train))


class StridedBlock(nn.Module):
    """Convolution of stride 2 in place of pooling, normalisation, ReLU."""

    features: int
    norm: Norm = CalibratedNorm

    @nn.compact
    def __call__(self, x: Array, weight: Array, *, train: bool) -> Array:
        """x [B, H, W, C], weight [B] -> [B, ceil(H / 2), ceil(W / 2), features]."""
        x = Conv3x3(self.features, conv3x3_stride2)(x)
        return nn.relu(self.norm()(x, weight, train=train))
