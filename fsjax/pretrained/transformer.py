"""What vision, text and audio transformers share that normalise before each part."""

from collections.abc import Callable, Mapping
from typing import Any

import flax.linen as nn

from fsjax.types import Array

Activate = Callable[[Array], Array]


def quick_gelu(x: Array) -> Array:
    """The approximation of GELU with which CLIP was trained."""
    return x * nn.sigmoid(1.702 * x)


def exact_gelu(x: Array) -> Array:
    """GELU by the error function."""
    return nn.gelu(x, approximate=False)


ACTIVATIONS: dict[str, Activate] = {"quick_gelu": quick_gelu, "gelu": exact_gelu}


class SelfAttention(nn.Module):
    """Attention of tokens to each other."""

    heads: int

    @nn.compact
    def __call__(self, x: Array, mask: Array | None = None) -> Array:
        """x [B, L, D], mask broadcast to [B, heads, L, L] or none -> [B, L, D]."""

        def project(name: str) -> Array:
            y = nn.Dense(x.shape[-1], name=f"{name}_proj")(x)
            return y.reshape(*x.shape[:2], self.heads, -1)

        attended = nn.dot_product_attention(*map(project, "qkv"), mask=mask)
        return nn.Dense(x.shape[-1], name="out_proj")(attended.reshape(x.shape))


class Layer(nn.Module):
    """A layer that normalises before attention and before the dense part."""

    heads: int
    hidden: int
    activate: Activate
    epsilon: float

    @nn.compact
    def __call__(self, x: Array, mask: Array | None = None) -> Array:
        """x [B, L, D], mask as `SelfAttention` -> [B, L, D]."""
        y = nn.LayerNorm(epsilon=self.epsilon, name="layer_norm1")(x)
        x = x + SelfAttention(self.heads, name="self_attn")(y, mask)
        y = nn.LayerNorm(epsilon=self.epsilon, name="layer_norm2")(x)
        y = nn.Dense(self.hidden, name="mlp_fc1")(y)
        return x + nn.Dense(x.shape[-1], name="mlp_fc2")(self.activate(y))


def stack(x: Array, settings: Mapping[str, Any], name: str, mask: Array | None = None) -> Array:
    """All layers of a transformer, one after another, inside of a compact module.

    Args:
      x: [B, L, D].
      settings: as `config.json` names them.
      name: of the layers, before their numbers.
      mask: as of `SelfAttention`.

    Returns:
      [B, L, D].

    Raises:
      ValueError: if the activation is none that is known.
    """
    if (known := settings["hidden_act"]) not in ACTIVATIONS:
        raise ValueError(f"config.json names hidden_act {known!r}, not {' or '.join(ACTIVATIONS)}")
    for i in range(settings["num_hidden_layers"]):
        x = Layer(
            settings["num_attention_heads"],
            settings["intermediate_size"],
            ACTIVATIONS[known],
            settings["layer_norm_eps"],
            name=f"{name}_{i}",
        )(x, mask)
    return x
