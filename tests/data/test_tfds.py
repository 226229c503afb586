"""Data sets that a small builder prepares here, read back; Omniglot's schema among them."""

import io
import json
import shutil
from importlib.util import find_spec

import numpy as np
import pytest
from PIL import Image

from fsjax.data import preprocess
from fsjax.data.omniglot import read_omniglot
from fsjax.data.stored import is_stored
from fsjax.data.tfds import read_tfds

tfds = pytest.importorskip("tensorflow_datasets")
RNG = np.random.default_rng(0)
NAMES = ["oak", "ash"]
PIXELS = RNG.integers(0, 256, size=(6, 12, 10, 3)).astype(np.uint8)
VECTORS = RNG.normal(size=(6, 5)).astype(np.float32)
INK = RNG.integers(0, 2, size=(4, 6, 6))  # of Omniglot's, a pixel of which covers 5 x 5


def png(pixels):
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    file.seek(0)
    return file


def prepare(root, name, features, parts, file_format="array_record"):
    """Writes examples as tensorflow-datasets does: -> the folder of the version."""

    def info(self):
        return tfds.core.DatasetInfo(builder=self, features=tfds.features.FeaturesDict(features))

    methods = {
        "VERSION": tfds.core.Version("1.0.0"),
        "_info": info,
        "_split_generators": lambda self, manager: {
            part: enumerate(examples) for part, examples in parts.items()
        },
        "_generate_examples": lambda self: (),
    }
    builder = type(name, (tfds.core.GeneratorBasedBuilder,), methods)
    builder = builder(data_dir=root, file_format=file_format)
    builder.download_and_prepare()
    return builder.data_path


@pytest.fixture(scope="module")
def leaves(tmp_path_factory):
    of = tfds.features
    features = {
        "photo": of.Image(shape=(12, 10, 3)),
        "name": of.Text(),
        "margin": of.Tensor(shape=(5,), dtype=np.float32),
        "ragged": of.Tensor(shape=(None,), dtype=np.float32),
        "weight": of.Scalar(dtype=np.float32),
        "label": of.ClassLabel(names=NAMES),
        "folder": of.Text(),
    }
    examples = [
        {
            "photo": png(PIXELS[i]),
            "name": f"leaf {i}",
            "margin": VECTORS[i],
            "ragged": VECTORS[i, : i + 1] if i < 5 else VECTORS[i],
            "weight": np.nan if i == 5 else float(i),
            "label": i % 2,
            "folder": f"f{i // 2}",
        }
        for i in range(6)
    ]
    parts = {"train": examples[:4], "test": examples[4:]}
    return prepare(tmp_path_factory.mktemp("tfds"), "Leaves", features, parts)


def test_features_become_modalities_by_kind_whatever_the_split(leaves):
    named = {"image": "photo", "text": "name", "margin": "margin"}
    table = read_tfds(leaves, modalities=named, image_size=8, text_length=8)
    source = table.sources["rows"]
    assert table.classes == ("ash", "oak") and not table.side
    # The writer shuffles; the vectors tell who is who.
    order = [int(np.abs(VECTORS - v).sum(1).argmin()) for v in source.values["margin"]]
    assert sorted(order) == list(range(6))
    assert [table.classes[i] for i in source.labels] == [NAMES[i % 2] for i in order]
    photos = [preprocess.resize_image(Image.fromarray(PIXELS[i]), 8) for i in order]
    np.testing.assert_array_equal(source.values["image"], photos)
    texts = preprocess.encode_texts([f"leaf {i}" for i in order], 8)
    np.testing.assert_array_equal(source.values["text"], texts)


def test_streamed_images_are_those_of_memory(leaves):
    named = {"image": "photo", "text": "name", "margin": "margin"}
    streamed, held = (
        read_tfds(leaves, modalities=named, image_size=8, stream=s).sources["rows"].values
        for s in (True, False)
    )
    assert [name for name, x in streamed.items() if is_stored(x)] == ["image"]
    for name in named:
        np.testing.assert_array_equal(streamed[name], held[name])


