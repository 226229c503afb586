"""Reading files: what is read, and that every fault names its place and its mend."""

import zipfile
from pathlib import Path

import jax
import numpy as np
import pytest
import scipy.signal
import soundfile
from PIL import Image

from fsjax.data import files, preprocess
from fsjax.data.stored import is_stored


def tone(seconds: float, rate: int, hertz: float = 440.0) -> np.ndarray:
    return (0.3 * np.sin(2 * np.pi * hertz * np.arange(int(seconds * rate)) / rate)).astype("f4")


def write(path: Path, colour: int = 0) -> Path:
    """A small valid file of the kind that the ending tells."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".txt":
        path.write_text(f"thing {colour}\n\n  Another Thing \n", "utf-8")
    elif path.suffix == ".npy":
        np.save(path, np.random.default_rng(colour).normal(size=(5, 2)))
    elif path.suffix in (".wav", ".flac", ".ogg"):
        soundfile.write(path, tone(0.3, 16000, 300 + colour), 16000)
    else:
        noise = np.random.default_rng(colour).integers(0, 256, (12, 16, 3), np.uint8)
        Image.fromarray(noise).save(path)
    return path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two classes with two images, one sound and one text file each."""
    for i, name in enumerate(("cat", "Ant")):
        for file in ("a.png", "b.jpg", "c.wav", "d.txt"):
            write(tmp_path / "data" / name / file, i)
    return tmp_path / "data"


def read(folder: Path) -> files.Table:
    return files.read_folder(folder, image_size=16, frames=8, text_length=12)


def test_read_folder_makes_a_source_of_each_kind(folder):
    table = read(folder)
    assert table.classes == ("Ant", "cat") and table.side == {}
    assert list(table.sources) == ["audio", "image", "text"]
    shapes = {name: rows.values[name].shape for name, rows in table.sources.items()}
    assert shapes == {"audio": (2, 8, 32), "image": (4, 16, 16, 3), "text": (4, 12)}
    labels = {name: rows.labels.tolist() for name, rows in table.sources.items()}
    assert labels == {"audio": [0, 1], "image": [0, 0, 1, 1], "text": [0, 0, 1, 1]}
    with Image.open(folder / "cat" / "a.png") as image:
        expected = preprocess.resize_image(image, 16)
    np.testing.assert_array_equal(table.sources["image"].values["image"][2], expected)
    expected = preprocess.encode_texts(["thing 1", "another thing"], 12)
    np.testing.assert_array_equal(table.sources["text"].values["text"][:2], expected)


@pytest.mark.parametrize("ending", sorted(files.ENDINGS))
def test_every_known_ending_is_read_in_either_case(tmp_path, ending):
    modality = files.ENDINGS[ending].modality
    write(tmp_path / "x" / f"one{ending}").rename(tmp_path / "x" / f"one{ending.upper()}")
    table = read(tmp_path)
    assert list(table.sources) == [modality]
    assert np.ptp(table.sources[modality].values[modality].astype(float)) > 0


def test_streamed_images_and_sounds_are_those_of_memory(folder):
    held, streamed = (files.read_folder(folder, frames=8, stream=s) for s in (False, True))
    for name, source in streamed.sources.items():
        assert is_stored(source.values[name]) == (name != "text")
        for found, expected in zip(source, held.sources[name], strict=True):
            jax.tree.map(np.testing.assert_array_equal, in_memory(found), expected)


def in_memory(values):
    return jax.tree.map(np.asarray, values, is_leaf=is_stored)


def test_hidden_files_and_files_beside_the_classes_are_not_read(folder):
    before = read(folder)
    (folder / ".cache").mkdir()
    (folder / "cat" / ".DS_Store").write_bytes(b"\0")
    (folder / "README.md").write_text("a licence")
    after = read(folder)
    assert after.classes == before.classes
    assert len(after.sources["image"].labels) == len(before.sources["image"].labels)


def test_a_turned_photo_is_turned_upright(tmp_path):
    pixels = np.zeros((8, 8, 3), np.uint8)
    pixels[:4] = 255
    tag = Image.Exif()
    tag[0x0112] = 3  # the camera was upside down
    (tmp_path / "x").mkdir()
    Image.fromarray(pixels).save(tmp_path / "x" / "a.png", exif=tag)
    table = files.read_folder(tmp_path, image_size=8)
    np.testing.assert_array_equal(table.sources["image"].values["image"][0], pixels[::-1])


@pytest.mark.parametrize("seconds", [0.01, 0.1, 0.5])
def test_audio_is_the_log_mel_of_the_wave(tmp_path, seconds):
    (tmp_path / "x").mkdir()
    wave = tone(seconds, 16000)
    soundfile.write(tmp_path / "x" / "a.wav", wave, 16000, subtype="FLOAT")
    got = files.read_folder(tmp_path, frames=10).sources["audio"].values["audio"][0]
    expected = preprocess.fit_frames(jax.jit(preprocess.log_mel)(wave), 10)
    assert got.shape == (10, 32) and got.dtype == np.float32
    np.testing.assert_allclose(got, expected, atol=1e-3)


