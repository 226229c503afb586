"""Fusion by attention between modalities, in a space that they share."""

from collections.abc import Mapping

import flax.linen as nn
import jax.numpy as jnp
from jax.lax import collapse

from fsjax.fusion.attention import attend, masked_softmax, minus_log_length
from fsjax.fusion.pooled import joined, mean_pool, presence, tell_shares
from fsjax.types import Array, Tokens


def _shared(
    tokens: Mapping[str, Tokens], present: Mapping[str, Array], features: int
) -> dict[str, Tokens]:
    """Tokens mapped to a common space, those of absent modalities masked; for compact methods."""
    return {
        m: Tokens(
            nn.Dense(features, name=f"project_{m}")(
                nn.LayerNorm(name=f"norm_{m}")(tokens[m].values)
            ),
            tokens[m].mask * present[m][:, None],
        )
        for m in sorted(tokens)
    }


class CrossAttention(nn.Module):
    """Tokens of all modalities read by learned queries (Jaegle et al. 2021, Perceiver,
    https://arxiv.org/abs/2103.03206, with one layer), each by a part of the features of its own.

    Keys and values are the tokens in a common space, so that rows seen through different
    modalities can be compared. Attention starts equal for each modality.
    """

    features: int = 256
    queries: int = 4

    @nn.compact
    def __call__(self, tokens: Mapping[str, Tokens], present: Mapping[str, Array]) -> Array:
        """tokens {m: [B, L_m, D_m]}, present {m: [B]} -> [B, features], zero if none is there.

        Sows into "intermediates" the attention [B] that each modality gets, mean over queries.
        """
        shared = _shared(tokens, present, self.features)
        values, mask = (jnp.concatenate(x, axis=1) for x in zip(*shared.values(), strict=True))
        width = self.features // self.queries
        split = values.reshape(*values.shape[:2], self.queries, width)  # [B, L, queries, width]
        queries = self.param("queries", nn.initializers.zeros, split.shape[2:])
        keys = nn.LayerNorm(name="norm_keys")(split)
        logits = jnp.einsum("blqf,qf->bql", keys, queries) / jnp.sqrt(split.shape[-1])
        prior = jnp.concatenate([minus_log_length(x.mask) for x in shared.values()], axis=1)
        weights = masked_softmax(logits + prior[:, None], mask[:, None])
        lengths = jnp.cumsum(jnp.array([0] + [x.mask.shape[1] for x in shared.values()]))
        owner = (jnp.arange(mask.shape[1]) >= lengths[:, None]).sum(0) - 1
        of_modality = (owner[:, None] == jnp.arange(len(shared))).astype(weights.dtype)
        tell_shares(self, tokens, weights.mean(1) @ of_modality)
        return collapse(jnp.einsum("bql,blqf->bqf", weights, split), 1)


class Bottleneck(nn.Module):
    """Modalities that see each other through a few tokens alone (Nagrani et al. 2021,
    https://arxiv.org/abs/2107.00135).

    In every layer the tokens of each modality attend to their own and to the bottleneck's, which
    are then the mean over the modalities that a row has. What a modality has learned of the
    others is added to its mean token; the features are all of them side by side.
    """

    features: int = 64
    tokens: int = 4  # of the bottleneck
    heads: int = 4
    layers: int = 2

    @nn.compact
    def __call__(self, tokens: Mapping[str, Tokens], present: Mapping[str, Array]) -> Array:
        """tokens {m: [B, L_m, D_m]}, present {m: [B]} -> [B, M * features]."""
        shared, there = _shared(tokens, present, self.features), presence(tokens, present)
        shape = (self.tokens, self.features)
        neck = self.param("bottleneck", nn.initializers.normal(1.0), shape)
        neck = jnp.broadcast_to(neck, (len(there), *shape))
        for layer in range(self.layers):
            seen = {
                m: _Layer(self.heads, name=f"layer{layer}_{m}")(x, neck) for m, x in shared.items()
            }
            shared = {m: x for m, (x, _) in seen.items()}
            necks = jnp.stack([neck for _, neck in seen.values()], axis=1)  # [B, M, tokens, F]
            neck = jnp.einsum("bm,bmtf->btf", there, necks)
            neck = neck / jnp.maximum(there.sum(1), 1.0)[:, None, None]
        return joined({m: mean_pool(x) for m, x in shared.items()}, present)


class _Layer(nn.Module):
    """A layer of a transformer over the tokens of a modality and those of the bottleneck."""

    heads: int

    @nn.compact
    def __call__(self, tokens: Tokens, neck: Array) -> tuple[Tokens, Array]:
        x = jnp.concatenate([tokens.values, neck], axis=1)
        mask = jnp.concatenate([tokens.mask, jnp.ones(neck.shape[:2])], axis=1)
        y = nn.LayerNorm()(x)
        x = x + attend(y, y, mask, self.heads)
        hidden = nn.relu(nn.Dense(2 * x.shape[-1])(nn.LayerNorm()(x)))
        x = x + nn.Dense(x.shape[-1])(hidden)
        length = tokens.values.shape[1]
        return tokens._replace(values=x[:, :length]), x[:, length:]
