"""Files of sounds as waves, and as log-mel frames."""

import math
import re
from pathlib import Path

import jax
import numpy as np
import soundfile

from fsjax.data import preprocess

_WINDOW, _HOP = 512, 320
_log_mel = jax.jit(preprocess.log_mel, static_argnames=("sample_rate", "window", "hop"))
# libsndfile knows more formats, among them MP3, for which it takes many a file of garbage.
_FORMATS = ("WAV", "WAVEX", "RF64", "FLAC", "OGG")
# What libsndfile notes of a file that ends early and yet reads, as a shorter one. A stream's
# header claims 2^31 bytes or more, as the length was not known: that is no fault.
_CUT_SHORT = re.compile(r"data : \d{1,9} \(should be|Junk after the last|lacks an end-of-stream")


def read_wave(path: Path, rate: int) -> np.ndarray:
    """A wave of one channel, the mean of those of a file.

    Args:
      path: of a WAV, FLAC or OGG.
      rate: samples a second, to which it is resampled.

    Returns:
      [samples] float32, full scale is -1 to 1.

    Raises:
      ValueError, soundfile.LibsndfileError: if the file is none of these, damaged or empty.
    """
    with soundfile.SoundFile(path) as file:
        if file.format not in _FORMATS:
            raise ValueError(f"it holds {file.format}, not one of {', '.join(_FORMATS)}")
        wave, own = file.read(dtype="float32", always_2d=True).mean(1), file.samplerate
        cut_short = _CUT_SHORT.search(file.extra_info)
    if cut_short or not len(wave):
        raise ValueError("it ends before its header says" if cut_short else "it is empty")
    if not np.isfinite(wave).all():
        raise ValueError("it has NaN or Inf among its samples")
    return resampled(wave, own, rate)


def resampled(waves: np.ndarray, own: int, rate: int) -> np.ndarray:
    """Waves [..., samples] of `own` samples a second at another rate."""
    if own == rate:
        return waves
    from scipy.signal import resample_poly  # takes as long to import as jax itself

    common = math.gcd(rate, own)
    return resample_poly(waves, rate // common, own // common, axis=-1)


def fit_wave(wave: np.ndarray, samples: int) -> np.ndarray:
    """A wave in -1..1 as int16, cut off or filled up with zeros: [any] -> [samples]."""
    fitted = np.zeros(samples, np.int16)
    fitted[: len(wave)] = np.rint(32767 * np.clip(wave[:samples], -1, 1))
    return fitted


def log_mel_frames(wave: np.ndarray, rate: int, frames: int) -> np.ndarray:
    """A wave in 32 log-mel bands, cut off or filled up with its least value.

    Args:
      wave: [samples], full scale is -1 to 1.
      rate: samples a second.
      frames: each 320 samples after the last.

    Returns:
      [frames, 32] float32 in dB.
    """
    # Waves of one length, so that one compiled program serves all; frames of padding go again.
    samples = _WINDOW + _HOP * (frames - 1)
    heard = 1 + max(0, len(wave) - _WINDOW) // _HOP
    wave = np.pad(wave[:samples], (0, max(0, samples - len(wave))))
    mel = _log_mel(wave, sample_rate=rate, window=_WINDOW, hop=_HOP)
    return preprocess.fit_frames(np.asarray(mel)[:heard], frames)
