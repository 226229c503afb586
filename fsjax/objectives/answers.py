"""What a model answers in training, and what it learns from that."""

from collections.abc import Callable, Mapping, Sequence

import jax
import jax.numpy as jnp

from fsjax.objectives.losses import cross_entropy
from fsjax.types import (
    Array,
    Embed,
    Episode,
    Head,
    Key,
    Learner,
    Metrics,
    Objective,
    Params,
    Step,
    Support,
)

Answer = Callable[[Params, Episode, Key], Array]  # -> logits [Q, W] of the queries
Loss = Callable[[Array, Array], Array]  # logits [Q, W], targets [Q, W] -> []
Known = Callable[[Support], Array]  # -> [W], above 0 for classes that can be answered


def adapted(learner: Learner, *, train: bool = True) -> Answer:
    """What a learner predicts once it has adapted to the support set.

    Args:
      learner: the few-shot method.
      train: whether it is told that it trains.
    """

    def answer(params: Params, episode: Episode, key: Key) -> Array:
        key_adapt, key_predict = jax.random.split(key)
        task = learner.adapt(params, episode.support, key=key_adapt, train=train)
        return learner.predict(params, task, episode.query, key=key_predict, train=train)

    return answer


def of_those_known(answer: Answer, known: Known | None) -> Answer:
    """An answer in which classes of which nothing is known have no part.

    Args:
      answer: whose logits of such a class mean nothing, as those of a prototype at zero do.
      known: support set -> above 0 for the other classes [W]; None where there are no others.
    """

    def among(params: Params, episode: Episode, key: Key) -> Array:
        return among_known(answer(params, episode, key), episode.support, known)

    return among


def among_known(logits: Array, support: Support, known: Known | None) -> Array:
    """Logits [Q, W] as `answerable` has them; as they are if there is no `known`."""
    return logits if known is None else answerable(logits, known(support))


def known_of(support: Support, told: Sequence[str] = ()) -> Array:
    """Above 0 for classes that have a support row, or a description of the kinds told: [W]."""
    return sum((support.side.present[kind] for kind in told), support.labels.sum(0))


def answerable(logits: Array, known: Array) -> Array:
    """Logits [Q, W] of which those of classes whose `known` [W] is zero are almost minus infinity,
    which losses take for no answer.
    """
    return jnp.where(known > 0, logits, jnp.finfo(logits.dtype).min / 2)


def fitted(embed: Embed, head: Head) -> Answer:
    """What the learner `fsjax.learners.metric` predicts, its rows embedded otherwise.

    Args:
      embed: parameters, episode, key -> features and labels of all rows, the support's first.
      head: its parameters are the learner's "head".
    """

    def answer(params: Params, episode: Episode, key: Key) -> Array:
        return scored(head, params["head"], *embed(params, episode, key), episode)

    return answer


def scored(head: Head, params: Params, z: Array, labels: Array, episode: Episode) -> Array:
    """Logits [Q, W] of the queries by a head that is fitted to the support rows.

    Args:
      head: over features.
      params: the head's.
      z: [S + Q, D] features of an episode's rows, the support's first.
      labels: [S + Q, W].
      episode: whose rows they are.
    """
    shots = len(episode.support.labels)
    return head.score(params, head.fit(params, z[:shots], labels[:shots]), z[shots:])


def answer_loss(
    answer: Answer, loss: Loss = cross_entropy, watch: Mapping[str, Loss] | None = None
) -> Objective:
    """The loss of the answers to the queries of one episode.

    Args:
      answer: parameters, episode, key -> logits.
      loss: of logits and targets.
      watch: further figures of logits and targets, reported and not optimised.

    Returns:
      An objective over an Episode without a task axis; its metrics are "loss" and those watched.
    """
    watch = watch or {}

    def of_params(params: Params, episode: Episode, key: Key) -> tuple[Array, Metrics]:
        logits = answer(params, episode, key)
        value = loss(logits, episode.targets)
        return value, {"loss": value} | {n: f(logits, episode.targets) for n, f in watch.items()}

    def objective(params: Params, episode: Episode, key: Key, step: Step):
        return jax.grad(of_params, has_aux=True)(params, episode, key)

    return objective