def test_audio_is_mixed_to_mono_and_resampled(tmp_path):
    (tmp_path / "x").mkdir()
    left, right = tone(0.5, 44100, 1000), tone(0.5, 44100, 3000)
    soundfile.write(tmp_path / "x" / "a.wav", np.stack([left, right], 1), 44100)
    got = files.read_folder(tmp_path, frames=20).sources["audio"].values["audio"][0]
    # By Fourier's transform the filter is another: compare where there is sound.
    mono = scipy.signal.resample((left + right) / 2, len(left) * 16000 // 44100)
    expected = np.asarray(jax.jit(preprocess.log_mel)(mono))[:20]
    loud = expected > expected.max() - 30
    np.testing.assert_allclose(got[loud], expected[loud], atol=0.1)


def bad(folder: Path, case: str) -> Path:
    """Spoils a folder; returns what the message must name."""
    victim = folder / "cat" / {"image": "b.jpg", "audio": "c.wav", "text": "d.txt"}[case.split()[0]]
    data = victim.read_bytes()
    if case.endswith("cut"):
        victim.write_bytes(data[: len(data) * 3 // 4])
    elif case.endswith("empty"):
        victim.write_bytes(b"")
    elif case.endswith("garbage"):
        victim.write_bytes(b"\xff\xfe\x00not this" * 9)
    elif case.endswith("silent"):
        soundfile.write(victim, np.zeros(0), 16000)
    else:
        wave = np.where(np.arange(900) == 7, np.nan, 0.1)
        soundfile.write(victim, wave, 16000, subtype="FLOAT")
    return victim


CASES = [f"{kind} {fault}" for kind in ("image", "audio", "text") for fault in ("empty", "garbage")]


@pytest.mark.parametrize("case", [*CASES, "image cut", "audio cut", "audio silent", "audio nan"])
def test_a_damaged_file_is_named_with_the_mend(folder, case):
    victim = bad(folder, case)
    with pytest.raises(ValueError, match="replace or remove the file") as caught:
        read(folder)
    assert f"{victim} cannot be read as {case.split()[0]} (" in str(caught.value)


@pytest.mark.parametrize("ending", ["wav", "flac", "ogg"])
@pytest.mark.parametrize("part", [0.1, 0.5, 0.9, 0.99])
def test_audio_that_ends_early_is_never_taken_for_a_shorter_clip(tmp_path, ending, part):
    path = write(tmp_path / "x" / f"a.{ending}")
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * part)])
    with pytest.raises(ValueError, match=rf"a\.{ending} cannot be read as audio"):
        read(tmp_path)


def test_a_wav_streamed_without_its_length_is_whole(tmp_path):
    path = write(tmp_path / "x" / "a.wav")
    expected = read(tmp_path).sources["audio"].values["audio"]
    data = bytearray(path.read_bytes())
    at = data.find(b"data") + 4
    data[4:8] = data[at : at + 4] = b"\xff" * 4
    path.write_bytes(data)
    np.testing.assert_array_equal(read(tmp_path).sources["audio"].values["audio"], expected)


def test_an_unknown_ending_is_named_beside_the_known_ones(folder):
    (folder / "cat" / "notes.docx").write_bytes(b"")
    with pytest.raises(ValueError, match=r"cat/notes\.docx .* \.png .* \.wav .* \.txt"):
        read(folder)
    (folder / "cat" / "notes.docx").unlink()
    (folder / "cat" / "more").mkdir()
    with pytest.raises(ValueError, match=r"cat/more "):
        read(folder)


def test_a_class_without_a_source_is_named_with_it(folder):
    (folder / "cat" / "c.wav").unlink()
    with pytest.raises(ValueError, match="no audio file for class cat"):
        read(folder)
    (folder / "dog").mkdir()
    with pytest.raises(ValueError, match="no image file for class dog"):
        read(folder)


def test_an_empty_or_missing_folder_is_an_error(tmp_path):
    with pytest.raises(ValueError, match=r"no files in class folders.*CLASS/FILE"):
        read(tmp_path)
    with pytest.raises(FileNotFoundError, match="nowhere is not a folder"):
        read(tmp_path / "nowhere")
    with pytest.raises(ValueError, match=r"at least 1.*frames=0"):
        files.read_folder(tmp_path, frames=0)


def test_spoken_keywords_are_read_from_wav(needs, tmp_path):
    with zipfile.ZipFile(needs("arabic_speech_wav.zip")) as archive:
        names = [n for n in archive.namelist() if n.startswith(("backward/", "forward/"))]
        archive.extractall(tmp_path, names)
    table = files.read_folder(tmp_path, frames=48)
    assert table.classes == ("backward", "forward")
    assert table.sources["audio"].values["audio"].shape == (20, 48, 32)
