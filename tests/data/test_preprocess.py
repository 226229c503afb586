"""Preprocessing against figures of librosa, naive loops and its own contracts."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from fsjax.data import preprocess


def chirp(samples: int, seed: int = 0) -> np.ndarray:
    """A rising tone that fades by 60 dB, in faint noise."""
    time = np.arange(samples) / 16000
    noise = 1e-3 * np.random.default_rng(seed).standard_normal(samples)
    tone = 0.5 * np.sin(2 * np.pi * (200 + 3000 * time) * time) * 10 ** (-3 * time)
    return (tone + noise).astype(np.float32)


def naive_filters(rate, window, bands, low=50.0, high=None):
    """One triangle after the other, by the formula of HTK."""
    mels = [2595 * np.log10(1 + f / 700) for f in (low, high or rate / 2)]
    corners = [700 * (10 ** (mel / 2595) - 1) for mel in np.linspace(*mels, bands + 2)]
    frequencies = [rate * i / window for i in range(window // 2 + 1)]
    return np.stack(
        [np.interp(frequencies, corners[i : i + 3], [0, 1, 0]) for i in range(bands)], axis=1
    )


def naive_log_mel(wave, window=512, hop=320, bands=32):
    """Frame by frame, the Fourier transform as a sum."""
    hann = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(window) / window)
    turns = np.outer(np.arange(window // 2 + 1), np.arange(window)) / window
    filters = naive_filters(16000, window, bands)
    frames = []
    for start in range(0, len(wave) - window + 1, hop):
        spectrum = np.exp(-2j * np.pi * turns) @ (wave[start : start + window] * hann)
        frames.append(10 * np.log10(np.maximum(np.abs(spectrum) ** 2 @ filters, 1e-10)))
    return np.stack(frames)


# Of librosa 0.11.0, filters.mel(htk=True, norm=None) in float64: their sum, and the sums by number
# of the frequency and of the band.
LIBROSA = [
    ((16000, 512, 32, 50.0, None), (243.5069138, 30279.50293, 5188.063346)),
    ((22050, 1024, 64, 0.0, 8000.0), (363.1192767, 66199.71440, 15815.45105)),
    ((8000, 255, 10, 100.0, None), (110.9411875, 6775.477350, 640.5776131)),
]


@pytest.mark.parametrize(("options", "moments"), LIBROSA)
def test_mel_filters_are_those_of_a_loop_and_have_the_moments_of_librosas(options, moments):
    _, window, bands, *_ = options
    ours = preprocess.mel_filters(*options)
    assert ours.shape == (window // 2 + 1, bands) and ours.dtype == np.float32
    np.testing.assert_allclose(ours, naive_filters(*options), rtol=1e-5, atol=1e-6)
    wide = ours.astype(np.float64)
    by_frequency, by_band = np.arange(len(wide)) @ wide, wide @ np.arange(bands)
    found = wide.sum(), by_frequency.sum(), by_band.sum()
    np.testing.assert_allclose(found, moments, rtol=1e-6)


@pytest.mark.parametrize(("low", "high"), [(-1.0, None), (500.0, 400.0), (50.0, 8001.0)])
def test_mel_filters_reject_a_range_that_is_none(low, high):
    with pytest.raises(ValueError, match=r"low=.* high=.*half the sample rate"):
        preprocess.mel_filters(16000, 512, 32, low, high)


def test_mel_filters_reject_empty_bands():
    with pytest.raises(ValueError, match=r"200 mel bands .* fewer bands or a longer window"):
        preprocess.mel_filters(16000, 256, 200)


@pytest.mark.parametrize("jit", [False, True])
@pytest.mark.parametrize(
    ("samples", "options"),
    [(16000, {}), (831, {}), (4000, {"window": 400, "hop": 160, "bands": 20})],
)
def test_log_mel_agrees_with_a_naive_loop(samples, options, jit):
    def transform(wave):
        return preprocess.log_mel(wave, **options)

    wave = chirp(samples)
    ours = (jax.jit(transform) if jit else transform)(wave)
    theirs = naive_log_mel(wave.astype(np.float64), **options)
    assert ours.shape == theirs.shape and ours.dtype == jnp.float32
    np.testing.assert_allclose(ours, theirs, atol=2e-3)


def test_log_mel_by_vmap_is_log_mel_of_each():
    waves = np.stack([chirp(3000, seed) for seed in range(3)])
    transform = jax.jit(preprocess.log_mel)
    each = np.stack([transform(wave) for wave in waves])
    np.testing.assert_allclose(jax.jit(jax.vmap(transform))(waves), each, atol=1e-3)


@pytest.mark.parametrize("samples", [0, 1, 511])
def test_log_mel_pads_a_short_wave_to_one_frame(samples):
    wave = chirp(samples)
    ours = preprocess.log_mel(wave)
    assert ours.shape == (1, 32)
    theirs = naive_log_mel(np.pad(wave, (0, 512 - samples)))
    np.testing.assert_allclose(ours, theirs, atol=2e-3)


def test_silence_is_the_floor_and_has_a_finite_gradient():
    silence = jnp.zeros(1000)
    np.testing.assert_allclose(preprocess.log_mel(silence, floor=1e-8), -80, atol=1e-4)
    slope = jax.jit(jax.grad(lambda wave: preprocess.log_mel(wave).sum()))(silence)
    assert jnp.isfinite(slope).all()


def test_log_mel_rejects_a_batch():
    with pytest.raises(AssertionError, match="rank"):
        preprocess.log_mel(np.zeros((2, 1000)))


@pytest.mark.parametrize("dtype", [np.float32, np.uint8])
def test_fit_frames_cuts_or_pads_with_the_least_value(dtype):
    x = np.arange(7, 13, dtype=dtype).reshape(3, 2)
    np.testing.assert_array_equal(preprocess.fit_frames(x, 2), x[:2])
    longer = preprocess.fit_frames(x, 5)
    np.testing.assert_array_equal(longer[:3], x)
    np.testing.assert_array_equal(longer[3:], np.full((2, 2), 7))
    assert longer.dtype == dtype


def decode(codes: np.ndarray) -> str:
    return bytes(int(code) - 1 for code in codes if code).decode("utf-8")


@given(st.text(), st.integers(0, 40))
def test_encode_bytes_keeps_the_longest_prefix_that_fits(text, length):
    codes = preprocess.encode_bytes(text, length)
    assert codes.shape == (length,) and codes.dtype == np.int32
    folded, kept = text.casefold(), decode(codes)
    assert folded.startswith(kept)
    if kept != folded:
        assert len(folded[: len(kept) + 1].encode()) > length
    used = np.count_nonzero(codes)
    assert codes[:used].all() and codes.max(initial=0) <= 256


@given(st.text(st.characters(categories=("Cs", "Lu", "Ll"))))
def test_encode_bytes_never_raises(text):
    decode(preprocess.encode_bytes(text, 12))


def test_encode_bytes_by_hand():
    assert preprocess.encode_bytes("Ab", 4).tolist() == [98, 99, 0, 0]
    assert preprocess.encode_bytes("aé", 2).tolist() == [98, 0]
    assert preprocess.encode_bytes("STRASSE", 9).tolist() == (
        preprocess.encode_bytes("straße", 9).tolist()
    )


@given(st.lists(st.text(), max_size=4), st.integers(1, 20))
def test_encode_texts_stacks(texts, length):
    codes = preprocess.encode_texts(texts, length)
    assert codes.shape == (len(texts), length) and codes.dtype == np.int32
    for text, row in zip(texts, codes, strict=True):
        np.testing.assert_array_equal(row, preprocess.encode_bytes(text, length))


def test_resize_image_of_its_own_size_is_the_image():
    pixels = np.random.default_rng(0).integers(0, 256, (24, 24, 3), np.uint8)
    np.testing.assert_array_equal(preprocess.resize_image(Image.fromarray(pixels), 24), pixels)


def test_resize_image_keeps_the_aspect_in_a_white_square():
    wide = Image.new("RGB", (40, 20), (200, 10, 30))
    square = preprocess.resize_image(wide, 12)
    assert square.shape == (12, 12, 3) and square.dtype == np.uint8
    assert (square[3:9] == (200, 10, 30)).all()
    assert (square[:3] == 255).all() and (square[9:] == 255).all()


@pytest.mark.parametrize("extent", [(1, 500), (500, 1), (1, 1)])
def test_resize_image_keeps_thin_images_visible(extent):
    square = preprocess.resize_image(Image.new("L", extent), 10)
    assert square.shape == (10, 10, 3) and square.min() == 0


def test_resize_image_puts_what_is_transparent_over_white():
    clear = Image.new("RGBA", (8, 8), (0, 0, 0, 0))
    assert (preprocess.resize_image(clear, 4) == 255).all()
    half = Image.new("LA", (8, 8), (0, 128))
    np.testing.assert_allclose(preprocess.resize_image(half, 4), 127, atol=1)
    coloured = Image.new("P", (8, 8), 3)
    coloured.info["transparency"] = 3
    assert (preprocess.resize_image(coloured, 4) == 255).all()


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "YCbCr", "HSV"])
def test_resize_image_takes_any_mode(mode):
    image = Image.new("RGB", (9, 9), "white").convert("RGB" if mode == "LA" else mode)
    square = preprocess.resize_image(image.convert("LA") if mode == "LA" else image, 6)
    np.testing.assert_array_equal(square, np.full((6, 6, 3), 255))


def test_resize_image_scales_sixteen_bits_and_rejects_what_has_no_range():
    grey = Image.fromarray(np.full((5, 5), 0x8000, np.uint16))
    assert (preprocess.resize_image(grey, 5) == 128).all()
    for mode in ("I", "F"):
        with pytest.raises(ValueError, match=f"mode {mode} .*8 bits"):
            preprocess.resize_image(Image.new(mode, (5, 5)), 5)


def test_texts_that_share_words_have_like_bags_whatever_their_case():
    texts = ["red apple", "Apple RED", "green apple", "steam engine", "", "a"]
    bags = preprocess.bags_of_ngrams(texts)
    alike = bags @ bags[0]
    np.testing.assert_allclose(np.linalg.norm(bags, axis=1), [1, 1, 1, 1, 0, 1], rtol=1e-6)
    np.testing.assert_allclose(alike[1], 1.0, rtol=1e-6)
    assert 0.2 < alike[2] < 0.9 and abs(alike[3]) < 0.2


def test_a_lone_surrogate_in_a_bag_is_a_question_mark():
    found, expected = preprocess.bags_of_ngrams(["fo\ud800x", "fo?x"])
    np.testing.assert_array_equal(found, expected)


@given(st.lists(st.text(max_size=12), min_size=1, max_size=4))
@settings(max_examples=25, deadline=None)
def test_a_bag_does_not_depend_on_the_texts_beside_it(texts):
    together = preprocess.bags_of_ngrams(texts, size=32)
    alone = [preprocess.bags_of_ngrams([text], size=32)[0] for text in texts]
    np.testing.assert_array_equal(together, alone)
    assert np.isfinite(together).all()
