"""CLIP's towers beside the reference implementation, on small random weights."""

import json
from importlib.util import find_spec

import jax
import numpy as np
import pytest
from PIL import Image

from fsjax.data.preprocess import encode_texts
from fsjax.pretrained import clip, hub

needs_transformers = pytest.mark.skipif(
    None in (find_spec("torch"), find_spec("transformers")), reason="transformers is not installed"
)
needs_tokenizers = pytest.mark.skipif(
    find_spec("tokenizers") is None, reason="tokenizers is not installed"
)
RNG = np.random.default_rng(0)
COMMON = {"num_hidden_layers": 2, "num_attention_heads": 2}
VISION = COMMON | {"hidden_size": 8, "intermediate_size": 12, "image_size": 12, "patch_size": 4}
TEXT = COMMON | {"hidden_size": 6, "intermediate_size": 10, "vocab_size": 9}
TEXT |= {"max_position_embeddings": 7, "bos_token_id": 7, "eos_token_id": 8}
CONFIG = {"model_type": "clip", "projection_dim": 5, "vision_config": VISION, "text_config": TEXT}
IMAGES = RNG.integers(0, 256, (3, 12, 12, 3)).astype(np.uint8)
# The last token of each text has the largest number, as CLIP's own tokenizer gives it.
IDS = np.array([[7, 1, 2, 8, 0], [7, 4, 8, 0, 0], [7, 5, 6, 3, 8]], np.int32)
MASK = (np.arange(5) <= IDS.argmax(1)[:, None]).astype(np.float32)


def weights():
    """Names and shapes as the file on the hub has them."""
    found = {
        "logit_scale": (),
        "visual_projection.weight": (5, 8),
        "text_projection.weight": (5, 6),
    }
    vision, text = "vision_model.embeddings", "text_model.embeddings"
    found |= {f"{vision}.class_embedding": (8,), f"{vision}.patch_embedding.weight": (8, 3, 4, 4)}
    found |= {f"{vision}.position_embedding.weight": (10, 8), f"{text}.position_ids": (1, 7)}
    found |= {f"{text}.token_embedding.weight": (9, 6), f"{text}.position_embedding.weight": (7, 6)}
    norms = [("vision_model.pre_layrnorm", 8), ("vision_model.post_layernorm", 8)]
    norms += [("text_model.final_layer_norm", 6)]
    dense = []
    for tower, width, hidden in (("vision_model", 8, 12), ("text_model", 6, 10)):
        for at in (f"{tower}.encoder.layers.{i}" for i in range(2)):
            norms += [(f"{at}.layer_norm{i}", width) for i in (1, 2)]
            dense += [(f"{at}.self_attn.{x}_proj", width, width) for x in ("q", "k", "v", "out")]
            dense += [(f"{at}.mlp.fc1", width, hidden), (f"{at}.mlp.fc2", hidden, width)]
    found |= {f"{name}.{part}": (n,) for name, n in norms for part in ("weight", "bias")}
    found |= {f"{name}.weight": (out, into) for name, into, out in dense}
    found |= {f"{name}.bias": (out,) for name, _, out in dense}
    return {name: RNG.normal(size=shape).astype(np.float32) for name, shape in found.items()}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder as the hub's, with random weights in it."""
    return written(tmp_path_factory.mktemp("clip"), weights())


def written(folder, arrays, config=CONFIG):
    safetensors = pytest.importorskip("safetensors.numpy")
    folder.mkdir(exist_ok=True, parents=True)
    (folder / hub.CONFIG).write_text(json.dumps(config))
    safetensors.save_file(arrays, folder / hub.WEIGHTS)
    return folder


@pytest.fixture(scope="module")
def features(folder):
    """Of images and of texts, by our towers."""
    towers = clip.load_clip(folder)

    @jax.jit
    def forward(params):
        pixels = clip.normalise_pixels(IMAGES, 12)
        return (
            towers.image.apply({"params": params["image"]}, pixels),
            towers.text.apply({"params": params["text"]}, IDS, MASK),
        )

    return forward(towers.params)


@needs_transformers
def test_both_towers_agree_with_transformers(folder, features):
    import torch
    from transformers import CLIPModel

    model = CLIPModel.from_pretrained(folder).eval()
    pixels = (IMAGES / 255 - np.array(clip.MEAN)) / np.array(clip.DEVIATION)
    with torch.no_grad():
        images = torch.tensor(pixels.transpose(0, 3, 1, 2), dtype=torch.float32)
        out = model(torch.tensor(IDS).long(), images, attention_mask=torch.tensor(MASK))
    for found, expected in zip(features, (out.image_embeds, out.text_embeds), strict=True):
        np.testing.assert_allclose(found, expected.numpy(), atol=1e-4)


def test_features_are_of_unit_length_and_padding_is_not_seen(folder, features):
    for z in features:
        assert z.shape == (3, 5)
        np.testing.assert_allclose(np.linalg.norm(z, axis=1), 1, atol=1e-5)
        assert np.ptp(z, axis=0).max() > 0.1
    towers = clip.load_clip(folder)
    other = np.where(MASK > 0, IDS, 3)
    again = jax.jit(towers.text.apply)({"params": towers.params["text"]}, other, MASK)
    np.testing.assert_allclose(again, features[1], atol=1e-6)


def changed(**arrays):
    return {name: x for name, x in (weights() | arrays).items() if x is not None}


