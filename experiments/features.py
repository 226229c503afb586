"""What files are seen through where nothing of ours has trained: published encoders, or features
that need no weights.
"""

from collections.abc import Callable, Mapping
from functools import partial
from typing import NamedTuple

import flax.linen as nn
import jax
import numpy as np
from PIL import Image

from experiments import build, cache
from experiments.names import check_name
from fsjax.data import sounds
from fsjax.data.columns import kind_in
from fsjax.data.csv_table import BANDS
from fsjax.data.files import Sizes
from fsjax.data.preprocess import at_unit_length, bags_of_ngrams, resize_image
from fsjax.encoders.tabular import BesideOne, Raw, Standardised
from fsjax.pretrained import Pretrained
from fsjax.pretrained.encoder import check_waves
from fsjax.pretrained.soundnet import RATE
from fsjax.types import Inputs


class Embed(NamedTuple):
    """Features that nothing of ours has trained."""

    name: str
    embed: Callable[[np.ndarray], np.ndarray]  # rows [N, ...] -> [N, D] float32
    encoder: Callable[[], nn.Module]  # what brings them to unit length
    sizes: Mapping[str, int]  # of `Sizes`, those that it wants


def _standardised() -> nn.Module:
    return Standardised(Raw())


def _numbers() -> nn.Module:
    return Standardised(BesideOne(Raw()))


def _flat(x: np.ndarray) -> np.ndarray:
    return x.reshape(len(x), -1).astype(np.float32)


def _pixels(x: np.ndarray) -> np.ndarray:
    if x.shape[1] > PIXELS:
        x = np.stack([resize_image(Image.fromarray(image), PIXELS) for image in x])
    return _flat(x)


def _begun(x: np.ndarray) -> np.ndarray:
    """The loudest 40 dB, begun at the first frame within 20 dB of the loudest point and silent
    after the last: [N, frames, bands] in dB -> as many in 0..1.
    """
    level = np.clip(1 + (x - x.max(axis=(1, 2), keepdims=True)) / 40, 0, 1)
    out = np.zeros_like(level, np.float32)
    for aligned, frames in zip(out, level, strict=True):
        first, last = np.flatnonzero(frames.max(1) >= 0.5)[[0, -1]]
        aligned[: last + 1 - first] = frames[first : last + 1]
    return out


def _heard(x: np.ndarray) -> np.ndarray:
    return _flat(_begun(x))


