"""Files of sounds through encoders that hear waves: in training data, in predictions, in a run."""

import itertools

import numpy as np
import pytest
import soundfile

from experiments import (
    build,
    cache,
    features,
    inputs,
    methods,
    predicted,
    prediction,
    queries,
    results,
)
from experiments.configs import own
from fsjax.data.files import Sizes, read_folder
from fsjax.data.table import Table, rows
from fsjax.pretrained import Pretrained
from fsjax.types import Inputs

RATE = features.RATE
PITCHES = {"high": 3000, "low": 300}


def tone(pitch, seconds, rate):
    return (0.5 * np.sin(2 * np.pi * pitch * np.arange(round(seconds * rate)) / rate)).astype("f4")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Tones of two pitches at two rates, longer and shorter than what is heard of them."""
    folder = tmp_path_factory.mktemp("tones")
    for name, pitch in PITCHES.items():
        (folder / name).mkdir()
        for number, (seconds, rate) in enumerate([(0.3, 16000), (0.05, 44100), (0.2, RATE)]):
            soundfile.write(folder / name / f"{number}.wav", tone(pitch, seconds, rate), rate)
    return folder


class Heard:
    """An encoder that counts how often a wave changes its sign, and notes the shapes of rows."""

    def __init__(self):
        self.shapes = []

    def __call__(self, x):
        self.shapes.append((x.shape, x.dtype))
        crossings = (np.diff(np.sign(x), axis=1) != 0).sum(1) / np.maximum((x != 0).sum(1), 1)
        return np.stack([crossings, np.full(len(x), 0.1)], axis=1).astype(np.float32)


@pytest.fixture
def heard(monkeypatch, tmp_path):
    made = Heard()
    encoder = Pretrained("soundnet", "weights", "audio", made, RATE)
    monkeypatch.setitem(build.PRETRAINED, "soundnet", lambda: encoder)
    monkeypatch.setattr(cache, "folder", lambda: tmp_path / "kept")
    return made


def test_a_wave_is_cut_off_or_filled_up_and_resampled(folder):
    table = read_folder(folder, sample_rate=RATE, wave=4000)
    waves = table.sources["audio"].values["audio"]
    assert waves.shape == (6, 4000) and waves.dtype == np.int16
    low = waves[3:]
    clear = tone(300, 0.3, RATE)[:4000]
    np.testing.assert_allclose(low[2] / 32767, clear, atol=1e-4)
    np.testing.assert_allclose(low[0, 200:] / 32767, clear[200:], atol=5e-3)
    assert low[1, 1200:].any() == 0 and low[1, :1000].any()
    with pytest.raises(ValueError, match="sizes must be at least 1"):
        read_folder(folder, wave=-1)


def test_training_data_are_read_as_the_frozen_encoder_hears_them(folder, heard):
    config = own.get_config()
    config.data.update(name="folder", path=str(folder), seconds=0.1)
    config.update(modalities="audio", frozen="audio:soundnet")
    assert build.read(config).sources["audio"].values["audio"].shape == (6, round(0.1 * RATE))
    config.frozen = ""
    assert build.read(config).sources["audio"].values["audio"].shape == (6, 96, 32)
    config.frozen = "audio:soundnet,other:ast"
    with pytest.raises(ValueError, match="different rates, 16000, 22050 Hz"):
        build.read(config)


def asked(folder, **options):
    answers = queries.answer(folder, folder, **options)
    return [answers.predictor.classes[k] for k in answers.predictions.labels], answers.predictor


def test_without_training_sounds_are_heard_twice_and_by_frames_alone_where_asked(folder, heard):
    labels, predictor = asked(folder)
    assert labels == ["high"] * 3 + ["low"] * 3
    assert "audio: soundnet and log-mel frames" in predictor.about
    assert set(heard.shapes) == {((6, 5 * RATE), np.dtype(np.int16))}
    heard.shapes.clear()
    labels, predictor = asked(folder, features="plain")
    assert labels == ["high"] * 3 + ["low"] * 3 and not heard.shapes
    assert "audio: log-mel frames" in predictor.about


def test_the_page_draws_sounds_with_low_tones_at_the_bottom(folder, heard):
    page = predicted.page(queries.answer(folder, folder, features="plain"))
    assert page.count('<img alt="audio"') == 6 * 4
    drawn = {
        name: predicted._pixels("audio", (10000 * tone(pitch, 1.0, RATE)).astype(np.int16))
        for name, pitch in PITCHES.items()
    }
    loudest = {name: pixels[:, 5].argmax() for name, pixels in drawn.items()}
    assert drawn["low"].shape == (32, 96) and loudest["low"] > loudest["high"] + 5


def test_a_sound_is_drawn_wherever_in_its_file_it_begins():
    early, late = np.zeros((2, 5 * RATE), np.int16)
    early[:RATE] = late[3 * RATE : 4 * RATE] = 10000 * tone(PITCHES["low"], 1.0, RATE)
    drawn = [predicted._pixels("audio", wave).astype(int) for wave in (early, late)]
    assert np.abs(drawn[0] - drawn[1]).mean() < 2 and drawn[0].mean() < 50


def test_both_kinds_of_features_weigh_the_same(heard):
    waves = np.stack([10000 * tone(pitch, 1.5, RATE) for pitch in PITCHES.values()])
    z = features.embed_of("audio", "published")[0].embed(waves.astype(np.int16))
    np.testing.assert_allclose(np.linalg.norm(z[:, :2], axis=1), 1, atol=1e-5)
    np.testing.assert_allclose(np.linalg.norm(z[:, 2:], axis=1), 1, atol=1e-5)


def test_a_sound_is_heard_wherever_in_its_file_it_begins():
    waves = np.zeros((4, 5 * RATE), np.int16)
    for wave, (pitch, begin) in zip(waves, itertools.product(PITCHES, (0, 3 * RATE)), strict=True):
        wave[begin : begin + RATE] = 10000 * tone(PITCHES[pitch], 1.0, RATE)
    z = features.embed_of("audio", "plain")[0].embed(waves)
    z /= np.linalg.norm(z, axis=1, keepdims=True)
    np.testing.assert_allclose(z @ z.T, np.kron(np.eye(2), np.ones((2, 2))), atol=0.1)


def test_frames_of_a_table_are_compared_as_they_are():
    frames = np.random.default_rng(0).normal(size=(4, 96, 32)).astype("f4") * 10 - 30
    table = Table(("a", "b"), {"rows": rows({"audio": frames}, np.arange(4) // 2)}, {})
    found = prediction.adapt(table).predict(Inputs({"audio": frames}, {"audio": np.ones(4, "f4")}))
    assert found.labels.tolist() == [0, 0, 1, 1]


def test_a_run_hears_files_at_the_rate_and_length_of_its_encoder(folder, heard, tmp_path):
    config = own.get_config()
    config.data.seconds = 0.1
    config.update(modalities="audio", frozen="audio:soundnet", fusion="plain", compare="")
    config.encoders.audio = "raw"
    config.train.steps = 0
    results.write_json(tmp_path / "config.json", results.plain(config))
    embedded = rows({"audio": np.zeros((2, 2), np.float32)}, np.arange(2))
    train = Table(tuple(PITCHES), {"rows": embedded}, {})
    inputs.note(tmp_path, build.Data({"train": train}, {}, {}))
    method = methods.of_run(tmp_path)
    assert method.sizes == Sizes(sample_rate=RATE, wave=round(0.1 * RATE))
    assert asked(folder, workdir=tmp_path)[0] == ["high"] * 3 + ["low"] * 3
    assert set(heard.shapes) == {((6, round(0.1 * RATE)), np.dtype(np.int16))}
