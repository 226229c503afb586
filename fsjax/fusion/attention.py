"""Fusion by attention over the tokens of all modalities."""

from collections.abc import Mapping

import flax.linen as nn
import jax
import jax.numpy as jnp

from fsjax.types import Array, Params, Tokens


class Attention(nn.Module):
    """Self-attention over the tokens of all modalities, read out by a learned query.

    Tokens of absent modalities are masked out. After Vaswani et al. 2017
    (https://arxiv.org/abs/1706.03762) and, for the query, Set Transformer (Lee et al. 2019,
    https://arxiv.org/abs/1810.00825).
    """

    features: int = 256
    heads: int = 4

    @nn.compact
    def __call__(self, tokens: Mapping[str, Tokens], present: Mapping[str, Array]) -> Array:
        """tokens {m: [B, L_m, D_m]}, present {m: [B]} -> [B, features]; zero if all are absent.

        Sows into "intermediates" the attention [B] that each modality gets from the query.
        """
        names = sorted(tokens)
        x = jnp.concatenate([self._project(m, tokens[m].values) for m in names], axis=1)
        masks = {m: tokens[m].mask * present[m][:, None] for m in names}
        mask = jnp.concatenate([masks[m] for m in names], axis=1)
        x = x + _SelfAttention(self.heads)(x, mask)
        # A modality of many tokens is no more telling than one of few: the query starts from
        # equal attention to each modality, since sum_l exp(-log L_m) = 1.
        prior = jnp.concatenate([_minus_log_length(masks[m]) for m in names], axis=1)
        read, weights = _Readout(self.heads)(x, mask, prior)
        position = 0
        for m in names:
            self.sow("intermediates", m, weights[:, position : position + masks[m].shape[1]].sum(1))
            position += masks[m].shape[1]
        return read

    def _project(self, name: str, x: Array) -> Array:
        x = nn.LayerNorm(name=f"norm_{name}")(x)
        return nn.Dense(self.features, name=f"project_{name}")(x)


def attention_shares(
    fusion: Attention, params: Params, tokens: Mapping[str, Tokens], present: Mapping[str, Array]
) -> dict[str, Array]:
    """How much of the query's attention each modality got, the mean over heads.

    Args:
      fusion: the module.
      params: its parameters.
      tokens: {m: [B, L_m, D_m]}.
      present: {m: [B]}.

    Returns:
      {m: [B]}, adding up to one over the modalities of a row that has any.
    """
    _, state = fusion.apply({"params": params}, tokens, present, mutable=["intermediates"])
    return {name: state["intermediates"][name][0] for name in tokens}


def masked_softmax(logits: Array, mask: Array) -> Array:
    """Softmax over the last axis where mask is one, zero elsewhere and where all is masked."""
    kept = jnp.where(mask > 0, logits, jnp.finfo(logits.dtype).min)
    return jax.nn.softmax(kept) * mask


def _minus_log_length(mask: Array) -> Array:
    length = jnp.maximum(mask.sum(1, keepdims=True), 1.0)
    return jnp.broadcast_to(-jnp.log(length), mask.shape)


class _SelfAttention(nn.Module):
    heads: int

    @nn.compact
    def __call__(self, x: Array, mask: Array) -> Array:
        width = x.shape[-1] // self.heads
        y = nn.LayerNorm()(x)
        q, k, v = (nn.DenseGeneral((self.heads, width))(y) for _ in range(3))
        logits = jnp.einsum("blhd,bmhd->bhlm", q, k) / jnp.sqrt(width)
        weights = masked_softmax(logits, mask[:, None, None, :])
        return nn.DenseGeneral(x.shape[-1], axis=(-2, -1))(
            jnp.einsum("bhlm,bmhd->blhd", weights, v)
        )


class _Readout(nn.Module):
    """One learned query for each head: x [B, L, D] -> [B, D] and mean weights [B, L]."""

    heads: int

    @nn.compact
    def __call__(self, x: Array, mask: Array, prior: Array) -> tuple[Array, Array]:
        width = x.shape[-1] // self.heads
        query = self.param("query", nn.initializers.zeros, (self.heads, width))
        y = nn.LayerNorm()(x)
        keys = nn.DenseGeneral((self.heads, width))(y)
        logits = jnp.einsum("hd,blhd->bhl", query, keys) / jnp.sqrt(width)
        weights = masked_softmax(logits + prior[:, None], mask[:, None])
        values = nn.DenseGeneral((self.heads, width))(x)
        read = jnp.einsum("bhl,blhd->bhd", weights, values)
        return read.reshape(len(x), -1), weights.mean(1)
