"""The audio spectrogram transformer, with weights from Hugging Face's hub on the disk."""

import os
from collections.abc import Mapping
from functools import partial
from pathlib import Path as File
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from fsjax.pretrained.encoder import Pretrained, check_waves, digest, in_batches, until_its_end
from fsjax.pretrained.hub import WEIGHTS, hub_config, hub_folder, hub_weights
from fsjax.pretrained.naming import Path, named_params, shapes_of
from fsjax.pretrained.transformer import stack
from fsjax.types import Array, Params

# Unless the variable FSJAX_AST names another, or a folder.
MODEL = "MIT/ast-finetuned-audioset-10-10-0.4593"
RATE = 16000  # samples a second
WINDOW, HOP, BINS = 400, 160, 512  # samples: 25 ms, 10 ms, those of a transform
LOWEST = 20.0  # Hz
FLOOR = 1.192092955078125e-07  # of the power, as in Kaldi
MEAN, DEVIATION = -4.2677393, 4.5689974  # of AudioSet in log-mel bands
# What `config.json` leaves out is as in the first AST.
DEFAULTS = {"hidden_size": 768, "intermediate_size": 3072, "num_hidden_layers": 12}
DEFAULTS |= {"num_attention_heads": 12, "hidden_act": "gelu", "layer_norm_eps": 1e-12}
DEFAULTS |= {"max_length": 1024, "num_mel_bins": 128, "patch_size": 16}
DEFAULTS |= {"frequency_stride": 10, "time_stride": 10}


class SpectrogramTransformer(nn.Module):
    """A transformer over overlapping patches of bands by time (Gong et al. 2021,
    arxiv.org/abs/2104.01778).
    """

    settings: Mapping[str, Any]

    @nn.compact
    def __call__(self, x: Array) -> Array:
        """x [B, frames, bands] normalised, as many as it was trained with -> [B, D]."""
        s = self.settings
        width, side = s["hidden_size"], (s["patch_size"],) * 2
        strides = s["frequency_stride"], s["time_stride"]
        convolve = nn.Conv(width, side, strides, "VALID", name="patches")
        patches = convolve(x.transpose(0, 2, 1)[..., None]).reshape(len(x), -1, width)
        normal = nn.initializers.normal()
        first = [self.param(name, normal, (1, 1, width)) for name in FIRST]
        x = jnp.concatenate([*(jnp.tile(y, (len(x), 1, 1)) for y in first), patches], axis=1)
        x = x + self.param("position_embeddings", normal, (1, x.shape[1], width))
        x = stack(x, s, "layer")
        x = nn.LayerNorm(epsilon=s["layer_norm_eps"], name="layernorm")(x)
        return x[:, :2].mean(1)


FIRST = ("cls_token", "distillation_token")
# Our names of modules and those of the file.
NAMES = {
    "patches": "embeddings.patch_embeddings.projection",
    "layer_norm1": "layernorm_before",
    "layer_norm2": "layernorm_after",
    "q_proj": "query",
    "k_proj": "key",
    "v_proj": "value",
    "self_attn": "attention.attention",
    "mlp_fc1": "intermediate.dense",
    "mlp_fc2": "output.dense",
}


def load_ast(folder: File) -> tuple[SpectrogramTransformer, Params]:
    """The module and its published parameters, without the classes that it was tuned to.

    Args:
      folder: with `model.safetensors` and `config.json`.

    Raises:
      ImportError: if the package safetensors is not installed.
      ValueError: if a file is damaged, the weights do not fit, or are of another network.
    """
    config = hub_config(folder, "audio-spectrogram-transformer")
    module = SpectrogramTransformer({name: config.get(name, x) for name, x in DEFAULTS.items()})
    shape = (1, module.settings["max_length"], module.settings["num_mel_bins"])
    shapes = shapes_of(module.init, jax.ShapeDtypeStruct(shape, jnp.float32))
    of_hub = hub_weights(folder).items()
    weights = {name.removeprefix("audio_spectrogram_transformer."): x for name, x in of_hub}
    classes = [f"classifier.{a}.{b}" for a in ("layernorm", "dense") for b in ("weight", "bias")]
    return module, named_params(shapes, weights, _published, unused=classes)


