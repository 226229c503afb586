"""A student that learns from the labels and from what a teacher makes of the same episode."""

from collections.abc import Callable, Mapping
from typing import NamedTuple

import chex
import jax
import jax.numpy as jnp
import optax

from fsjax.objectives.losses import cross_entropy, weighted_mean
from fsjax.types import Array, Episode, Head, Key, Learner, Metrics, Objective, Params, Step

Loss = Callable[[Array, Array], Array]  # logits [Q, W], targets [Q, W] -> []


class Seen(NamedTuple):
    """What a model makes of an episode."""

    logits: Array  # [Q, W] of the queries
    features: Array | None  # [S + Q, D] of support and query, finite; None: it has none


See = Callable[[Params, Episode, Key], Seen]
Match = Callable[[Seen, Seen, Episode], Array]  # of the student, of the teacher, episode -> []


def predicted(learner: Learner, *, train: bool) -> See:
    """Any learner's logits, and no features.

    Args:
      learner: the few-shot method.
      train: whether it is told that it trains; a teacher is not.
    """

    def see(params: Params, episode: Episode, key: Key) -> Seen:
        key_adapt, key_predict = jax.random.split(key)
        task = learner.adapt(params, episode.support, key=key_adapt, train=train)
        logits = learner.predict(params, task, episode.query, key=key_predict, train=train)
        return Seen(logits, None)

    return see


def compared(embed: Callable[[Params, Episode, Key], tuple[Array, Array]], head: Head) -> See:
    """Logits and features of a metric learner, every row embedded once.

    Args:
      embed: parameters of a network, episode, key -> features of support [S, ...] and
        query rows [Q, ...], zero for padding.
      head: of the learner, whose parameters are {"network": ..., "head": ...}.
    """

    def see(params: Params, episode: Episode, key: Key) -> Seen:
        z, query = embed(params["network"], episode, key)
        task = head.fit(params["head"], z, episode.support.labels)
        rows = jnp.concatenate([z, query])
        return Seen(head.score(params["head"], task, query), rows.reshape(len(rows), -1))

    return see


def softened(*, temperature: float) -> Match:
    """How far the student's softened class probabilities are from the teacher's (Hinton et al.
    2015, https://arxiv.org/abs/1503.02531).

    Args:
      temperature: that divides the logits of both; large ones show which classes the teacher
        holds for alike. The divergence is multiplied by its square, so that gradients are of one
        size at all temperatures.

    Returns:
      (student, teacher, episode) -> the mean divergence in nats, times the square.

    Raises:
      ValueError: if the temperature is not positive.
    """
    if temperature <= 0:
        raise ValueError(f"the temperature must be positive, got {temperature}")

    def match(student: Seen, teacher: Seen, episode: Episode) -> Array:
        chex.assert_equal_shape([student.logits, teacher.logits])
        weight = (episode.targets.sum(-1) > 0).astype(student.logits.dtype)
        # where before the divergence: that of a row that is ignored may be infinite.
        ours, theirs = (
            jnp.where(weight[:, None] > 0, seen.logits / temperature, 0.0)
            for seen in (student, teacher)
        )
        apart = optax.kl_divergence(jax.nn.log_softmax(ours), jax.nn.softmax(theirs))
        return temperature**2 * weighted_mean(apart, weight)

    return match


def related() -> Match:
    """How far the distances between the student's features are from those between the teacher's,
    each in units of their mean over the episode: the distance-wise loss of Park et al. 2019
    (https://arxiv.org/abs/1904.05068).

    Returns:
      (student, teacher, episode) -> the mean Huber loss of all pairs of rows, without unit. Their
      features may be of different D.
    """

    def match(student: Seen, teacher: Seen, episode: Episode) -> Array:
        chex.assert_rank([student.features, teacher.features], 2)
        given = jnp.concatenate([episode.support.labels, episode.targets]).sum(-1) > 0
        pairs = (given[:, None] & given & ~jnp.eye(len(given), dtype=bool)).astype(jnp.float32)
        ours, theirs = (_relative_distances(seen.features, pairs) for seen in (student, teacher))
        return weighted_mean(optax.huber_loss(ours, theirs), pairs)

    return match


def _relative_distances(z: Array, pairs: Array) -> Array:
    """Distances [R, R] of rows [R, D] in units of their mean over `pairs`, zero for others."""
    # The norm's derivative at 0 is none: rows that are equal, and each beside itself, have zero.
    distances = optax.safe_norm(z[:, None] - z, 1e-6, axis=-1) * pairs
    mean = weighted_mean(distances, pairs)
    return distances / jnp.where(mean > 0, mean, 1.0)


def distillation(
    student: See,
    teacher: See,
    teacher_params: Params,
    match: Match,
    *,
    weight: float = 1.0,
    loss: Loss = cross_entropy,
    watch: Mapping[str, Loss] | None = None,
) -> Objective:
    """The loss of the student's predictions for the queries and how far it is from a teacher, which
    sees the same episode and stays as it is.

    Each sees the modalities that it has: a fused teacher hands on to a student of one modality
    what the others tell. A teacher like the student makes it born again (Furlanello et al. 2018,
    https://arxiv.org/abs/1805.04770; in few-shot learning Tian et al. 2020,
    https://arxiv.org/abs/2003.11539).

    Args:
      student: parameters, episode, key -> what it makes of the episode; its parameters learn.
      teacher: the same of the teacher.
      teacher_params: the teacher's.
      match: how far one is from the other, `softened` or `related`.
      weight: factor of `match`.
      loss: of the student's logits and targets.
      watch: further figures of the same, reported and not optimised.

    Returns:
      An objective over an Episode without a task axis; its metrics are "loss", that of the
      queries, "apart", the `match`, and those watched.

    Raises:
      ValueError: if the weight is negative.
    """
    if weight < 0:
        raise ValueError(f"the weight of the teacher must not be negative, got {weight}")
    watch = watch or {}

    def of_params(params: Params, episode: Episode, key: Key) -> tuple[Array, Metrics]:
        seen = student(params, episode, key)
        taught = jax.lax.stop_gradient(teacher(teacher_params, episode, key))
        value, apart = loss(seen.logits, episode.targets), match(seen, taught, episode)
        figures = {name: f(seen.logits, episode.targets) for name, f in watch.items()}
        return value + weight * apart, {"loss": value, "apart": apart} | figures

    def objective(params: Params, episode: Episode, key: Key, step: Step):
        return jax.grad(of_params, has_aux=True)(params, episode, key)

    return objective
