"""Reading files: what is read, and that every fault names its place and its mend."""

import os
import zipfile
from pathlib import Path

import jax
import librosa
import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from fsjax.data import files, preprocess
from fsjax.data.stored import is_stored

DATA = Path(os.environ.get("FSJAX_DATA", Path(__file__).parents[3] / "shared" / "data"))


def needs(name: str) -> Path:
    if not (DATA / name).is_file():
        pytest.skip(f"{name} is not in {DATA}; set FSJAX_DATA to the folder that holds it")
    return DATA / name


def tone(seconds: float, rate: int, hertz: float = 440.0) -> np.ndarray:
    return (0.3 * np.sin(2 * np.pi * hertz * np.arange(int(seconds * rate)) / rate)).astype("f4")


def write(path: Path, colour: int = 0) -> Path:
    """A small valid file of the kind that the ending tells."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".txt":
        path.write_text(f"thing {colour}\n\n  Another Thing \n", "utf-8")
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
    # librosa resamples by another filter: compare where there is sound.
    mono = librosa.resample((left + right) / 2, orig_sr=44100, target_sr=16000, res_type="scipy")
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


@pytest.fixture
def arrays() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    return {
        "pixels": rng.integers(0, 256, (6, 4, 4, 3), np.uint8),
        "leaf": rng.standard_normal((6, 5)).astype(np.float32),
        "cls": np.array([1, 0, 2, 1, 0, 2], np.int16),
        "names": np.array(["oak", "elm", "ash"]),
        "who": np.array(["b", "a", "b", "a", "b", "c"]),
    }


def read_arrays(path: Path, arrays: dict[str, np.ndarray], **options) -> files.Table:
    np.savez_compressed(path / "d.npz", **arrays)
    modalities = {"image": "pixels", "tabular": "leaf"}
    return files.read_npz(path / "d.npz", modalities=modalities, **options)


def test_read_npz_pairs_rows(tmp_path, arrays):
    table = read_arrays(tmp_path, arrays, group="who")
    assert table.classes == ("oak", "elm", "ash") and list(table.sources) == ["rows"]
    rows = table.sources["rows"]
    np.testing.assert_array_equal(rows.values["image"], arrays["pixels"])
    np.testing.assert_array_equal(rows.values["tabular"], arrays["leaf"])
    np.testing.assert_array_equal(rows.labels, arrays["cls"])
    assert rows.group.tolist() == [1, 0, 1, 0, 1, 2]
    assert read_arrays(tmp_path, arrays).sources["rows"].group.tolist() == [*range(6)]


@pytest.mark.parametrize("dtype", [str, "S3"])
def test_labels_may_be_strings(tmp_path, arrays, dtype):
    arrays["cls"] = arrays["names"][arrays["cls"]].astype(dtype)
    table = read_arrays(tmp_path, arrays)
    assert table.classes == ("oak", "elm", "ash")
    assert table.sources["rows"].labels.tolist() == [1, 0, 2, 1, 0, 2]
    del arrays["names"]
    table = read_arrays(tmp_path, arrays)
    assert table.classes == ("ash", "elm", "oak")
    assert table.sources["rows"].labels.tolist() == [1, 2, 0, 1, 2, 0]


def test_labels_without_names_may_be_any_integers(tmp_path, arrays):
    del arrays["names"]
    table = read_arrays(tmp_path, {**arrays, "cls": np.array([40, -7, 5, 40, -7, 5])})
    assert table.classes == ("-7", "5", "40")
    assert table.sources["rows"].labels.tolist() == [2, 0, 1, 2, 0, 1]


FAULTS = {
    "missing": ({"leaf": None}, r"no array leaf; it has pixels, cls, names, who"),
    "short": ({"leaf": np.zeros((5, 5))}, r"leaf has shape \(5, 5\), yet there are 6 labels"),
    "scalar": ({"leaf": np.float32(1)}, r"leaf has shape \(\)"),
    "nan": (
        {"leaf": np.array([0, 0, 0, np.nan, 0, np.inf])},
        r"leaf has NaN or Inf in 2 of 6 rows",
    ),
    "where": ({"leaf": np.array([0, 0, 0, np.nan, 0, np.inf])}, r"first in row 3; remove"),
    "text": ({"leaf": np.array(list("abcdef"))}, r"leaf has type <U1, not numbers; .*encode_texts"),
    "pickle": ({"leaf": np.array([None] * 6)}, r"array leaf, cannot be read .*np\.savez"),
    "high": ({"cls": np.array([0, 1, 3, 0, 3, 1])}, r"cls is 3 in row 2, .* 3 class names.*0 to 2"),
    "low": ({"cls": np.array([0, 1, 0, 0, -1, 1])}, r"cls is -1 in row 4"),
    "stranger": ({"cls": np.array(["oak", "fir"] * 3)}, r"cls is fir in row 1"),
    "twice": ({"names": np.array(["oak", "elm", "oak"])}, r"class name oak occurs twice"),
    "float": ({"cls": np.zeros(6)}, r"cls has shape \(6,\) and type float64"),
    "one-hot": ({"cls": np.eye(6, dtype=int)}, r"cls has shape \(6, 6\)"),
    "none": ({"cls": np.zeros(0, int)}, r"cls has shape \(0,\)"),
    "group": ({"who": np.arange(4)}, r"who has shape \(4,\), yet there are 6 labels"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_faulty_array_is_named(tmp_path, arrays, fault):
    change, message = FAULTS[fault]
    arrays = {key: x for key, x in {**arrays, **change}.items() if x is not None}
    with pytest.raises(ValueError, match=message) as caught:
        read_arrays(tmp_path, arrays, group="who")
    assert "d.npz" in str(caught.value)


def test_arrays_that_are_not_asked_for_are_not_read(tmp_path, arrays):
    read_arrays(tmp_path, {**arrays, "other": np.array([None])})


def test_a_missing_npz_or_one_of_another_format_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no\.npz is not a file"):
        files.read_npz(tmp_path / "no.npz", modalities={})
    np.save(tmp_path / "one.npy", np.zeros(3))
    with pytest.raises(ValueError, match=r"one\.npy cannot be read"):
        files.read_npz(tmp_path / "one.npy", modalities={})


@settings(deadline=None, max_examples=100)
@given(keep=st.floats(0, 1), flips=st.lists(st.integers(0, 10**6), max_size=3))
def test_a_damaged_npz_gives_a_value_error_or_the_arrays(tmp_path_factory, keep, flips):
    path = tmp_path_factory.getbasetemp() / "damaged.npz"
    leaf = np.arange(24.0).reshape(6, 4)
    np.savez_compressed(path, leaf=leaf, cls=np.arange(6) % 2)
    data = bytearray(path.read_bytes())
    data = data[: round(len(data) * keep)]
    for flip in flips if data else []:
        data[flip % len(data)] ^= 1 << flip % 8
    path.write_bytes(data)
    try:
        table = files.read_npz(path, modalities={"leaf": "leaf"})
    except ValueError as error:
        assert str(path) in str(error)
    else:
        np.testing.assert_array_equal(table.sources["rows"].values["leaf"], leaf)


def test_leaf64_is_read():
    modalities = {name: name for name in ("margin", "shape", "texture")} | {"image": "images"}
    table = files.read_npz(needs("leaf64.npz"), modalities=modalities)
    assert len(table.classes) == 99 and table.classes[0] == "Acer Capillipes"
    rows = table.sources["rows"]
    assert rows.values["image"].shape == (990, 64, 64) and rows.values["shape"].shape == (990, 64)
    np.testing.assert_array_equal(np.bincount(rows.labels), 10)


def test_esc10_is_read_with_its_folds():
    path = needs("esc10_logmel.npz")
    table = files.read_npz(path, modalities={"audio": "logmel"}, group="fold")
    assert len(table.classes) == 10
    np.testing.assert_array_equal(np.bincount(table.sources["rows"].group), 80)


def test_spoken_keywords_are_read_from_wav(tmp_path):
    with zipfile.ZipFile(needs("arabic_speech_wav.zip")) as archive:
        names = [n for n in archive.namelist() if n.startswith(("backward/", "forward/"))]
        archive.extractall(tmp_path, names)
    table = files.read_folder(tmp_path, frames=48)
    assert table.classes == ("backward", "forward")
    assert table.sources["audio"].values["audio"].shape == (20, 48, 32)
