"""Fusion in which modalities open and close each other."""

from collections.abc import Mapping

import flax.linen as nn
import jax.numpy as jnp

from fsjax.fusion.attention import masked_softmax
from fsjax.fusion.pooled import joined, normed, presence, tell_shares
from fsjax.types import Array, Tokens


class GatedUnit(nn.Module):
    """A gated multimodal unit (Arevalo et al. 2017, https://arxiv.org/abs/1702.01992).

    Every feature is a mean of what the modalities say of it, by gates that see all of them. The
    paper's two gates z and 1 - z are a softmax of two, and are here one of as many modalities as
    a row has: one alone is let through as it is.
    """

    features: int = 256

    @nn.compact
    def __call__(self, tokens: Mapping[str, Tokens], present: Mapping[str, Array]) -> Array:
        """tokens {m: [B, L_m, D_m]}, present {m: [B]} -> [B, features], zero if none is there.

        Sows into "intermediates" the mean gate [B] of each modality.
        """
        means, there = normed(tokens), presence(tokens, present)
        said = [nn.tanh(nn.Dense(self.features, name=f"say_{m}")(x)) for m, x in means.items()]
        seen = jnp.concatenate([joined(means, present), there], axis=-1)
        logits = [nn.Dense(self.features, name=f"gate_{m}")(seen) for m in means]
        gates = masked_softmax(jnp.stack(logits, axis=-1), there[:, None])  # [B, features, M]
        tell_shares(self, tokens, gates.mean(1))
        return (gates * jnp.stack(said, axis=-1)).sum(-1)


class FiLM(nn.Module):
    """Each modality scaled and shifted, feature by feature, as the others tell (Perez et al. 2018,
    https://arxiv.org/abs/1709.07871).

    The paper's text modulates an image; here every modality is modulated by the mean of all others
    that are there, and is as it was where there is none. It starts from concatenation.
    """

    features: int = 64  # of what modalities tell each other

    @nn.compact
    def __call__(self, tokens: Mapping[str, Tokens], present: Mapping[str, Array]) -> Array:
        """tokens {m: [B, L_m, D_m]}, present {m: [B]} -> [B, sum of D_m], by name of modality."""
        means, there = normed(tokens), presence(tokens, present)
        told = [nn.relu(nn.Dense(self.features, name=f"tell_{m}")(x)) for m, x in means.items()]
        told = jnp.stack(told, axis=1) * there[..., None]  # [B, M, features]
        modulated = {}
        for i, (m, x) in enumerate(means.items()):
            others = there.sum(1, keepdims=True) - there[:, i : i + 1]
            heard = (told.sum(1) - told[:, i]) / jnp.maximum(others, 1.0)
            layer = nn.Dense(2 * x.shape[-1], kernel_init=nn.initializers.zeros, name=f"film_{m}")
            scale, shift = jnp.split(layer(heard) * (others > 0), 2, axis=-1)
            modulated[m] = (1 + scale) * x + shift
        return joined(modulated, present)
