"""CLIP's two towers, of images and of texts, with weights from Hugging Face's hub on the disk."""

import os
from collections.abc import Mapping
from functools import partial
from pathlib import Path as File
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from fsjax.pretrained.encoder import Pretrained, check_images, digest, in_batches
from fsjax.pretrained.hub import CONFIG, TOKENIZER, WEIGHTS, hub_config, hub_folder, hub_weights
from fsjax.pretrained.naming import Path, named_params, shapes_of
from fsjax.pretrained.tokens import Split, decode_texts, read_tokenizer
from fsjax.pretrained.transformer import stack
from fsjax.types import Array, Params

MODEL = "openai/clip-vit-base-patch32"  # unless the variable FSJAX_CLIP names another, or a folder
# Of the pixels of the pairs that CLIP was trained on, in 0..1.
MEAN = (0.48145466, 0.4578275, 0.40821073)
DEVIATION = (0.26862954, 0.26130258, 0.27577711)
# What `config.json` leaves out is as in the first CLIP.
COMMON = {"num_hidden_layers": 12, "hidden_act": "quick_gelu", "layer_norm_eps": 1e-5}
IMAGE = COMMON | {"hidden_size": 768, "intermediate_size": 3072, "num_attention_heads": 12}
IMAGE |= {"image_size": 224, "patch_size": 32}
TEXT = COMMON | {"hidden_size": 512, "intermediate_size": 2048, "num_attention_heads": 8}
TEXT |= {"vocab_size": 49408, "max_position_embeddings": 77}

Settings = Mapping[str, Any]


class Tower(nn.Module):
    """The layers that both towers have, and the map into their common space."""

    settings: Settings
    features: int

    def norm(self, name: str) -> nn.LayerNorm:
        """A norm by the name that it was published with."""
        return nn.LayerNorm(epsilon=self.settings["layer_norm_eps"], name=name)

    def embedding(self, rows: int, name: str) -> nn.Embed:
        """A table by the name that it was published with."""
        return nn.Embed(rows, self.settings["hidden_size"], name=f"embeddings_{name}_embedding")

    def layers(self, x: Array, mask: Array | None = None) -> Array:
        """x [B, L, D], mask as of `stack` -> [B, L, D]."""
        return stack(x, self.settings, "encoder_layers", mask)

    def project(self, x: Array) -> Array:
        """x [B, D] -> [B, features] of unit length."""
        z = nn.Dense(self.features, use_bias=False, name="projection")(x)
        return z * jax.lax.rsqrt(jnp.maximum(jnp.square(z).sum(-1, keepdims=True), 1e-24))


class ImageTower(Tower):
    """A vision transformer (Dosovitskiy et al. 2021, arxiv.org/abs/2010.11929)."""

    @nn.compact
    def __call__(self, x: Array) -> Array:
        """x [B, H, H, 3] normalised, H the size that it was trained with -> [B, features]."""
        width, side = self.settings["hidden_size"], self.settings["patch_size"]
        how = {"padding": "VALID", "use_bias": False, "name": "embeddings_patch_embedding"}
        convolve = nn.Conv(width, (side, side), (side, side), **how)
        patches = convolve(x).reshape(len(x), -1, width)
        first = self.param("embeddings_class_embedding", nn.initializers.normal(), (width,))
        x = jnp.concatenate([jnp.tile(first, (len(x), 1, 1)), patches], axis=1)
        x = x + self.embedding(x.shape[1], "position")(jnp.arange(x.shape[1]))
        x = self.layers(self.norm("pre_layrnorm")(x))
        return self.project(self.norm("post_layernorm")(x[:, 0]))


class TextTower(Tower):
    """A transformer in which no token sees those that follow it; the last one is the text."""

    @nn.compact
    def __call__(self, ids: Array, mask: Array) -> Array:
        """ids [B, L] int32, mask [B, L], 1 token, 0 padding -> [B, features]."""
        longest = self.settings["max_position_embeddings"]
        x = self.embedding(self.settings["vocab_size"], "token")(ids)
        x = x + self.embedding(longest, "position")(jnp.arange(ids.shape[1]))
        x = self.norm("final_layer_norm")(self.layers(x, nn.make_causal_mask(ids)))
        last = mask.sum(1).astype(jnp.int32) - 1
        return self.project(x[jnp.arange(len(x)), last])


class Clip(NamedTuple):
    """Both towers and their published parameters."""

    image: ImageTower
    text: TextTower
    params: Params  # {"image": ..., "text": ...}


