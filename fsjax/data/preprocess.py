"""From a picture, a wave or a text to an array of fixed shape."""

import hashlib
from collections.abc import Sequence

import chex
import jax
import jax.numpy as jnp
import numpy as np
from PIL import Image

Array = jax.Array


def mel_filters(
    sample_rate: int, window: int, bands: int, low: float = 50.0, high: float | None = None
) -> np.ndarray:
    """Triangles of height one, evenly spaced on the mel scale of HTK.

    Args:
      sample_rate: of the wave, in Hz.
      window: samples that the Fourier transform sees.
      bands: number of triangles.
      low: foot of the first triangle, in Hz.
      high: foot of the last triangle, in Hz; half the sample rate unless given.

    Returns:
      [window // 2 + 1, bands] float32, to be multiplied by a power spectrum from the left.

    Raises:
      ValueError: if the range is not within 0 to half the sample rate, or a triangle is so
        narrow that it meets no frequency of the transform.
    """
    nyquist = sample_rate / 2
    high = nyquist if high is None else high
    if not 0 <= low < high <= nyquist:
        raise ValueError(
            f"mel bands from low={low} to high={high} Hz: need 0 <= low < high <= {nyquist}, "
            "half the sample rate"
        )
    # mel = 2595 log10(1 + f / 700); the triangles' feet and peaks are even steps of it.
    ends = 2595 * np.log10(1 + np.array([low, high]) / 700)
    corners = 700 * (10 ** (np.linspace(*ends, bands + 2) / 2595) - 1)
    bins = np.fft.rfftfreq(window, 1 / sample_rate)[:, None]
    left, peak, right = corners[:-2], corners[1:-1], corners[2:]
    rise, fall = (bins - left) / (peak - left), (right - bins) / (right - peak)
    filters = np.maximum(0, np.minimum(rise, fall)).astype(np.float32)
    if not filters.any(axis=0).all():
        raise ValueError(
            f"{bands} mel bands are too many for a window of {window} samples at {sample_rate} Hz: "
            "some would be empty; take fewer bands or a longer window"
        )
    return filters


def log_mel(
    wave: Array,
    *,
    sample_rate: int = 16000,
    window: int = 512,
    hop: int = 320,
    bands: int = 32,
    low: float = 50.0,
    floor: float = 1e-10,
) -> Array:
    """Power of a wave in mel bands over time, in decibels.

    The Hann window is the periodic one, as in librosa and in torchaudio. Frames start at
    multiples of `hop` and lie wholly within the wave, which is padded with zeros to one
    window; what is left over at the end is dropped.

    Args:
      wave: [samples], full scale is -1 to 1.
      sample_rate: in Hz.
      window: samples in a frame.
      hop: samples from one frame to the next.
      bands: number of mel bands.
      low: lower end of the lowest band, in Hz.
      floor: least power; silence is 10 log10(floor) dB.

    Returns:
      [frames, bands] float32 in dB, frames = 1 + (max(samples, window) - window) // hop.
    """
    chex.assert_rank(wave, 1)
    wave = jnp.pad(jnp.asarray(wave, jnp.float32), (0, max(0, window - len(wave))))
    starts = np.arange(0, len(wave) - window + 1, hop)
    # A Hann window of N points is periodic when it is the first N of the N + 1 symmetric ones.
    hann = np.hanning(window + 1)[:-1].astype(np.float32)
    spectrum = jnp.fft.rfft(wave[starts[:, None] + np.arange(window)] * hann)
    power = jnp.square(spectrum.real) + jnp.square(spectrum.imag)
    # Full precision: in TF32 or bfloat16 the sum would be off by up to 0.02 dB.
    mel = jnp.matmul(power, mel_filters(sample_rate, window, bands, low), precision="highest")
    return 10 * jnp.log10(jnp.maximum(mel, floor))