def test_a_split_can_be_chosen_and_classes_named_by_a_text(leaves):
    table = read_tfds(leaves, modalities={"margin": "margin"}, label="folder", parts=["test"])
    assert table.classes == ("f2",) and len(table.sources["rows"].labels) == 2


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"modalities": {"image": "photos"}}, "no feature photos; it has folder, label"),
        ({"modalities": {"image": "photo"}, "label": "species"}, "no feature species"),
        ({"modalities": {"image": "photo"}, "parts": ["val"]}, "no split val; it has"),
        ({"modalities": {"x": "ragged"}}, "ragged is a Tensor .* which no encoder takes"),
        ({"modalities": {"x": "weight"}}, "feature weight of example .* NaN"),
    ],
)
def test_what_does_not_fit_is_said(leaves, options, message):
    with pytest.raises(ValueError, match=message):
        read_tfds(leaves, **options)


def test_a_folder_without_a_data_set_is_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match="folder of a version"):
        read_tfds(tmp_path, modalities={"image": "photo"})


def test_a_format_that_needs_tensorflow_is_refused(leaves, tmp_path):
    copy = shutil.copytree(leaves, tmp_path / "leaves")
    info = json.loads((copy / "dataset_info.json").read_text()) | {"fileFormat": "tfrecord"}
    (copy / "dataset_info.json").write_text(json.dumps(info))
    with pytest.raises(ValueError, match="file_format='array_record'"):
        read_tfds(copy, modalities={"image": "photo"})


@pytest.mark.skipif(find_spec("tensorflow") is not None, reason="TensorFlow is installed")
def test_a_feature_that_needs_tensorflow_is_refused(leaves, tmp_path):
    copy = shutil.copytree(leaves, tmp_path / "leaves")
    known = json.loads((copy / "features.json").read_text())
    known["featuresDict"]["features"]["name"] = {
        "pythonClassName": "tensorflow_datasets.core.features.audio_feature.Audio",
        "audio": {"dtype": "int64", "encoding": "none"},
    }
    (copy / "features.json").write_text(json.dumps(known))
    with pytest.raises(ValueError, match="without TensorFlow"):
        read_tfds(copy, modalities={"image": "photo"})


def test_a_damaged_example_is_named(leaves, tmp_path):
    copy = shutil.copytree(leaves, tmp_path / "leaves")
    for file in copy.glob("*.array_record*"):
        data = file.read_bytes()
        file.write_bytes(data.replace(b"IHDR", b"XXXX").replace(b"\x89PNG", b"ABCD"))
    with pytest.raises(ValueError, match=r"cannot be read|damaged"):
        read_tfds(copy, modalities={"image": "photo"})


def test_another_data_set_is_not_taken_for_omniglot(leaves):
    with pytest.raises(ValueError, match="is not Omniglot: it has no feature alphabet"):
        read_omniglot(leaves)


def test_omniglot_as_tensorflow_datasets_prepares_it_is_the_same_as_the_folders(tmp_path):
    features = {
        "image": tfds.features.Image(shape=(30, 30, 3), encoding_format="png"),
        "alphabet": tfds.features.ClassLabel(names=["Greek", "Tibetan"]),
        "alphabet_char_id": np.int64,
        "label": tfds.features.ClassLabel(num_classes=2),
    }
    drawings = [255 * (1 - np.kron(ink, np.ones((5, 5)))).astype(np.uint8) for ink in INK]
    examples = [
        {"image": png(d), "alphabet": i % 2, "alphabet_char_id": 3 + i % 2, "label": i % 2}
        for i, d in enumerate(drawings)
    ]
    parts = {"train": examples[::2], "test": examples[1::2], "small1": examples[:1]}
    table = read_omniglot(prepare(tmp_path, "Omniglot", features, parts), size=6)
    assert table.classes == ("Greek/character04", "Tibetan/character05")
    values, _, labels, group = table.sources["image"]
    assert labels.tolist() == [0, 0, 1, 1] and group.tolist() == [1, 2, 1, 2]
    found = {(label, x.tobytes()) for label, x in zip(labels, values["image"], strict=True)}
    expected = {(i % 2, (255 * ink).astype(np.uint8).tobytes()) for i, ink in enumerate(INK)}
    assert found == expected