def _published(path: Path) -> str:
    *modules, own = path
    if not modules:
        return f"embeddings.{own}"
    if modules[1:] == ["self_attn", "out_proj"]:
        modules[1:] = ["attention.output.dense"]
    parts = [NAMES.get(name, name.replace("layer_", "encoder.layer.")) for name in modules]
    return ".".join([*parts, {"kernel": "weight", "scale": "weight"}.get(own, own)])


def filter_bank(wave: np.ndarray, *, frames: int, bands: int) -> np.ndarray:
    """A wave in log-mel bands as Kaldi computes them, normalised as AST was trained to hear them.

    Args:
      wave: [samples] at 16 kHz, at least 25 ms of them.
      frames: of 10 ms; what is beyond is cut off, what is lacking filled up with zeros.
      bands: of the mel scale, from 20 Hz to 8 kHz.

    Returns:
      [frames, bands] float32.
    """
    x = np.lib.stride_tricks.sliding_window_view(wave.astype(np.float64), WINDOW)[::HOP][:frames]
    x = x - x.mean(1, keepdims=True)
    x = x - 0.97 * np.concatenate([x[:, :1], x[:, :-1]], axis=1)
    power = np.abs(np.fft.rfft(x * np.hanning(WINDOW), BINS)) ** 2
    level = np.log(np.maximum(power @ _triangles(bands), FLOOR))
    out = np.zeros((frames, bands))
    out[: len(level)] = level
    return ((out - MEAN) / (2 * DEVIATION)).astype(np.float32)


def _triangles(bands: int) -> np.ndarray:
    """Weights [frequencies, bands], triangular over mel = 1127 log(1 + f / 700)."""

    def mel(hertz):
        return 1127 * np.log1p(np.asarray(hertz) / 700)

    edges = np.linspace(mel(LOWEST), mel(RATE / 2), bands + 2)
    at = mel(np.linspace(0, RATE / 2, BINS // 2 + 1))[:, None]
    up = (at - edges[:-2]) / (edges[1:-1] - edges[:-2])
    down = (edges[2:] - at) / (edges[2:] - edges[1:-1])
    return np.maximum(0, np.minimum(up, down))


def ast() -> Pretrained:
    """Features of sounds by AST (Gong et al. 2021, https://arxiv.org/abs/2104.01778).

    A sound that ends before its row does is followed by nothing, as where it was published, and
    not by silence.

    Returns:
      Waves [N, samples] at 16 kHz, floats in -1..1 or int16 -> [N, D].

    Raises:
      FileNotFoundError: with the command that downloads the weights, if they are not there.
      ImportError, ValueError: as `load_ast`.
      ValueError: `embed`, if rows are no such waves.
    """
    folder = hub_folder(os.environ.get("FSJAX_AST", MODEL))
    module, params = load_ast(folder)
    sizes = {"frames": module.settings["max_length"], "bands": module.settings["num_mel_bins"]}
    forward = partial(jax.jit(lambda params, x: module.apply({"params": params}, x)), params)

    def embed(waves: np.ndarray) -> np.ndarray:
        waves = check_waves(waves, "ast", RATE, WINDOW)

        def heard(some: np.ndarray) -> np.ndarray:
            ended = (until_its_end(wave, least=WINDOW) for wave in some)
            return forward(np.stack([filter_bank(wave, **sizes) for wave in ended]))

        return in_batches(heard, waves, batch=4)

    key = digest(folder / WEIGHTS, until_its_end=True, **module.settings)
    return Pretrained("ast", key, "audio", embed, RATE)