@pytest.mark.parametrize(
    ("arrays", "config", "message"),
    [
        (changed(**{"logit_bias": np.zeros(1)}), {}, "1 of .* weights are left over: logit_bias"),
        (changed(**{"text_projection.weight": None}), {}, "are missing: text_projection.weight"),
        (
            changed(**{"visual_projection.weight": np.zeros((4, 8))}),
            {},
            "visual_projection.weight has shape .4, 8., and image/projection/kernel",
        ),
        (
            changed(),
            {"text_config": TEXT | {"hidden_act": "relu"}},
            "hidden_act 'relu', not quick_",
        ),
        (changed(), {"model_type": "siglip"}, "of the kind siglip, not of clip"),
        (
            changed(),
            {"vision_config": VISION | {"num_hidden_layers": 3}},
            "layers.2.* are missing|are missing: .*layers.2",
        ),
    ],
)
def test_weights_of_another_network_are_refused(tmp_path, arrays, config, message):
    with pytest.raises(ValueError, match=message):
        clip.load_clip(written(tmp_path, arrays, CONFIG | config))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", r"config\.json is no JSON .* download it again"),
        ("[]", "of the kind None, not of clip"),
    ],
)
def test_a_config_of_nothing_is_refused(tmp_path, text, message):
    written(tmp_path, weights())
    (tmp_path / hub.CONFIG).write_text(text)
    with pytest.raises(ValueError, match=message):
        clip.load_clip(tmp_path)


def test_the_cache_of_the_hub_is_found_as_its_variables_say(tmp_path, monkeypatch):
    model, files = "some/net", (hub.WEIGHTS,)
    for name in ("HF_HUB_CACHE", "HF_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))

    def kept(cache, revision):
        folder = cache / "models--some--net" / "snapshots" / revision
        folder.mkdir(parents=True)
        (folder / hub.WEIGHTS).touch()
        return folder

    mend = r"some/net lacks model\.safetensors in .*: hf download some/net model\.safetensors "
    with pytest.raises(FileNotFoundError, match=mend):
        hub.hub_folder(model, files)
    alone = kept(tmp_path / ".cache" / "huggingface" / "hub", "a")
    assert hub.hub_folder(model, files) == alone
    monkeypatch.setenv("HF_HOME", str(tmp_path / "home"))
    first, second = (kept(tmp_path / "home" / "hub", revision) for revision in "ab")
    with pytest.raises(FileNotFoundError, match="hf download"):  # which of the two?
        hub.hub_folder(model, files)
    main = tmp_path / "home" / "hub" / "models--some--net" / "refs" / "main"
    main.parent.mkdir()
    main.write_text("b\n")
    assert hub.hub_folder(model, files) == second
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "cache"))
    third = kept(tmp_path / "cache", "c")
    assert hub.hub_folder(model, files) == third
    assert hub.hub_folder(str(first), files) == first
    with pytest.raises(FileNotFoundError, match=r"lacks tokenizer\.json .*: take another folder"):
        hub.hub_folder(str(first), (hub.WEIGHTS, hub.TOKENIZER))


@needs_tokenizers
def test_rows_of_a_table_are_embedded_through_the_folder_that_is_named(folder, monkeypatch):
    from tokenizers import Tokenizer, models, pre_tokenizers, processors

    monkeypatch.setenv("FSJAX_CLIP", str(folder))
    with pytest.raises(FileNotFoundError, match=r"lacks tokenizer\.json"):
        clip.clip_text()
    words = ("pad", "red", "green", "kiwi", "lime", "of", "a", "<|start|>", "<|end|>")
    model = models.WordLevel({word: i for i, word in enumerate(words)}, unk_token="pad")
    tokenizer = Tokenizer(model)
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<|start|> $A <|end|>", special_tokens=[("<|start|>", 7), ("<|end|>", 8)]
    )
    tokenizer.save(str(folder / hub.TOKENIZER))
    split = clip.clip_tokens(folder, 7)
    ids, mask = split(["red kiwi", "a lime of a lime of a lime"])
    np.testing.assert_array_equal(ids, [[7, 1, 3, 8, 0, 0, 0], [7, 6, 4, 5, 6, 4, 8]])
    np.testing.assert_array_equal(mask.sum(1), [4, 7])
    texts, images = clip.clip_text(), clip.clip_image()
    assert (texts.modality, images.modality) == ("text", "image")
    assert texts.digest != images.digest
    z = texts.embed(encode_texts(["red kiwi", "green lime", "red kiwi"], 20))
    assert z.shape == (3, 5) and np.abs(z[0] - z[1]).max() > 0.01
    np.testing.assert_array_equal(z[0], z[2])
    larger = np.kron(IMAGES, np.ones((1, 2, 2, 1), np.uint8))
    # Pixels that are the same twice are almost as they were when made smaller.
    cosines = (images.embed(larger) * images.embed(IMAGES)).sum(1)
    assert cosines.min() > 0.7
    with pytest.raises(ValueError, match="clip_image embeds images"):
        images.embed(IMAGES / 255)
    (folder / hub.TOKENIZER).write_text("{}")
    with pytest.raises(ValueError, match="is no tokenizer"):
        clip.clip_text()


def test_pixels_are_resized_as_the_published_code_does():
    images = RNG.integers(0, 256, (2, 20, 20, 3)).astype(np.uint8)
    resized = [
        np.asarray(Image.fromarray(x).resize((12, 12), Image.Resampling.BICUBIC)) for x in images
    ]
    expected = (np.stack(resized) / 255 - np.array(clip.MEAN)) / np.array(clip.DEVIATION)
    # Their coefficients are of fixed point: a pixel may differ by one step of 255.
    np.testing.assert_allclose(clip.normalise_pixels(images, 12), expected, atol=1.1 / 255 / 0.26)
