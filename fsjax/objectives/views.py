"""Episodes seen through all modalities, through each alone and across any two, all at once."""

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from fsjax.objectives.answers import Known, among_known
from fsjax.objectives.losses import cross_entropy
from fsjax.types import (
    Array,
    Episode,
    Inputs,
    Key,
    Learner,
    Metrics,
    Network,
    Objective,
    Params,
    Step,
)

Loss = Callable[[Array, Array], Array]  # logits [Q, W], targets [Q, W] -> []
See = Callable[..., Episode]  # episode, support={m: []}, query={m: []} -> what is seen of it


class Views(NamedTuple):
    """Ways to see an episode: 1 where rows are seen through a modality."""

    names: tuple[str, ...]  # of the M modalities; others are hidden
    support: np.ndarray  # [V, M]
    query: np.ndarray  # [V, M]
    weight: np.ndarray  # [V] of the loss


def views(names: Sequence[str], *, alone: float = 1.0, cross: float = 0.0) -> Views:
    """All modalities together, by weight 1, and fewer of them if there are several.

    Args:
      names: of the modalities, M.
      alone: weight of the mean loss of those by which support and query are seen through one and
        the same modality.
      cross: of those by which they are seen through one each, two different ones.
    """
    modalities = len(names)
    eye = np.eye(modalities, dtype=np.float32)
    pairs = [(i, j) for i in range(modalities) for j in range(modalities) if i != j]
    support, query, weight = [np.ones((1, modalities), np.float32)] * 2 + [np.ones(1)]
    for total, chosen in ((alone, [(i, i) for i in range(modalities)]), (cross, pairs)):
        if total and modalities > 1:
            support = np.concatenate([support, eye[[i for i, _ in chosen]]])
            query = np.concatenate([query, eye[[j for _, j in chosen]]])
            weight = np.append(weight, np.full(len(chosen), total / len(chosen)))
    return Views(tuple(names), support, query, weight.astype(np.float32))


def over_views(
    encode: Network,
    learner: Learner,
    see: See,
    chosen: Views,
    *,
    loss: Loss = cross_entropy,
    watch: Mapping[str, Loss] | None = None,
    known: Known | None = None,
) -> Objective:
    """The loss of an episode's queries, seen in several ways of which each row is encoded once.

    Through one modality alone it is the unimodal loss that keeps an easy modality from starving
    the others (Wang et al. 2020, https://arxiv.org/abs/1905.12681); across two it makes all of
    them meet in one space (as Frome et al. 2013, DeViSE,
    https://papers.nips.cc/paper/5204-devise-a-deep-visual-semantic-embedding-model).

    Args:
      encode: rows -> Tokens of each modality, with the parameters of the learner's network.
      learner: of rows whose values are Tokens.
      see: as `fsjax.episodes.missing.see_through`.
      chosen: the ways, the first of which is watched.
      loss: of logits and targets.
      watch: further figures of logits and targets, reported and not optimised.
      known: as of `fsjax.objectives.answers.of_those_known`; all classes unless given.

    Returns:
      An objective over an Episode without a task axis and parameters that hold "network"; its
      metrics are "loss", the weighted sum, and those watched.
    """
    watch = watch or {}

    def of_params(params: Params, episode: Episode, key: Key) -> tuple[Array, Metrics]:
        key_rows, key_adapt, key_predict = jax.random.split(key, 3)
        tokens = _encoded(encode, params["network"], episode, key_rows)

        def of_view(support: Array, query: Array) -> tuple[Array, Metrics]:
            sides = {"support": support, "query": query}
            sides = {k: dict(zip(chosen.names, x, strict=True)) for k, x in sides.items()}
            seen = see(tokens, **sides)
            task = learner.adapt(params, seen.support, key=key_adapt, train=True)
            logits = learner.predict(params, task, seen.query, key=key_predict, train=True)
            logits = among_known(logits, seen.support, known)
            figures = {name: figure(logits, seen.targets) for name, figure in watch.items()}
            return loss(logits, seen.targets), figures

        losses, figures = jax.vmap(of_view)(*map(jnp.asarray, (chosen.support, chosen.query)))
        value = losses @ chosen.weight
        return value, {"loss": value} | {name: x[0] for name, x in figures.items()}

    def objective(params: Params, episode: Episode, key: Key, step: Step):
        return jax.grad(of_params, has_aux=True)(params, episode, key)

    return objective


def _encoded(encode: Network, params: Params, episode: Episode, key: Key) -> Episode:
    key_support, key_query = jax.random.split(key)
    support, targets = episode.support, episode.targets
    options = {"weight": support.labels.sum(-1), "key": key_support, "train": True}
    rows, stats = encode.apply(params, support.inputs, **options)
    options = {"weight": targets.sum(-1), "key": key_query, "train": True, "stats": stats}
    asked, _ = encode.apply(params, episode.query, **options)
    inputs = Inputs(rows, support.inputs.present)
    return Episode(support._replace(inputs=inputs), Inputs(asked, episode.query.present), targets)