def frames_of(waves: np.ndarray, frames: int) -> np.ndarray:
    """Waves [N, samples] int16 at `RATE` in log-mel frames of 20 ms: [N, frames, 32] in dB."""
    first = check_waves(waves[:, : RATE * frames // 50], "log-mel frames", RATE)
    low = sounds.resampled(first, RATE, LOW_RATE)
    return np.stack([sounds.log_mel_frames(wave, LOW_RATE, frames) for wave in low])


def listened(waves: np.ndarray) -> np.ndarray:
    """The first `FRAMES` from where a sound begins, wherever that is: waves [N, samples] int16 at
    `RATE` -> [N, FRAMES, 32] in 0..1, the loudest 40 dB.
    """
    return _begun(frames_of(waves, max(FRAMES, waves.shape[1] * 50 // RATE)))[:, :FRAMES]


def _waveforms(x: np.ndarray) -> np.ndarray:
    """Each channel of a series at mean 0 and deviation 1, as series are compared by neighbours in
    Bagnall et al. 2017 (https://doi.org/10.1007/s10618-016-0483-9): [N, T, C] -> [N, T * C].
    """
    centred = x - x.mean(1, keepdims=True)
    deviation = centred.std(1, keepdims=True)
    varies = deviation > 1e-5 * np.abs(x).max(1, keepdims=True)
    return _flat(np.divide(centred, deviation, out=np.zeros_like(centred), where=varies))


def _ngrams(codes: np.ndarray) -> np.ndarray:
    """Texts of `encode_texts` as bags of n-grams: [N, L] -> [N, 1024]."""
    texts = [bytes((row[row > 0] - 1).astype(np.uint8)).decode("utf-8", "ignore") for row in codes]
    return bags_of_ngrams(texts)


PIXELS = 32
FRAMES, LOW_RATE = 96, 16000
SECONDS = 5  # of a sound
WAVES = {"wave": SECONDS * RATE, "sample_rate": RATE}
# By kind of rows: what makes features of them where nothing is trained.
EMBEDS: dict[str, Embed] = {
    "image": Embed("pixels", _pixels, _standardised, {"image": PIXELS}),
    "frames": Embed("log-mel frames", _heard, Raw, {}),
    "audio": Embed("log-mel frames", lambda waves: _flat(listened(waves)), Raw, WAVES),
    "series": Embed("series, each channel at deviation 1", _waveforms, Raw, {}),
    "text": Embed("n-grams of letters", _ngrams, Raw, {"text": 256}),
    "numbers": Embed("numbers", _flat, _numbers, {}),
}
# Of `build.PRETRAINED`, what sees them better, and the sizes that it wants.
PUBLISHED = {
    "image": ("efficientnet_lite0", {"image": 160}),
    "audio": ("soundnet", WAVES),
    "text": ("minilm", {"text": build.READ}),
}
# What SoundNet was taught by is no speech: its features stand beside those that tell words apart.
BESIDE = ("audio",)
SIZES = Sizes(image=160, text=build.READ, **WAVES)  # that serve all of these
FEATURES = ("published", "plain")


def kind_of_steps(name: str, channels: int) -> str:
    """Whether numbers step by step are a "series" or the "frames" of a sound: as its name says, or
    by the bands that frames have.
    """
    said = {"audio": "frames", "series": "series"}
    return said.get(kind_in(name), "frames" if channels == BANDS else "series")


def kind_of(x: np.ndarray, name: str = "") -> str:
    """What rows are, by their type and shape, and by their name where these do not tell.

    Raises:
      ValueError: if nothing is made of such rows.
    """
    axes, of_bytes = x.ndim, x.dtype == np.uint8
    if of_bytes and axes == 4:
        return "image"
    if np.issubdtype(x.dtype, np.integer) and not of_bytes and axes == 2:
        return "audio" if x.dtype == np.int16 else "text"
    if x.dtype.kind in "fb" and axes in (2, 3):
        return kind_of_steps(name, x.shape[2]) if axes == 3 else "numbers"
    raise ValueError(
        f"rows of shape {list(x.shape[1:])} and type {x.dtype} are none that features are made of: "
        "give images [H, W, C] uint8, sounds [samples] int16 or [frames, 32] floats in dB, "
        "series [steps, channels] floats, texts [bytes] int32 or [numbers] floats"
    )


def embed_of(kind: str, features: str) -> tuple[Embed, str]:
    """What makes features of rows of a kind, and what to do for better ones.

    Args:
      kind: as of `kind_of`.
      features: "published" or "plain".

    Raises:
      ValueError: if features are neither.
    """
    check_name(FEATURES, features, "--features")
    if features == "plain" or kind not in PUBLISHED:
        return EMBEDS[kind], ""
    name, sizes = PUBLISHED[kind]
    try:
        encoder = build.PRETRAINED[name]()
    except ImportError as error:
        return EMBEDS[kind], f"; {name} would see {kind} better: {error}"
    embed = partial(cache.features, encoder)
    if kind not in BESIDE:
        return Embed(name, embed, Raw, sizes), ""
    plain = EMBEDS[kind]

    def both(x: np.ndarray) -> np.ndarray:
        return np.concatenate([at_unit_length(f(x)) for f in (embed, plain.embed)], axis=1)

    return Embed(f"{name} and {plain.name}", both, Raw, sizes), ""


def of_those_there(
    embed: Callable[[np.ndarray], np.ndarray], inputs: Inputs, modality: str
) -> np.ndarray:
    """Features of the rows that have a modality, zeros for the others."""
    x, there = np.asarray(inputs.values[modality]), np.flatnonzero(inputs.present[modality])
    some = embed(x[there] if len(there) else x[:1])
    z = np.zeros((len(x), *some.shape[1:]), np.float32)
    z[there] = some[: len(there)]
    return z


def read_for(
    encoder: Pretrained, seconds: float, row: jax.ShapeDtypeStruct | None = None
) -> jax.ShapeDtypeStruct:
    """A row as it is to be read for a published encoder.

    Args:
      encoder: any.
      seconds: of a sound, for one that hears waves.
      row: as rows were read in training, whose size it then has, if that is known.
    """
    shape, dtype = {
        "audio": ((round(seconds * encoder.rate),), np.int16),
        "image": ((SIZES.image, SIZES.image, 3), np.uint8),
        "text": ((SIZES.text,), np.int32),
    }[encoder.modality]
    return jax.ShapeDtypeStruct(row.shape if row else shape, dtype)