def load_clip(folder: File) -> Clip:
    """The two towers and their parameters (Radford et al. 2021, https://arxiv.org/abs/2103.00020).

    Args:
      folder: with `model.safetensors` and `config.json`.

    Raises:
      ImportError: if the package safetensors is not installed.
      ValueError: if a file is damaged, the weights do not fit, or it is no CLIP.
    """
    config = hub_config(folder, "clip")
    of = [
        defaults | {name: x for name, x in config.get(part, {}).items() if name in defaults}
        for part, defaults in (("vision_config", IMAGE), ("text_config", TEXT))
    ]
    features = config.get("projection_dim", 512)
    image, text = ImageTower(of[0], features), TextTower(of[1], features)
    size = of[0]["image_size"]
    ids = jax.ShapeDtypeStruct((1, 2), jnp.int32)
    shapes = {
        "image": shapes_of(image.init, jax.ShapeDtypeStruct((1, size, size, 3), jnp.float32)),
        "text": shapes_of(text.init, ids, jax.ShapeDtypeStruct((1, 2), jnp.float32)),
    }
    # How sure CLIP is of a pair, and counters of older files, are no part of features.
    unused = ("logit_scale", "embeddings.position_ids")
    return Clip(image, text, named_params(shapes, hub_weights(folder), _published, unused=unused))


def _published(path: Path) -> str:
    tower, *modules, own = path
    if modules == ["projection"]:
        return {"image": "visual_projection.weight", "text": "text_projection.weight"}[tower]
    of_kind = {"kernel": "weight", "embedding": "weight", "scale": "weight"}
    parts = [{"image": "vision_model", "text": "text_model"}[tower], *modules]
    name = ".".join([*parts, of_kind.get(own, own)])
    for part in ("embeddings_", "encoder_layers_", "mlp_"):
        name = name.replace(f".{part}", f".{part.replace('_', '.')}")
    return name


def clip_folder(*files: str) -> File:
    """Where the files of the CLIP in use lie.

    Raises:
      FileNotFoundError: as `hub_folder`.
    """
    return hub_folder(os.environ.get("FSJAX_CLIP", MODEL), (WEIGHTS, CONFIG, *files))


def normalise_pixels(images: Array, size: int) -> Array:
    """images [B, H, H, 3] uint8 -> [B, size, size, 3] as the towers were trained to see them."""
    x = images.astype(jnp.float32)
    if x.shape[1] != size:
        x = jax.image.resize(x, (len(x), size, size, 3), "cubic", antialias=True)
        x = jnp.clip(jnp.round(x), 0, 255)  # as pixels, which the published code resizes to
    return (x / 255 - jnp.asarray(MEAN)) / jnp.asarray(DEVIATION)


def clip_image() -> Pretrained:
    """Features of images by CLIP (Radford et al. 2021, https://arxiv.org/abs/2103.00020).

    Returns:
      Images [N, H, H, 3] uint8 -> [N, D] of unit length, in the space of `clip_text`.

    Raises:
      FileNotFoundError: with the command that downloads the weights, if they are not there.
      ImportError, ValueError: as `load_clip`.
      ValueError: `embed`, if rows are no such images.
    """
    folder = clip_folder()
    towers = load_clip(folder)
    size = towers.image.settings["image_size"]

    @jax.jit
    def forward(params: Params, images: Array) -> Array:
        return towers.image.apply({"params": params}, normalise_pixels(images, size))

    def embed(images: np.ndarray) -> np.ndarray:
        images = check_images(images, "clip_image")
        return in_batches(partial(forward, towers.params["image"]), images, batch=32)

    key = digest(folder / WEIGHTS, **towers.image.settings)
    return Pretrained("clip_image", key, "image", embed)


def clip_text() -> Pretrained:
    """Features of texts by CLIP (Radford et al. 2021, https://arxiv.org/abs/2103.00020).

    Returns:
      Texts [N, L] int32, UTF-8 bytes plus one and 0 for padding -> [N, D] of unit length.

    Raises:
      FileNotFoundError, ImportError, ValueError: as `clip_image`; the tokenizer is wanted too.
      ValueError: `embed`, if rows are no such texts.
    """
    folder = clip_folder(TOKENIZER)
    towers = load_clip(folder)
    split = clip_tokens(folder, towers.text.settings["max_position_embeddings"])
    forward = jax.jit(partial(_of_text, towers.text))

    def embed(texts: np.ndarray) -> np.ndarray:
        ids, mask = split(decode_texts(texts, "clip_text"))
        return in_batches(partial(forward, towers.params["text"]), ids, mask, batch=32)

    tokens = digest(folder / TOKENIZER)
    key = digest(folder / WEIGHTS, tokens=tokens, **towers.text.settings)
    return Pretrained("clip_text", key, "text", embed)


def clip_tokens(folder: File, longest: int) -> Split:
    """Texts -> ids and mask of their tokens, cut off where the tower was trained to end."""
    lengths = tuple(n for n in (16, 32) if n < longest)
    return read_tokenizer(folder / TOKENIZER, (*lengths, longest), "clip_text")


def _of_text(tower: TextTower, params: Params, ids: Array, mask: Array) -> Array:
    return tower.apply({"params": params}, ids, mask)
