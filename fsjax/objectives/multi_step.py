"""Losses after every inner step, and objectives that change in the course of training."""

from collections.abc import Callable, Mapping

import jax
import jax.numpy as jnp

from fsjax.objectives.answers import Known, among_known
from fsjax.objectives.losses import cross_entropy
from fsjax.types import Array, Batch, Episode, Key, Learner, Metrics, Objective, Params, Step

Loss = Callable[[Array, Array], Array]  # logits [Q, W], targets [Q, W] -> []


def multi_step_loss(
    learner: Learner,
    importance: Callable[[Step, int], Array],
    loss: Loss = cross_entropy,
    watch: Mapping[str, Loss] | None = None,
    known: Known | None = None,
) -> Objective:
    """The losses on the queries after every inner step, weighted: of MAML++ (Antoniou et al. 2019,
    https://arxiv.org/abs/1810.09502).

    Args:
      learner: whose logits are [steps + 1, Q, W], after 0, 1, 2 ... inner steps.
      importance: step of training, inner steps -> weights [steps] of the losses after each.
      loss: of logits and targets.
      watch: figures of the last logits and targets, reported and not optimised.
      known: as of `fsjax.objectives.answers.of_those_known`; all classes unless given.

    Returns:
      An objective over an Episode without a task axis; its metrics are "loss", that of the last
      logits, and those watched.
    """
    watch = watch or {}

    def of_params(params: Params, episode: Episode, key: Key, step: Step) -> tuple[Array, Metrics]:
        key_adapt, key_predict = jax.random.split(key)
        tasks = learner.adapt(params, episode.support, key=key_adapt, train=True)
        logits = learner.predict(params, tasks, episode.query, key=key_predict, train=True)
        logits = among_known(logits, episode.support, known)
        losses = jax.vmap(lambda logits: loss(logits, episode.targets))(logits[1:])
        figures = {name: f(logits[-1], episode.targets) for name, f in watch.items()}
        return importance(step, len(losses)) @ losses, {"loss": losses[-1]} | figures

    def objective(params: Params, episode: Episode, key: Key, step: Step):
        return jax.grad(of_params, has_aux=True)(params, episode, key, step)

    return objective


def annealed_importance(until: int) -> Callable[[Step, int], Array]:
    """Weights that are equal at first and, by a straight line, nearly all on the last step at the
    end: 1 / steps each, then 0.03 / steps for all but the last, as MAML++ has them.

    Args:
      until: step of training at which they stop to change.

    Returns:
      (step of training, inner steps) -> weights [steps], of sum 1.

    Raises:
      ValueError: if `until` is not positive.
    """
    if until < 1:
        raise ValueError(f"weights change until some step, got {until}")

    def importance(step: Step, steps: int) -> Array:
        others = jnp.maximum((1 - step / until) / steps, 0.03 / steps)
        return jnp.full(steps, others).at[-1].set(1 - (steps - 1) * others)

    return importance


def annealed(before: Objective, after: Objective, *, at: int) -> Objective:
    """One objective up to a step of training and another one from there on, as first order before
    second order in MAML++.

    Args:
      before: until then.
      after: from then on, with the same metrics.
      at: the step of training.
    """

    def objective(params: Params, batch: Batch, key: Key, step: Step):
        return jax.lax.cond(step < at, before, after, params, batch, key, step)

    return objective
