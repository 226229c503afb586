"""Triplets of an anchor, a positive and a negative, ranked by a relation."""

from collections.abc import Callable
from typing import NamedTuple

import chex
import jax
import jax.numpy as jnp

from fsjax.objectives.losses import weighted_mean
from fsjax.types import Array, Embed, Episode, Key, Metrics, Objective, Params, Step


class Triplets(NamedTuple):
    """Scores of the pairs of triplets."""

    s_ap: Array  # [...] of anchor and positive
    s_an: Array  # [...] of anchor and negative
    weight: Array  # [...] zero for what is no triplet


# scores, weights as positive, weights as negative, each [A, R] of anchors and members
Mine = Callable[[Array, Array, Array], Triplets]


def relation_ranking_loss(s_ap: Array, s_an: Array) -> Array:
    """-log sigmoid(s_ap - s_an): how surprising it is that the positive ranks above the negative,
    as in RankNet (Burges et al. 2005, https://doi.org/10.1145/1102351.1102363).

    Args:
      s_ap: [...] relation of anchors and positives.
      s_an: [...] of anchors and negatives.

    Returns:
      [...] in nats, finite for any finite scores.
    """
    return -jax.nn.log_sigmoid(s_ap - s_an)


def all_triplets(scores: Array, positive: Array, negative: Array) -> Triplets:
    """Every triplet: scores and weights [A, R] -> [A, R, R]."""
    of_positive = jnp.broadcast_to(scores[:, :, None], (*scores.shape, scores.shape[1]))
    of_negative = jnp.broadcast_to(scores[:, None, :], of_positive.shape)
    return Triplets(of_positive, of_negative, positive[:, :, None] * negative[:, None, :])


def hard_triplets(scores: Array, positive: Array, negative: Array) -> Triplets:
    """Of each anchor the positive that it relates to least and the negative that it relates to
    most (Hermans et al. 2017, https://arxiv.org/abs/1703.07737): [A, R] -> [A].
    """
    chosen = (
        jnp.where(positive > 0, scores, jnp.inf).argmin(1, keepdims=True),
        jnp.where(negative > 0, scores, -jnp.inf).argmax(1, keepdims=True),
    )
    s_ap, s_an = (jnp.take_along_axis(scores, i, 1)[:, 0] for i in chosen)
    weights = zip((positive, negative), chosen, strict=True)
    of_positive, of_negative = (jnp.take_along_axis(w, i, 1)[:, 0] for w, i in weights)
    return Triplets(s_ap, s_an, of_positive * of_negative)


def semi_hard_triplets(scores: Array, positive: Array, negative: Array) -> Triplets:
    """Of each anchor and positive the best related negative that still ranks below the positive,
    the least related one if none does (Schroff et al. 2015, https://arxiv.org/abs/1503.03832):
    [A, R] -> [A, R].
    """
    below = (negative[:, None] > 0) & (scores[:, None] < scores[:, :, None])
    closest = jnp.where(below, scores[:, None], -jnp.inf).argmax(2)
    least = jnp.where(negative > 0, scores, jnp.inf).argmin(1, keepdims=True)
    chosen = jnp.where(below.any(2), closest, least)
    s_an = jnp.take_along_axis(scores, chosen, 1)
    return Triplets(scores, s_an, positive * jnp.take_along_axis(negative, chosen, 1))


def triplet_weights(y: Array) -> tuple[Array, Array]:
    """How much each row weighs as positive and as negative of each row as anchor.

    Args:
      y: [R, W] soft labels, whose sum is the weight of a row.

    Returns:
      Positive and negative weights [R, R]. Their product is the three rows' weights times the
      chance that the first two are of one class and the third is of another.
    """
    weight = y.sum(1)
    share = y / jnp.where(weight > 0, weight, 1.0)[:, None]
    others = 1 - jnp.eye(len(y))
    alike = share @ share.T
    return (weight[:, None] * weight * alike * others, weight * (1 - alike) * others)


def ranking(
    embed: Embed, relation: Callable[[Params, Array, Array], Array], mine: Mine = all_triplets
) -> Objective:
    """The ranking loss of triplets within an episode: of the triangular relation network.

    Args:
      embed: params, episode, key -> features [R, D] and labels [R, W] of all that may be members,
        support and query, real and synthetic, each weighted by the sum of its label.
      relation: params, anchors [A, D], members [R, D] -> scores [A, R].
      mine: which triplets count: all, hard or semi-hard ones.

    Returns:
      An objective over an Episode without a task axis; its metrics are "loss" and "ranked", the
      share of triplets whose positive ranks above the negative.
    """

    def of_params(params: Params, episode: Episode, key: Key) -> tuple[Array, Metrics]:
        z, y = embed(params, episode, key)
        chex.assert_rank([z, y], 2)
        triplets = mine(relation(params, z, z), *triplet_weights(y))
        losses = relation_ranking_loss(triplets.s_ap, triplets.s_an)
        loss = weighted_mean(losses, triplets.weight)
        ranked = weighted_mean(triplets.s_ap > triplets.s_an, triplets.weight)
        return loss, {"loss": loss, "ranked": ranked}

    def objective(params: Params, episode: Episode, key: Key, step: Step):
        return jax.grad(of_params, has_aux=True)(params, episode, key)

    return objective
