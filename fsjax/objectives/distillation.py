"""A student that learns from the labels and from what a teacher makes of the same episode."""

from collections.abc import Callable, Mapping
from typing import NamedTuple

import chex
import jax
import jax.numpy as jnp
import optax

from fsjax.objectives.answers import Loss, adapted, scored
from fsjax.objectives.losses import are_answers, cross_entropy, weighted_mean
from fsjax.types import Array, Embed, Episode, Head, Key, Learner, Metrics, Objective, Params, Step


class Seen(NamedTuple):
    """What a model makes of an episode; R rows, support and query. None: it has none."""

    logits: Array  # [Q, W] of the queries
    features: Array | None  # [R, D], zero for padding
    neighbours: Array | None  # [R, R] logits, every row a class of its own


See = Callable[[Params, Episode, Key], Seen]
Match = Callable[[Seen, Seen, Episode], Array]  # of the student, of the teacher, episode -> []


def predicted(learner: Learner, *, train: bool) -> See:
    """Any learner's logits, and nothing of its rows.

    Args:
      learner: the few-shot method.
      train: whether it is told that it trains; a teacher is not.
    """

    answer = adapted(learner, train=train)

    def see(params: Params, episode: Episode, key: Key) -> Seen:
        return Seen(answer(params, episode, key), None, None)

    return see


def compared(embed: Embed, head: Head) -> See:
    """What a metric learner makes of an episode, every row embedded once.

    Args:
      embed: parameters, episode, key -> features [R, ...] and labels of all its rows.
      head: its parameters are the learner's "head".
    """

    def see(params: Params, episode: Episode, key: Key) -> Seen:
        rows, labels = embed(params, episode, key)
        logits = scored(head, params["head"], rows, labels, episode)
        each = head.fit(params["head"], rows, jnp.diag(jnp.sign(labels.sum(-1))))
        return Seen(logits, rows.reshape(len(rows), -1), head.score(params["head"], each, rows))

    return see


def softened(*, temperature: float) -> Match:
    """How far the student's softened class probabilities are from the teacher's (Hinton et al.
    2015, https://arxiv.org/abs/1503.02531), among the classes that both can answer.

    Args:
      temperature: that divides the logits of both; large ones show which classes the teacher
        holds for alike. The divergence is multiplied by its square, so that gradients are of one
        size at all temperatures.

    Returns:
      (student, teacher, episode) -> the mean divergence in nats, times the square.

    Raises:
      ValueError: if the temperature is not positive.
    """
    divergence = _softened_divergence(temperature)

    def match(student: Seen, teacher: Seen, episode: Episode) -> Array:
        given = jnp.broadcast_to(episode.targets.sum(-1, keepdims=True) > 0, student.logits.shape)
        return divergence(student.logits, teacher.logits, given)

    return match


def neighbouring(*, temperature: float) -> Match:
    """How far the student is from the teacher in which other rows of the episode each row is taken
    for: the softened similarities of SEED (Fang et al. 2021, https://arxiv.org/abs/2101.04731),
    among the rows of an episode and by the models' own heads.

    An episode has many more pairs of rows than of queries and classes.

    Args and Raises as in `softened`.

    Returns:
      (student, teacher, episode) -> the mean divergence in nats, times the square.
    """
    divergence = _softened_divergence(temperature)

    def match(student: Seen, teacher: Seen, episode: Episode) -> Array:
        return divergence(student.neighbours, teacher.neighbours, _pairs(episode))

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
        pairs = _pairs(episode).astype(jnp.float32)
        ours, theirs = (_relative_distances(seen.features, pairs) for seen in (student, teacher))
        return weighted_mean(optax.huber_loss(ours, theirs), pairs)

    return match


def _softened_divergence(temperature: float) -> Callable[[Array, Array, Array], Array]:
    """(student's, teacher's logits [B, C], which are there [B, C]) -> [] over rows with any.

    Classes that are no answer to one of them, of logits of minus infinity or nearly, are not.
    """
    if temperature <= 0:
        raise ValueError(f"the temperature must be positive, got {temperature}")

    def divergence(student: Array, teacher: Array, given: Array) -> Array:
        chex.assert_equal_shape([student, teacher, given])
        given = given & are_answers(student) & are_answers(teacher)
        # exp(-1e9) is zero, and unlike minus infinity it has a finite product with zero.
        student, teacher = (jnp.where(given, x / temperature, -1e9) for x in (student, teacher))
        apart = optax.kl_divergence(jax.nn.log_softmax(student), jax.nn.softmax(teacher))
        return temperature**2 * weighted_mean(apart, given.any(-1).astype(apart.dtype))

    return divergence


def _pairs(episode: Episode) -> Array:
    """Whether [R, R] are two rows that are there, and not one beside itself."""
    given = jnp.concatenate([episode.support.labels, episode.targets]).sum(-1) > 0
    return given[:, None] & given & ~jnp.eye(len(given), dtype=bool)


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
      match: how far one is from the other: `softened`, `neighbouring` or `related`.
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
