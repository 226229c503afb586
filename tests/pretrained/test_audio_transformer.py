"""The audio spectrogram transformer beside the reference, on small random weights."""

import json
from importlib.util import find_spec

import jax
import numpy as np
import pytest

from experiments.features import read_for
from fsjax.pretrained import audio_transformer, hub

needs_transformers = pytest.mark.skipif(
    None in (find_spec("torch"), find_spec("transformers")), reason="transformers is not installed"
)
RNG = np.random.default_rng(0)
CONFIG = {"model_type": "audio-spectrogram-transformer", "hidden_size": 8, "intermediate_size": 12}
CONFIG |= {"num_hidden_layers": 2, "num_attention_heads": 2, "max_length": 40, "num_mel_bins": 32}
PREFIX = "audio_spectrogram_transformer"
WAVES = RNG.normal(size=(3, 5000)).astype(np.float32) * np.array([[0.1], [0.5], [0.01]], "f4")


def weights():
    """Names and shapes as the file on the hub has them: 2 x 3 patches and two tokens before."""
    found = {f"embeddings.{name}_token": (1, 1, 8) for name in ("cls", "distillation")}
    found["embeddings.position_embeddings"] = (1, 8, 8)
    dense = [("embeddings.patch_embeddings.projection", (8, 1, 16, 16))]
    norms = ["layernorm"]
    for at in ("encoder.layer.0", "encoder.layer.1"):
        norms += [f"{at}.layernorm_{name}" for name in ("before", "after")]
        inner = [f"attention.attention.{name}" for name in ("query", "key", "value")]
        dense += [(f"{at}.{name}", (8, 8)) for name in (*inner, "attention.output.dense")]
        dense += [(f"{at}.intermediate.dense", (12, 8)), (f"{at}.output.dense", (8, 12))]
    found |= {f"{name}.weight": shape for name, shape in dense}
    found |= {f"{name}.bias": shape[:1] for name, shape in dense}
    found |= {f"{name}.{part}": (8,) for name in norms for part in ("weight", "bias")}
    found = {f"{PREFIX}.{name}": shape for name, shape in found.items()}
    found |= {"classifier.dense.weight": (2, 8), "classifier.dense.bias": (2,)}
    return {name: 0.3 * RNG.normal(size=shape).astype(np.float32) for name, shape in found.items()}


def written(folder, arrays, config=CONFIG):
    safetensors = pytest.importorskip("safetensors.numpy")
    (folder / hub.CONFIG).write_text(json.dumps(config))
    safetensors.save_file(arrays, folder / hub.WEIGHTS)
    return folder


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return written(tmp_path_factory.mktemp("ast"), weights())


@needs_transformers
def test_it_agrees_with_transformers_from_the_wave_on(folder, monkeypatch):
    import torch
    from transformers import ASTFeatureExtractor, ASTModel

    heard = ASTFeatureExtractor(num_mel_bins=32, max_length=40)(list(WAVES), sampling_rate=16000)
    model = ASTModel.from_pretrained(folder).eval()
    with torch.no_grad():
        expected = model(torch.tensor(np.stack(heard["input_values"]))).pooler_output.numpy()
    ours = [audio_transformer.filter_bank(wave, frames=40, bands=32) for wave in WAVES]
    np.testing.assert_allclose(ours, heard["input_values"], atol=1e-4)
    monkeypatch.setenv("FSJAX_AST", str(folder))
    np.testing.assert_allclose(audio_transformer.ast().embed(WAVES), expected, atol=1e-4)


def test_a_tone_is_in_the_band_of_its_pitch_and_louder_by_its_power():
    time = np.arange(3200) / 16000
    tone = np.sin(2 * np.pi * 1000 * time)
    quiet, loud = (
        audio_transformer.filter_bank(a * tone, frames=30, bands=32) for a in (0.01, 0.1)
    )
    assert quiet.shape == (30, 32) and quiet.dtype == np.float32
    edges = np.linspace(*(1127 * np.log1p(np.array([20, 8000]) / 700)), 34)
    nearest = np.abs(edges[1:-1] - 1127 * np.log1p(1000 / 700)).argmin()
    assert set(loud[:18].argmax(1)) == {nearest}
    gained = (loud - quiet)[:18, nearest] * 2 * audio_transformer.DEVIATION
    np.testing.assert_allclose(gained, np.log(100), atol=1e-3)
    assert np.ptp(loud[18:]) == 0  # beyond its end


def test_waves_are_embedded_through_the_folder_that_is_named(folder, monkeypatch):
    monkeypatch.setenv("FSJAX_AST", str(folder))
    made = audio_transformer.ast()
    found = made.embed(WAVES)
    assert found.shape == (3, 8) and np.ptp(found, axis=0).min() > 1e-3
    np.testing.assert_allclose(made.embed(WAVES[1:]), found[1:], atol=1e-5)
    for bad in (WAVES[:, :300], WAVES[0], WAVES.astype(int), WAVES[..., None]):
        with pytest.raises(ValueError, match=r"ast embeds waves \[N, samples\] at 16000 Hz"):
            made.embed(bad)
    assert read_for(made, 0.5) == jax.ShapeDtypeStruct((8000,), np.int16)
    short = np.where(np.arange(5000) < 2000, WAVES, 0)
    np.testing.assert_allclose(made.embed(short), made.embed(WAVES[:, :2000]), atol=1e-5)
    assert np.isfinite(made.embed(np.zeros((1, 2000), np.int16))).all()
    quiet = np.rint(4096 * WAVES).astype(np.int16)
    np.testing.assert_allclose(made.embed(quiet), made.embed(quiet / 32768), atol=1e-5)


@pytest.mark.parametrize(
    ("name", "config", "message"),
    [
        ("classifier.more", {}, r"left over: classifier\.more"),
        (f"{PREFIX}.pooler.weight", {}, r"left over: pooler\.weight"),
        (None, {"num_hidden_layers": 3}, r"16 of .* missing: encoder\.layer\.2"),
        (None, {"max_length": 60}, r"position_embeddings has shape \(1, 8, 8\), and position_e"),
        (None, {"model_type": "clip"}, "of the kind clip, not of audio-spectrogram-transformer"),
    ],
)
def test_weights_of_another_network_are_refused(tmp_path, name, config, message):
    arrays = weights() | ({name: np.zeros(3, np.float32)} if name else {})
    with pytest.raises(ValueError, match=message):
        audio_transformer.load_ast(written(tmp_path, arrays, CONFIG | config))
