"""The spoken names of the embedded data set: eSpeak NG's voices as small log-mel pictures."""

import ctypes
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import espeakng_loader
import numpy as np
from scipy.signal import resample_poly


class Take(NamedTuple):
    """How one take is spoken."""

    language: str  # the language of the name
    voice: str  # eSpeak NG's voice, after the plus sign its variant
    rate: int  # words per minute
    pitch: int  # 0 to 99


# Two takes in English, one in each of six more languages. Spoken in one language alone, speech
# would give the class away and leave nothing to learn.
TAKES = (
    Take("en", "en-us", 170, 50),
    Take("en", "en-gb-scotland+f4", 160, 60),
    Take("de", "de+m3", 165, 45),
    Take("fr", "fr+f2", 165, 58),
    Take("es", "es+f5", 170, 62),
    Take("it", "it+m1", 165, 45),
    Take("pt", "pt+f4", 165, 60),
    Take("nl", "nl+m3", 165, 42),
)

SAMPLE_RATE = 16_000
WINDOW, HOP, BANDS, FRAMES = 512, 320, 32, 48
LOWEST_HZ = 50.0
RANGE_DB = 70.0
SILENCE = 0.01  # amplitude of a full scale of 1, below which speech has not begun or has ended

# From eSpeak NG's speak_lib.h.
_SYNCHRONOUS = 2
_DONT_EXIT = 0x8000
_RATE, _PITCH = 1, 3
_POSITION_CHARACTER = 1
_UTF8 = 1
_Callback = ctypes.CFUNCTYPE(
    ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.c_void_p
)


class Speaker:
    """eSpeak NG, loaded from the package `espeakng-loader`; the library allows one per process."""

    def __init__(self) -> None:
        self._library = ctypes.CDLL(espeakng_loader.get_library_path())
        data = str(espeakng_loader.get_data_path()).encode()
        self.rate = self._library.espeak_Initialize(_SYNCHRONOUS, 0, data, _DONT_EXIT)
        if self.rate <= 0:
            raise RuntimeError("eSpeak NG did not start: reinstall espeakng-loader")
        self._chunks: list[np.ndarray] = []
        self._callback = _Callback(self._receive)  # the library keeps no reference, so this does
        self._library.espeak_SetSynthCallback(self._callback)
        # Some voices breathe, and the library seeds that noise with the time of day.
        self._library.espeak_ng_SetRandSeed(ctypes.c_long(1))
        self._library.espeak_Synth.argtypes = [
            *(ctypes.c_char_p, ctypes.c_size_t, ctypes.c_uint, ctypes.c_int),
            *(ctypes.c_uint, ctypes.c_uint, ctypes.c_void_p, ctypes.c_void_p),
        ]

    def _receive(self, samples: Any, count: int, _: int) -> int:
        if samples and count > 0:
            self._chunks.append(np.ctypeslib.as_array(samples, (count,)).copy())
        return 0  # go on

    def say(self, text: str, take: Take) -> np.ndarray:
        """Speaks a text as [samples] float32 of full scale 1, at the library's own rate.

        Raises:
          RuntimeError: if the voice is not installed or nothing was spoken.
        """
        self._chunks.clear()
        if self._library.espeak_SetVoiceByName(take.voice.encode()):
            raise RuntimeError(f"eSpeak NG has no voice {take.voice}")
        self._library.espeak_SetParameter(_RATE, take.rate, 0)
        self._library.espeak_SetParameter(_PITCH, take.pitch, 0)
        utf8 = text.encode() + b"\0"
        self._library.espeak_Synth(utf8, len(utf8), 0, _POSITION_CHARACTER, 0, _UTF8, None, None)
        self._library.espeak_Synchronize()
        if not self._chunks:
            raise RuntimeError(f"eSpeak NG said nothing for {text!r} in voice {take.voice}")
        return np.concatenate(self._chunks).astype(np.float32) / 32768


def _mel_filters() -> np.ndarray:
    """Triangles of unit height, evenly spaced in mel, as [BANDS, WINDOW // 2 + 1]."""
    low, high = (2595 * np.log10(1 + hertz / 700) for hertz in (LOWEST_HZ, SAMPLE_RATE / 2))
    corners = 700 * (10 ** (np.linspace(low, high, BANDS + 2) / 2595) - 1)
    left, top, right = corners[:-2, None], corners[1:-1, None], corners[2:, None]
    bins = np.fft.rfftfreq(WINDOW, 1 / SAMPLE_RATE)
    return np.minimum((bins - left) / (top - left), (right - bins) / (right - top)).clip(min=0)


def log_mel(wave: np.ndarray) -> np.ndarray:
    """The log-mel picture of a wave at 16 kHz as [bands, frames] uint8, in steps of 4.

    255 is the loudest point and 0 lies 70 dB or more below it. Frames beyond the 48th are cut;
    where speech is shorter, the rest is 0.
    """
    wave = np.pad(wave, (0, max(0, WINDOW - len(wave))))
    frames = np.lib.stride_tricks.sliding_window_view(wave, WINDOW)[::HOP]
    power = np.abs(np.fft.rfft(frames * np.hanning(WINDOW), axis=1)) ** 2
    decibels = 10 * np.log10(power @ _mel_filters().T + 1e-10)
    level = (decibels - decibels.max() + RANGE_DB).clip(min=0)[:FRAMES]
    picture = np.zeros((BANDS, FRAMES), np.uint8)
    picture[:, : len(level)] = (level.T * 255 / RANGE_DB).astype(np.uint8)
    return picture & 0b11111100  # six bits are enough, and keep the file small


def _trim(wave: np.ndarray) -> np.ndarray:
    """A wave without the silence before and after; unchanged if all of it is silent."""
    loud = np.flatnonzero(np.abs(wave) > SILENCE)
    return wave[loud[0] : loud[-1]] if len(loud) else wave


def speak_names(names: Mapping[str, Sequence[str]]) -> np.ndarray:
    """Speaks every class's name in every take as [classes, takes, bands, frames] uint8.

    Args:
      names: language -> the classes' names; holds all languages that the takes need.
    """
    speaker = Speaker()
    classes = len(names[TAKES[0].language])
    audio = np.zeros((classes, len(TAKES), BANDS, FRAMES), np.uint8)
    for each, take in np.ndindex(classes, len(TAKES)):
        wave = speaker.say(names[TAKES[take].language][each], TAKES[take])
        wave = resample_poly(wave, SAMPLE_RATE, speaker.rate)
        audio[each, take] = log_mel(_trim(wave))
    return audio
