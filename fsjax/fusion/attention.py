"""Fusion by attention over the tokens of all modalities."""

from collections.abc import Mapping

import flax.linen as nn
import jax
import jax.numpy as jnp

from fsjax.types import Array, Params, Tokens


class Attention(nn.Module):
    """Modalities weighed by self-attention over their tokens, read out by a learned query.

    After Vaswani et al. 2017 (https://arxiv.org/abs/1706.03762) and, for the query, Set
    Transformer (Lee et al. 2019, https://arxiv.org/abs/1810.00825). Keys live in a common space,
    where tokens of all modalities see each other; values are the tokens themselves, normalised so
    that no modality is loud by its scale, each modality in a place of its own. So equal weights
    are concatenation, from which training starts, and nothing that the encoders have brought
    needs to be learned again. A modality counts by the root of its share: the product of two rows
    then weighs each modality by the geometric mean of its two shares, and a row of equally wide
    modalities is as long whichever it attends to.
    """

    features: int = 64  # of the common space
    heads: int = 4  # of self-attention
    # At which the query learns, beside all else: what a modality is worth is soon overrated on
    # training classes, whose names and sounds the encoders come to know by heart.
    rate: float = 0.25

    @nn.compact
    def __call__(self, tokens: Mapping[str, Tokens], present: Mapping[str, Array]) -> Array:
        """tokens {m: [B, L_m, D_m]}, present {m: [B]} -> [B, sum of D_m], by name of modality.

        Zero where a modality is absent. Sows into "intermediates" the attention [B] that each
        modality gets.
        """
        names = sorted(tokens)
        masks = {m: tokens[m].mask * present[m][:, None] for m in names}
        mask = jnp.concatenate([masks[m] for m in names], axis=1)
        values = {m: nn.LayerNorm(name=f"norm_{m}")(tokens[m].values) for m in names}
        projected = [nn.Dense(self.features, name=f"project_{m}")(values[m]) for m in names]
        keys = jnp.concatenate(projected, axis=1)
        keys = keys + _SelfAttention(self.heads)(keys, mask)
        query = self.param("query", nn.initializers.zeros, (self.features,))
        # Adam moves all entries of the query at one rate, so that its product with a key grows
        # as features and not as their root (Yang et al. 2022, https://arxiv.org/abs/2203.03466).
        logits = nn.LayerNorm()(keys) @ query * (self.rate / self.features)
        # The query starts from equal attention to each modality.
        prior = jnp.concatenate([minus_log_length(masks[m]) for m in names], axis=1)
        weights = masked_softmax(logits + prior, mask)

        read, start = [], 0
        for m in names:
            share = weights[:, start : start + masks[m].shape[1]]
            start += masks[m].shape[1]
            self.sow("intermediates", m, share.sum(1))
            read.append(jnp.einsum("bl,bld->bd", _over_root_of_sum(share), values[m]))
        return jnp.concatenate(read, axis=-1)


def attention_shares(
    fusion: nn.Module, params: Params, tokens: Mapping[str, Tokens], present: Mapping[str, Array]
) -> dict[str, Array]:
    """How much each modality weighs in what is fused: of `Attention` its share of the attention.

    Args:
      fusion: any module of this room.
      params: its parameters.
      tokens: {m: [B, L_m, D_m]}.
      present: {m: [B]}.

    Returns:
      {m: [B]}, adding up to at most one over modalities; empty if the fusion does not tell.
    """
    _, state = fusion.apply({"params": params}, tokens, present, mutable=["intermediates"])
    told = state.get("intermediates", {})
    return {name: told[name][0] for name in tokens if name in told}


def masked_softmax(logits: Array, mask: Array) -> Array:
    """Softmax over the last axis where mask is one, zero elsewhere and where all is masked."""
    kept = jnp.where(mask > 0, logits, jnp.finfo(logits.dtype).min)
    return jax.nn.softmax(kept) * mask


def attend(x: Array, y: Array, mask: Array, heads: int) -> Array:
    """What each place of x [B, K, F] reads, with several heads, from those of y [B, L, F] that
    `mask` [B, L] keeps: [B, K, F], the same bias where it keeps none.

    For a compact method, whose module gets the four dense layers.
    """
    width = x.shape[-1] // heads
    q, k, v = (nn.DenseGeneral((heads, width))(z) for z in (x, y, y))
    logits = jnp.einsum("blhd,bmhd->bhlm", q, k) / jnp.sqrt(width)
    weights = masked_softmax(logits, mask[:, None, None, :])
    attended = jnp.einsum("bhlm,bmhd->blhd", weights, v)
    return nn.DenseGeneral(x.shape[-1], axis=(-2, -1))(attended)


def minus_log_length(mask: Array) -> Array:
    """[B, L] -> [B, L]: a prior for logits, by which a modality of many tokens is worth one of
    few, since sum_l exp(-log L) = 1.
    """
    length = jnp.maximum(mask.sum(1, keepdims=True), 1.0)
    return jnp.broadcast_to(-jnp.log(length), mask.shape)


def _over_root_of_sum(share: Array) -> Array:
    # Bounded, since the derivative of the root overflows near 0.
    return share * jax.lax.rsqrt(jnp.maximum(share.sum(1, keepdims=True), 1e-12))


class _SelfAttention(nn.Module):
    heads: int

    @nn.compact
    def __call__(self, x: Array, mask: Array) -> Array:
        y = nn.LayerNorm()(x)
        return attend(y, y, mask, self.heads)
