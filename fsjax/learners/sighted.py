"""What a learner makes of rows of which it sees nothing."""

from collections.abc import Sequence
from typing import NamedTuple

import jax.numpy as jnp

from fsjax.types import Array, Inputs, Key, Learner, Params, Support, Task


class SightedTask(NamedTuple):
    """What was learned, and of which classes."""

    inner: Task
    known: Array  # [W], above 0 for classes of which a row or a description was seen


def sighted(learner: Learner, modalities: Sequence[str], told: Sequence[str] = ()) -> Learner:
    """A learner to which rows without any of its modalities are padding.

    Such a support row tells nothing, and would pull a prototype towards zero. A class of which
    nothing was seen is no answer, and of a query that is not seen there is none.

    Args:
      learner: the few-shot method.
      modalities: that it sees, M of them.
      told: kinds of class descriptions by which it knows a class without rows.

    Returns:
      The learner, to be tested with: the logit of a class that is no answer is minus infinity,
      which figures of `fsjax.evaluation` take for none, and of which training's losses are NaN.
    """

    def visible(inputs: Inputs) -> Array:
        return (jnp.stack([inputs.present[name] for name in modalities]) > 0).any(0)

    def adapt(
        params: Params, support: Support, *, key: Key | None = None, train: bool = False
    ) -> SightedTask:
        labels = support.labels * visible(support.inputs)[:, None]
        inner = learner.adapt(params, support._replace(labels=labels), key=key, train=train)
        described = (support.side.present[kind] for kind in told)
        return SightedTask(inner, sum(described, labels.sum(0)))

    def predict(
        params: Params,
        task: SightedTask,
        query: Inputs,
        *,
        key: Key | None = None,
        train: bool = False,
    ) -> Array:
        logits = learner.predict(params, task.inner, query, key=key, train=train)
        answers = visible(query)[:, None] & (task.known > 0)
        return jnp.where(answers, logits, -jnp.inf)

    return Learner(learner.init, adapt, predict)