def fit_frames(x: np.ndarray, frames: int) -> np.ndarray:
    """Cuts a spectrogram after a number of frames, or fills it up with its least value.

    Args:
      x: [any number of frames but 0, bands].
      frames: wanted.

    Returns:
      [frames, bands], of the same type.
    """
    x = np.asarray(x)
    return np.pad(x[:frames], ((0, max(0, frames - len(x))), (0, 0)), constant_values=x.min())


def encode_bytes(text: str, length: int) -> np.ndarray:
    """A text as its UTF-8 bytes, case folded: 1 + byte, and 0 for padding.

    Args:
      text: any; a lone surrogate, which UTF-8 cannot hold, becomes "?".
      length: bytes wanted; a longer text is cut after the last whole character that fits.

    Returns:
      [length] int32 in 0 to 256.
    """
    data = text.casefold().encode("utf-8", "replace")[:length]
    # The bytes were valid before the cut, so only a character that it split is ignored here.
    whole = data.decode("utf-8", "ignore").encode()
    codes = np.zeros(length, np.int32)
    codes[: len(whole)] = np.frombuffer(whole, np.uint8).astype(np.int32) + 1
    return codes


def bags_of_ngrams(
    texts: Sequence[str], *, size: int = 1024, orders: Sequence[int] = (3, 4, 5)
) -> np.ndarray:
    """Texts as hashed bags of the character n-grams of their words, with nothing learned
    (Weinberger et al. 2009, https://arxiv.org/abs/0902.2206).

    Args:
      texts: words with spaces between them; case does not matter, and a lone surrogate is "?".
      size: D, numbers of a text.
      orders: lengths n of n-grams; a word begins and ends with a mark of its own.

    Returns:
      [B, D] float32 of length one, zeros for a text without words.
    """
    bags = np.zeros((len(texts), size), np.float32)
    for bag, text in zip(bags, texts, strict=True):
        words = [f"<{word}>" for word in text.lower().split()]
        for word in words:
            for n in orders:
                for start in range(len(word) - n + 1):
                    gram = word[start : start + n].encode("utf-8", "replace")
                    digest = hashlib.sha256(gram).digest()
                    bag[int.from_bytes(digest[:4], "big") % size] += -1.0 if digest[4] % 2 else 1.0
    return at_unit_length(bags)


def at_unit_length(x: np.ndarray) -> np.ndarray:
    """Rows [B, D] divided by their lengths; those of length zero as they are."""
    length = np.linalg.norm(x, axis=1, keepdims=True)
    return x / np.where(length > 0, length, 1.0)


def encode_texts(texts: Sequence[str], length: int) -> np.ndarray:
    """Texts as bytes, each by `encode_bytes`.

    Args:
      texts: N of them.
      length: bytes wanted of each.

    Returns:
      [N, length] int32 in 0 to 256.
    """
    codes = [encode_bytes(text, length) for text in texts]
    return np.array(codes, np.int32).reshape(-1, length)


def resize_image(image: Image.Image, size: int) -> np.ndarray:
    """A picture in the middle of a white square, its aspect kept, over white where transparent.

    Args:
      image: of any mode with a fixed range (8 bits, or 16 bits of grey).
      size: side of the square, in pixels.

    Returns:
      [size, size, 3] uint8, RGB.

    Raises:
      ValueError: if the pixels are 32-bit integers or floats, whose white is unknown.
    """
    if image.mode in ("I", "F"):
        raise ValueError(f"pixels of mode {image.mode} have no fixed range: save it with 8 bits")
    if image.mode.startswith("I;16"):  # Pillow's own conversion clips at 255 and does not scale
        image = Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
    image = image.convert("RGBA")
    opaque = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image).convert("RGB")
    scale = size / max(image.size)
    width, height = (max(1, round(side * scale)) for side in image.size)
    square = Image.new("RGB", (size, size), "white")
    corner = ((size - width) // 2, (size - height) // 2)
    square.paste(opaque.resize((width, height), Image.Resampling.LANCZOS), corner)
    return np.asarray(square)
