"""SoundNet with the weights that it was published with."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from fsjax.pretrained.efficientnet import FixedNorm
from fsjax.pretrained.encoder import (
    Pretrained,
    check_waves,
    digest,
    in_batches,
    package_file,
    until_its_end,
)
from fsjax.pretrained.naming import Path, named_params, shapes_of
from fsjax.pretrained.npy import read_npy
from fsjax.types import Array, Params

PACKAGE, FILE = "soundnet", "soundnet/models/sound8.npy"
RATE = 22050  # samples a second
SCALE = 256.0  # of a wave at full scale, as the network was trained to hear it
# Samples of a kernel, which moves by two; channels; values of which the largest stays.
LAYERS = (
    (64, 16, 8),
    (32, 32, 8),
    (16, 64, 1),
    (8, 128, 1),
    (4, 256, 4),
    (4, 512, 1),
    (4, 1024, 1),
)


class SoundNet(nn.Module):
    """Convolutions over a wave, taught by networks that saw the pictures of its film (Aytar et al.
    2016, arxiv.org/abs/1610.09001).
    """

    layers: int = len(LAYERS)

    @nn.compact
    def __call__(self, x: Array) -> Array:
        """x [B, samples] in -256..256, 4574 or more -> [B, steps, channels] of the last layer."""
        x, pooled = x[..., None], 1
        for number, (window, channels, largest) in enumerate(LAYERS[: self.layers], 1):
            x = nn.max_pool(x, (pooled,), (pooled,))
            pad = window // 2
            x = nn.Conv(channels, (window,), (2,), [(pad, pad)], name=f"conv{number}")(x)
            x, pooled = nn.relu(FixedNorm(1e-5, name=f"norm{number}")(x)), largest
        return x


def load_soundnet(*, layers: int = len(LAYERS)) -> tuple[SoundNet, Params]:
    """The module and its published parameters, without the classes that it was taught.

    Args:
      layers: how many of its seven there are.

    Raises:
      ImportError: with the command to install the package of the weights, if it is absent.
      ValueError: if the weights do not fit.
    """
    module = SoundNet(layers)
    shapes = shapes_of(module.init, jax.ShapeDtypeStruct((1, RATE), jnp.float32))
    # [window, 1, in, out] to PyTorch's order, outputs first.
    weights = {
        name: x[:, 0].transpose(2, 1, 0) if name.endswith("/weights") else x
        for name, x in read_npy(package_file(PACKAGE, FILE)).items()
    }
    above = [name for name in weights if not name.startswith(NAMES[:layers])]
    return module, named_params(shapes, weights, _published, unused=above)


NAMES = tuple(f"conv{number}/" for number in range(1, len(LAYERS) + 1))
_OF_CONV = {"kernel": "weights", "bias": "biases"}
_OF_NORM = {"scale": "gamma", "bias": "beta", "mean": "mean", "var": "var"}


def _published(path: Path) -> str:
    module, own = path
    of = _OF_NORM if module.startswith("norm") else _OF_CONV
    return f"{module.replace('norm', 'conv')}/{of[own]}"


def soundnet(*, layers: int = 6) -> Pretrained:
    """Features of sounds by SoundNet (Aytar et al. 2016, https://arxiv.org/abs/1610.09001).

    A sound that ends before its row does is heard again and again until the row is full.

    Args:
      layers: of its seven; features are the mean of the last one's over time.

    Returns:
      Waves [N, samples] at 22.05 kHz, floats in -1..1 or int16, of any length -> [N, 512], or as
      many as the last layer has channels.

    Raises:
      ImportError, ValueError: as `load_soundnet`.
      ValueError: `embed`, if rows are no such waves.
    """
    module, params = load_soundnet(layers=layers)
    forward = jax.jit(lambda params, x: module.apply({"params": params}, SCALE * x).mean(1))

    def heard(waves: np.ndarray) -> np.ndarray:
        return forward(params, np.stack([_filled(wave) for wave in waves]))

    def embed(waves: np.ndarray) -> np.ndarray:
        return in_batches(heard, check_waves(waves, "soundnet", RATE), batch=16)

    key = digest(package_file(PACKAGE, FILE), layers=layers)
    return Pretrained("soundnet", key, "audio", embed, RATE)


def _filled(wave: np.ndarray) -> np.ndarray:
    """A wave again and again, without the zeros at its end: a second at least."""
    return np.resize(until_its_end(wave), max(len(wave), RATE))
